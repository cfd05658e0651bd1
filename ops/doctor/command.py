"""The command `doctor`: runs all checks concurrently and prints one report."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path

import docker
import requests
import typer
from docker.errors import DockerException
from rich.console import Console

from machine.progress import Progress, SetupError
from machine.workdir import WorkDir
from ops.deploy.host import check_host
from ops.doctor import cis, files, machine, reach
from ops.doctor.findings import DoctorReport, Finding, Scored
from ops.doctor.seen import DockerSnapshot, take_snapshot
from ops.doctor.waivers import load_waivers
from ops.ports import check_ports, published_ports
from settings.loader import EDGE_HTTPS, Settings
from settings.problems import SettingsError
from toolchain.builds import has_image
from toolchain.docker_engine import find_engine
from toolchain.dockerd_programs import is_debian

Check = Callable[[], list[Finding]]
CHECK_ERRORS = (OSError, DockerException, requests.RequestException, SetupError)
"""Errors of a check that could not be completed: its topic is then reported as `untold`."""


def doctor(work: WorkDir, stack: str, progress: Progress, *, as_json: bool, benchmark: bool = True) -> int:
    """Check the machine, Docker engine, settings and containers of a stack; start, download and change nothing.

    Without `benchmark`, containers are not checked against the CIS benchmark. Returns 0 where nothing failed, 1 where
    something failed, 2 where a check could not be completed. Raises SettingsError where the stack does not exist or the
    waivers are invalid.
    """
    began = time.monotonic()
    settings, findings = files.read(work, stack)
    waivers = load_waivers(work.checkout, cis.ITEM_IDS)
    environment = settings.stack.environment if settings else "development"
    docker_host = find_engine(work)
    ports = frozenset(port for name in settings.requested_ports if (port := settings.port(name))) if settings else None
    snapshot, engine_findings = _engine(docker_host, stack, ports)
    checks: dict[str, Check] = {
        "tools": lambda: files.tools(work),
        "state": lambda: files.passphrase(work),
        "clock": lambda: _clock_and_registries(settings, snapshot),
    }
    if settings:
        valid_settings = settings
        checks |= {
            "secrets": lambda: files.receiver_secrets(work, valid_settings),
            "backups": lambda: files.backup_key(work, valid_settings),
            "DNS": lambda: reach.names(files.hosts(valid_settings), environment),
            "ports": lambda: _ports(valid_settings, snapshot, stack),
            "certificate": lambda: _certificates(valid_settings, snapshot),
        }
    if snapshot:
        live_snapshot = snapshot
        checks["machine"] = lambda: _machine(live_snapshot, settings, environment)
        if settings:
            checks["host"] = lambda: _host(valid_settings, live_snapshot)
    with ThreadPoolExecutor(len(checks)) as pool:
        answers = {topic: pool.submit(check) for topic, check in checks.items()}
        findings += engine_findings
        for topic, answer in answers.items():
            findings += _run_check(topic, answer.result)
    scored: list[Scored] = []
    if snapshot and benchmark:
        scored = cis.scorecard(snapshot, waivers, environment)
        findings += cis.waivers_not_needed(snapshot, waivers, environment)
        if not snapshot.containers:
            findings.append(Finding("stack", "note", f"nothing of {stack} runs", f"./dockyard up {stack}"))
    report = DoctorReport(
        stack, time.monotonic() - began, findings, scored, len(snapshot.containers) if snapshot else 0
    )
    if as_json:
        typer.echo(report.as_json())
    else:
        # Without a terminal (CI, a pipe) there is no width to fit into.
        report.print(Console(highlight=False, width=None if sys.stdout.isatty() else 180))
    return report.code


def _run_check(topic: str, check: Check) -> list[Finding]:
    try:
        return check()
    except CHECK_ERRORS as error:
        return [Finding(topic, "untold", str(error) or type(error).__name__, "mend what it says, and ask again")]


def _engine(docker_host: str, stack: str, ports: frozenset[int] | None) -> tuple[DockerSnapshot | None, list[Finding]]:
    """Take a snapshot of the Docker engine; None, with a finding, where no engine answers."""
    remedy = "start Docker (https://docs.docker.com/engine/install/), or set DOCKER_HOST"
    if not docker_host:
        if os.geteuid() == 0 and is_debian() and not os.environ.get("DOCKER_HOST"):
            message = "none answers: `./dockyard up` starts a private one; what it would say cannot be told now"
            return None, [Finding("Docker engine", "untold", message, f"./dockyard setup {stack}")]
        return None, [Finding("Docker engine", "failed", "none answers", remedy)]
    try:
        snapshot = take_snapshot(docker_host, stack, ports)
    except (DockerException, requests.RequestException) as error:
        return None, [Finding("Docker engine", "failed", f"{docker_host}: {error}", remedy)]
    unanswered = [
        Finding("Docker engine", "untold", f"does not tell {subject}", "ask again") for subject in snapshot.unreadable
    ]
    return snapshot, [*machine.engine_version(snapshot.info, docker_host), *unanswered]


def _machine(snapshot: DockerSnapshot, settings: Settings | None, environment: str) -> list[Finding]:
    info, running = snapshot.info, snapshot.containers
    findings = [*machine.storage(info), *machine.control_groups(info), *machine.engine_settings(info, environment)]
    is_local, root = machine.is_here(info, snapshot.docker_host), Path(str(info.get("DockerRootDir")))
    free = None
    if is_local and root.exists():
        space = machine.space_of(root)
        free = space.free
        findings += machine.disk(space)
    else:
        message = f"{root} is not on this machine, or cannot be seen by this user"
        findings.append(Finding("disk", "untold", message, "run doctor on the host of the engine, as root"))
    if running:
        reserved = sum(int(container.host.get("MemoryReservation") or 0) for container in running)
        limits, source = [float(container.host.get("NanoCpus") or 0) / 1e9 for container in running], "what runs"
        findings += [*machine.memory(info, reserved, source), *machine.cores(info, limits, source)]
        findings += machine.log_rotation(running, free)
    elif settings:
        demand, source = files.demand_of(settings), "what the settings ask for"
        findings += [*machine.memory(info, demand.reserved, source), *machine.cores(info, demand.cpus, source)]
    if is_local:
        redis = bool(settings and settings.product.own_redis)
        findings += machine.kernel(machine.read_kernel(), redis=redis)
    return findings


def _host(settings: Settings, snapshot: DockerSnapshot) -> list[Finding]:
    """Return what `up` would refuse: limits above the host's number of cores, external networks that do not exist."""
    try:
        check_host(settings, docker.DockerClient(base_url=snapshot.docker_host))
    except SettingsError as error:
        return [files.of_problem(problem, "failed") for problem in error.problems]
    return []


def _ports(settings: Settings, snapshot: DockerSnapshot | None, stack: str) -> list[Finding]:
    stack_ports = published_ports(docker.DockerClient(base_url=snapshot.docker_host), stack) if snapshot else set()
    try:
        check_ports(settings, stack_ports)
    except SetupError as error:
        first_time = settings.stack_name not in settings.machine.port_offsets
        if first_time and settings.stack.environment == "development":
            return [Finding("ports", "warning", error.message, "`up` takes others, 100 further up, and tells them")]
        return [Finding("ports", "failed", error.message, error.remedy)]
    ports = sorted(port for name in settings.requested_ports if (port := settings.port(name)))
    return [Finding("ports", "ok", f"free, or the stack's own: {', '.join(map(str, ports)) or 'none asked for'}")]


def _clock_and_registries(settings: Settings | None, snapshot: DockerSnapshot | None) -> list[Finding]:
    engine = None
    if snapshot and (system_time := str(snapshot.info.get("SystemTime") or "")):
        # The two clocks were read within a second or two: precise enough for the allowed difference.
        ahead = datetime.fromisoformat(f"{system_time[:19]}+00:00").timestamp() - snapshot.asked_at
        engine = ahead if system_time.endswith("Z") else None
    findings: list[Finding] = []
    skews: dict[str, float] = {}
    if settings:
        missing_by_registry = _registries(settings, snapshot)
        mirror = str(settings.product.docker.mirror or "").partition("/")[0]
        # The image kit's registry, unless the user runs a mirror of their own at that address.
        started_by_up = [host for host in missing_by_registry if host.startswith("127.0.0.1:") and host != mirror]
        findings, skews = reach.registries(missing_by_registry, started_by_up)
    return [*findings, *reach.clock(skews, reach.kernel_clock(), engine)]


def _registries(settings: Settings, snapshot: DockerSnapshot | None) -> dict[str, list[str] | None]:
    """Return registry → images of the stack that the Docker engine lacks, or None where no engine answers."""
    client = docker.DockerClient(base_url=snapshot.docker_host) if snapshot else None
    missing_by_registry: dict[str, list[str] | None] = {}
    for name in settings.image_names:
        reference = settings.image(name)
        host, path, _ = reference.partition("/")
        if not path or not ("." in host or ":" in host or host == "localhost"):
            # Built locally, or the reference names no registry.
            continue
        missing = missing_by_registry.setdefault(host, None if client is None else [])
        if client is not None and missing is not None and not has_image(client, reference):
            missing.append(name)
    return missing_by_registry


def _certificates(settings: Settings, snapshot: DockerSnapshot | None) -> list[Finding]:
    """Check the certificate of each routed host name, where the edge runs with ACME or a configured certificate."""
    edge, port = settings.product.edge, settings.port(EDGE_HTTPS)
    has_certificates = edge.tls.acme or edge.tls.certificate
    running = any(container.service == "traefik" for container in snapshot.containers) if snapshot else False
    if port is None or not has_certificates or not running:
        return []
    routed = {host for host, target in files.hosts(settings).items() if "route" in target and "root_url" not in target}
    address = "127.0.0.1" if edge.address == "0.0.0.0" else edge.address  # noqa: S104 - compared, not bound
    return list(_each_certificate(sorted(routed), address, port))


def _each_certificate(hosts: list[str], address: str, port: int) -> Iterator[Finding]:
    with ThreadPoolExecutor(8) as pool:
        for findings in pool.map(lambda host: reach.certificate(host, address, port), hosts):
            yield from findings
