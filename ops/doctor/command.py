"""The command `doctor`: runs all checks concurrently and prints one report."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from functools import partial
from itertools import chain
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
from ops.doctor.docker_snapshot import DockerSnapshot, take_snapshot
from ops.doctor.findings import DoctorReport, Finding, ItemResult
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
    something failed, 2 where a check could not be completed. Raises SettingsError if the stack does not exist or the
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
        "tools": partial(files.tools, work),
        "state": partial(files.passphrase, work),
        "clock": partial(_clock_and_registries, settings, snapshot),
    }
    if settings:
        checks |= {
            "secrets": partial(files.receiver_secrets, work, settings),
            "backups": partial(files.backup_key, work, settings),
            "DNS": partial(reach.names, files.hosts(settings), environment),
            "ports": partial(_ports, settings, snapshot, stack),
            "certificate": partial(_certificates, settings, snapshot),
        }
    if snapshot:
        checks["machine"] = partial(_machine, snapshot, settings, environment)
    if snapshot and settings:
        checks["host"] = partial(_host, settings, snapshot)
    with ThreadPoolExecutor(len(checks)) as pool:
        results = list(pool.map(lambda check: _run_check(*check), checks.items()))
    findings += [*engine_findings, *chain.from_iterable(results)]
    scored: list[ItemResult] = []
    if snapshot and benchmark:
        scored = cis.scorecard(snapshot, waivers, environment)
        findings += cis.waivers_not_needed(snapshot, waivers, environment)
        if not snapshot.containers:
            findings.append(Finding("stack", "note", f"{stack} is not running", f"./dockyard up {stack}"))
    containers = len(snapshot.containers) if snapshot else 0
    report = DoctorReport(stack, time.monotonic() - began, findings, scored, containers)
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
        return [Finding(topic, "untold", str(error) or type(error).__name__, "fix the cause, then run doctor again")]


def _engine(docker_host: str, stack: str, ports: frozenset[int] | None) -> tuple[DockerSnapshot | None, list[Finding]]:
    """Take a snapshot of the Docker engine; None, with a finding, where no engine answers."""
    remedy = "start Docker (https://docs.docker.com/engine/install/), or set DOCKER_HOST"
    if not docker_host and os.geteuid() == 0 and is_debian() and not os.environ.get("DOCKER_HOST"):
        message = "no engine answers; `./dockyard up` starts a private one, which cannot be checked yet"
        return None, [Finding("Docker engine", "untold", message, f"./dockyard setup {stack}")]
    if not docker_host:
        return None, [Finding("Docker engine", "failed", "no engine answers", remedy)]
    try:
        snapshot = take_snapshot(docker_host, stack, ports)
    except (DockerException, requests.RequestException) as error:
        return None, [Finding("Docker engine", "failed", f"{docker_host}: {error}", remedy)]
    unlisted = [
        Finding("Docker engine", "untold", f"does not list the processes of {container.service}", "run doctor again")
        for container in snapshot.containers
        if container.programs is None
    ]
    return snapshot, [*machine.engine_version(snapshot.info, docker_host), *unlisted]


def _machine(snapshot: DockerSnapshot, settings: Settings | None, environment: str) -> list[Finding]:
    info, running = snapshot.info, snapshot.containers
    findings = [*machine.storage(info), *machine.control_groups(info), *machine.engine_settings(info, environment)]
    is_local, root = machine.is_local_engine(info, snapshot.docker_host), Path(str(info.get("DockerRootDir")))
    space = machine.disk_space(root) if is_local and root.exists() else None
    if space:
        findings += machine.disk(space)
    else:
        message = f"{root} is not on this machine, or cannot be seen by this user"
        findings.append(Finding("disk", "untold", message, "run doctor on the engine's host, as root"))
    demand, source = files.resource_demand(settings) if settings else None, "by the settings"
    if running:
        reserved = sum(int(container.host.get("MemoryReservation") or 0) for container in running)
        limits = [float(container.host.get("NanoCpus") or 0) / 1e9 for container in running]
        demand, source = files.ResourceDemand(reserved, limits), "by running containers"
        findings += machine.log_rotation(running, space.free if space else None)
    if demand:
        findings += [*machine.memory(info, demand.reserved, source), *machine.cores(info, demand.cpus, source)]
    if is_local:
        findings += machine.kernel(machine.read_kernel(), redis=bool(settings and settings.product.own_redis))
    return findings


def _host(settings: Settings, snapshot: DockerSnapshot) -> list[Finding]:
    """Return what `up` would refuse: limits above the host's number of cores, external networks that do not exist."""
    try:
        check_host(settings, docker.DockerClient(base_url=snapshot.docker_host))
    except SettingsError as error:
        return [files.finding_of_problem(problem, "failed") for problem in error.problems]
    return []


def _ports(settings: Settings, snapshot: DockerSnapshot | None, stack: str) -> list[Finding]:
    stack_ports = published_ports(docker.DockerClient(base_url=snapshot.docker_host), stack) if snapshot else set()
    try:
        check_ports(settings, stack_ports)
    except SetupError as error:
        first_time = settings.stack_name not in settings.machine.port_offsets
        if first_time and settings.stack.environment == "development":
            return [Finding("ports", "warning", error.message, "`up` uses other ports, 100 higher, and prints them")]
        return [Finding("ports", "failed", error.message, error.remedy)]
    ports = sorted(port for name in settings.requested_ports if (port := settings.port(name)))
    return [Finding("ports", "ok", f"free, or used by the stack: {', '.join(map(str, ports)) or 'none configured'}")]


def _clock_and_registries(settings: Settings | None, snapshot: DockerSnapshot | None) -> list[Finding]:
    engine = None
    if snapshot and (system_time := str(snapshot.info.get("SystemTime") or "")):
        # The two clocks were read within a second or two: precise enough for the allowed difference.
        ahead = datetime.fromisoformat(f"{system_time[:19]}+00:00").timestamp() - snapshot.queried_at
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
    """Return registry → images of the stack that the Docker engine lacks, or None if no engine answers."""
    images: dict[str, list[str]] = {}
    for name in settings.image_names:
        host, path, _ = settings.image(name).partition("/")
        # Other references name no registry, or an image that is built locally.
        if path and ("." in host or ":" in host or host == "localhost"):
            images.setdefault(host, []).append(name)
    if snapshot is None:
        return dict.fromkeys(images)
    client = docker.DockerClient(base_url=snapshot.docker_host)
    return {
        host: [name for name in names if not has_image(client, settings.image(name))] for host, names in images.items()
    }


def _certificates(settings: Settings, snapshot: DockerSnapshot | None) -> list[Finding]:
    """Check the certificate of each routed host name, where the edge runs with ACME or a configured certificate."""
    edge, port = settings.product.edge, settings.port(EDGE_HTTPS)
    has_certificates = edge.tls.acme or edge.tls.certificate
    running = any(container.service == "traefik" for container in snapshot.containers) if snapshot else False
    if port is None or not has_certificates or not running:
        return []
    routed = {host for host, target in files.hosts(settings).items() if "route" in target and "root_url" not in target}
    address = "127.0.0.1" if edge.address == "0.0.0.0" else edge.address  # noqa: S104 - compared, not bound
    with ThreadPoolExecutor(8) as pool:
        findings = pool.map(lambda host: reach.certificate(host, address, port), sorted(routed))
        return list(chain.from_iterable(findings))
