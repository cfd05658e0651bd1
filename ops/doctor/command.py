"""The verb `doctor`: asks everything side by side, and tells it in one report."""

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

from ops.doctor import cis, files, machine, reach
from ops.doctor.findings import Finding, Report, Scored
from ops.doctor.seen import Seen, look
from ops.doctor.waivers import load_waivers
from ops.host import check_host
from ops.ports import check_ports, ports_held
from settings.loader import EDGE_HTTPS, Settings
from settings.problems import SettingsError
from toolchain.builds import is_there
from toolchain.engine import find_engine
from toolchain.engine_programs import is_debian
from toolchain.progress import Progress, SetupError
from toolchain.workdir import WorkDir

Check = Callable[[], list[Finding]]
HERE_IS = (OSError, DockerException, requests.RequestException, SetupError)
"""What may go wrong while something is asked: told as not to be told."""


def doctor(work: WorkDir, stack: str, progress: Progress, *, as_json: bool, benchmark: bool = True) -> int:
    """Examine machine, engine, settings and containers of a stack; nothing is started, fetched or changed.

    Without the benchmark, what the containers are is left aside. Returns 0 where all is well, 1 where something failed,
    2 where something could not be told. Raises SettingsError where there is no such stack, or the waivers are wrong.
    """
    began = time.monotonic()
    settings, findings = files.read(work, stack)
    waivers = load_waivers(work.checkout, cis.KNOWN)
    environment = settings.stack.environment if settings else "development"
    docker_host = find_engine(work)
    wanted = frozenset(port for name in settings.wanted_ports if (port := settings.port(name))) if settings else None
    seen, told = _engine(docker_host, stack, wanted)
    checks: dict[str, Check] = {
        "tools": lambda: files.tools(work),
        "state": lambda: files.passphrase(work),
        "clock": lambda: _clock_and_registries(settings, seen),
    }
    if settings:
        given = settings
        checks |= {
            "secrets": lambda: files.receiver_secrets(work, given),
            "backups": lambda: files.backup_key(work, given),
            "DNS": lambda: reach.names(files.hosts(given), environment),
            "ports": lambda: _ports(given, seen, stack),
            "certificate": lambda: _certificates(given, seen),
        }
    if seen:
        there = seen
        checks["machine"] = lambda: _machine(there, settings, environment)
        if settings:
            checks["host"] = lambda: _host(given, there)
    with ThreadPoolExecutor(len(checks)) as pool:
        answers = {topic: pool.submit(check) for topic, check in checks.items()}
        findings += told
        for topic, answer in answers.items():
            findings += _answered(topic, answer.result)
    scored: list[Scored] = []
    if seen and benchmark:
        scored = cis.scorecard(seen, waivers, environment)
        findings += cis.waivers_not_needed(seen, waivers, environment)
        if not seen.containers:
            findings.append(Finding("stack", "note", f"nothing of {stack} runs", f"./dockyard up {stack}"))
    report = Report(stack, time.monotonic() - began, findings, scored, len(seen.containers) if seen else 0)
    if as_json:
        typer.echo(report.as_json())
    else:
        # Where nobody looks at it (CI, a pipe) there is no width to keep to.
        report.print(Console(highlight=False, width=None if sys.stdout.isatty() else 180))
    return report.code


def _answered(topic: str, ask: Check) -> list[Finding]:
    try:
        return ask()
    except HERE_IS as error:
        return [Finding(topic, "untold", str(error) or type(error).__name__, "mend what it says, and ask again")]


def _engine(docker_host: str, stack: str, wanted: frozenset[int] | None) -> tuple[Seen | None, list[Finding]]:
    """Look at the engine, if there is one; say so if there is none."""
    remedy = "start Docker (https://docs.docker.com/engine/install/), or set DOCKER_HOST"
    if not docker_host:
        if os.geteuid() == 0 and is_debian() and not os.environ.get("DOCKER_HOST"):
            told = "none answers: `./dockyard up` starts a private one; what it would say cannot be told now"
            return None, [Finding("Docker engine", "untold", told, f"./dockyard setup {stack}")]
        return None, [Finding("Docker engine", "failed", "none answers", remedy)]
    try:
        seen = look(docker_host, stack, wanted)
    except (DockerException, requests.RequestException) as error:
        return None, [Finding("Docker engine", "failed", f"{docker_host}: {error}", remedy)]
    untold = [Finding("Docker engine", "untold", f"does not tell {one}", "ask again") for one in seen.unreadable]
    return seen, [*machine.engine_version(seen.info, docker_host), *untold]


def _machine(seen: Seen, settings: Settings | None, environment: str) -> list[Finding]:
    info, running = seen.info, seen.containers
    findings = [*machine.storage(info), *machine.control_groups(info), *machine.engine_settings(info, environment)]
    here, root = machine.is_here(info, seen.docker_host), Path(str(info.get("DockerRootDir")))
    free = None
    if here and root.exists():
        space = machine.space_of(root)
        free = space.free
        findings += machine.disk(space)
    else:
        told = f"{root} is not on this machine, or cannot be seen by this user"
        findings.append(Finding("disk", "untold", told, "run doctor on the host of the engine, as root"))
    if running:
        reserved = sum(int(one.host.get("MemoryReservation") or 0) for one in running)
        limits, source = [float(one.host.get("NanoCpus") or 0) / 1e9 for one in running], "what runs"
        findings += [*machine.memory(info, reserved, source), *machine.cores(info, limits, source)]
        findings += machine.log_rotation(running, free)
    elif settings:
        asked, source = files.asked(settings), "what the settings ask for"
        findings += [*machine.memory(info, asked.reserved, source), *machine.cores(info, asked.cpus, source)]
    if here:
        redis = bool(settings and settings.product.own_redis)
        findings += machine.kernel(machine.read_kernel(), redis=redis)
    return findings


def _host(settings: Settings, seen: Seen) -> list[Finding]:
    """What an `up` would refuse: a limit of cores that the host has not, a network that is not there."""
    try:
        check_host(settings, docker.DockerClient(base_url=seen.docker_host))
    except SettingsError as error:
        return [files.of_problem(one, "failed") for one in error.problems]
    return []


def _ports(settings: Settings, seen: Seen | None, stack: str) -> list[Finding]:
    held = ports_held(docker.DockerClient(base_url=seen.docker_host), stack) if seen else set()
    try:
        check_ports(settings, held)
    except SetupError as error:
        first_time = settings.stack_name not in settings.machine.port_offsets
        if first_time and settings.stack.environment == "development":
            return [Finding("ports", "warning", error.message, "`up` takes others, 100 further up, and tells them")]
        return [Finding("ports", "failed", error.message, error.remedy)]
    ports = sorted(port for name in settings.wanted_ports if (port := settings.port(name)))
    return [Finding("ports", "ok", f"free, or the stack's own: {', '.join(map(str, ports)) or 'none asked for'}")]


def _clock_and_registries(settings: Settings | None, seen: Seen | None) -> list[Finding]:
    engine = None
    if seen and (said := str(seen.info.get("SystemTime") or "")):
        # Both were asked within a second or two: enough for a clock that is off by more than it may.
        ahead = datetime.fromisoformat(f"{said[:19]}+00:00").timestamp() - seen.asked_at
        engine = ahead if said.endswith("Z") else None
    findings: list[Finding] = []
    skews: dict[str, float] = {}
    if settings:
        asked = _registries(settings, seen)
        mirror = str(settings.product.docker.mirror or "").partition("/")[0]
        # The image kit's registry, unless somebody keeps a mirror of his own there.
        own = [host for host in asked if host.startswith("127.0.0.1:") and host != mirror]
        findings, skews = reach.registries(asked, own)
    return [*findings, *reach.clock(skews, reach.kernel_clock(), engine)]


def _registries(settings: Settings, seen: Seen | None) -> dict[str, list[str] | None]:
    """Return registry → the images that the stack runs from it and the engine lacks, None where there is no engine."""
    client = docker.DockerClient(base_url=seen.docker_host) if seen else None
    found: dict[str, list[str] | None] = {}
    for name in settings.image_names:
        reference = settings.image(name)
        host, rest, _ = reference.partition("/")
        if not rest or not ("." in host or ":" in host or host == "localhost"):
            # Built here, or of no registry that is named.
            continue
        missing = found.setdefault(host, None if client is None else [])
        if client is not None and missing is not None and not is_there(client, reference):
            missing.append(name)
    return found


def _certificates(settings: Settings, seen: Seen | None) -> list[Finding]:
    """Look at what the edge shows for each host name, where it is up and has certificates that others trust."""
    edge, port = settings.product.edge, settings.port(EDGE_HTTPS)
    own = edge.tls.acme or edge.tls.certificate
    running = any(one.service == "traefik" for one in seen.containers) if seen else False
    if port is None or not own or not running:
        return []
    routed = {host for host, what in files.hosts(settings).items() if "route" in what and "root_url" not in what}
    address = "127.0.0.1" if edge.address == "0.0.0.0" else edge.address  # noqa: S104 - compared, not bound
    return list(_each_certificate(sorted(routed), address, port))


def _each_certificate(hosts: list[str], address: str, port: int) -> Iterator[Finding]:
    with ThreadPoolExecutor(8) as pool:
        for found in pool.map(lambda host: reach.certificate(host, address, port), hosts):
            yield from found
