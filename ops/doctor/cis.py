"""The scorecard: which items of the CIS Docker Benchmark (v1.6) a stack passes, and which are waived.

Ids and titles are those of the benchmark (source: docker/docker-bench-security). Left out are items that a running
system does not show (5.23, 5.24: the options of `docker exec`), and items on files and users of the host (chapters 1
and 3).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from ops.doctor import cis_containers as container_checks
from ops.doctor import cis_engine as engine_checks
from ops.doctor.findings import Finding, Scored
from ops.doctor.seen import DockerSnapshot
from ops.doctor.waivers import FILE, Waiver, not_needed, waiver_of

ENGINE = "engine"
DAEMON = "/etc/docker/daemon.json"


@dataclass(frozen=True)
class Item:
    """One item of the benchmark; it checks each container, or the Docker engine."""

    id: str
    title: str
    remedy: str
    container: container_checks.Check | None = None
    engine: engine_checks.Check | None = None
    applies: Callable[[DockerSnapshot], bool] = lambda _: True
    level: int = 1
    """Items of level 2 (chapter 2) are listed but not scored: a small team's host can do without what they demand."""


ITEMS: tuple[Item, ...] = (
    Item(
        "2.2",
        "traffic on the default bridge is restricted",
        f'"icc": false in {DAEMON}',
        engine=engine_checks.bridge_traffic,
    ),
    Item(
        "2.5",
        "no insecure registries",
        f'give the registry a certificate and remove it from "insecure-registries" in {DAEMON}',
        engine=engine_checks.secure_registries,
    ),
    Item(
        "2.6", "storage driver is not aufs", f'"storage-driver": "overlay2" in {DAEMON}', engine=engine_checks.no_aufs
    ),
    Item(
        "2.7",
        "the engine's API asks for TLS",
        "listen on the socket only, or with --tlsverify",
        engine=engine_checks.guarded_api,
    ),
    Item("2.9", "user namespaces", f'"userns-remap" in {DAEMON}', engine=engine_checks.user_namespaces, level=2),
    Item("2.12", "an authorization plugin", "--authorization-plugin", engine=engine_checks.authorization, level=2),
    Item("2.13", "central logging", "monitoring: {logs: {enabled: true}}", engine=engine_checks.central_logs, level=2),
    Item(
        "2.14",
        "no new privileges by default",
        f'"no-new-privileges": true in {DAEMON}',
        engine=engine_checks.new_privileges,
        applies=lambda snapshot: bool(snapshot.containers) or snapshot.security("no-new-privileges"),
    ),
    Item("2.15", "live restore", f'"live-restore": true in {DAEMON}', engine=engine_checks.live_restore),
    Item("2.18", "no experimental features", f'"experimental": false in {DAEMON}', engine=engine_checks.no_experiments),
    Item("4.1", "a user for the container", "user: in the product file", container_checks.own_user),
    Item("4.6", "a health check", "health: in the product file", container_checks.health_check),
    Item("5.1", "no Swarm unless needed", "docker swarm leave", engine=engine_checks.no_swarm),
    Item(
        "5.2",
        "an AppArmor profile",
        "leave Docker's default",
        container_checks.apparmor,
        applies=lambda snapshot: snapshot.security("apparmor"),
    ),
    Item(
        "5.3",
        "SELinux options",
        "leave the engine's label on",
        container_checks.selinux,
        applies=lambda snapshot: snapshot.security("selinux"),
    ),
    Item("5.4", "capabilities are restricted", "drop ALL, add none", container_checks.capabilities),
    Item("5.5", "no privileged container", "privileged: false", container_checks.privileged),
    Item("5.6", "no sensitive folder of the host", "mount a volume instead", container_checks.host_folders),
    Item("5.7", "no sshd", "docker exec does what it is there for", container_checks.no_sshd),
    Item("5.8", "no privileged port", "publish a port from 1024 on", container_checks.privileged_ports),
    Item(
        "5.9",
        "only needed ports",
        "publish: in the stack file, then ./dockyard up",
        container_checks.needed_ports,
        applies=lambda snapshot: snapshot.requested_ports is not None,
    ),
    Item("5.10", "not the host's network", "a network of its own", container_checks.host_network),
    Item("5.11", "memory is limited", "limits: {memory: …}", container_checks.memory_limit),
    Item("5.12", "processor time is limited", "limits: {cpus: …}", container_checks.cpu_limit),
    Item(
        "5.13",
        "root file system is read-only",
        "read_only: true, and volumes for what it writes",
        container_checks.read_only_root,
    ),
    Item("5.14", "ports are bound to an address", "edge: {address: …}", container_checks.bound_address),
    Item("5.15", "restart on failure, at most 5 times", "restart: on-failure", container_checks.restart_policy),
    Item("5.16", "not the host's processes", "no pid: host", container_checks.host_processes),
    Item("5.17", "not the host's IPC", "no ipc: host", container_checks.host_ipc),
    Item("5.18", "no device of the host", "no devices", container_checks.devices),
    Item("5.19", "default ulimits", "leave the engine's", container_checks.ulimits),
    Item("5.20", "mounts are not shared", "propagation private or slave", container_checks.propagation),
    Item("5.21", "not the host's UTS namespace", "no uts: host", container_checks.host_uts),
    Item("5.22", "a seccomp profile", "leave Docker's default", container_checks.seccomp),
    Item("5.25", "the default control group", "no cgroup-parent", container_checks.control_group),
    Item("5.26", "no new privileges", "security option no-new-privileges", container_checks.no_new_privileges),
    Item("5.27", "health is checked at run time", "health: in the product file", container_checks.health_check),
    Item("5.28", "images are pinned", "name a version or a digest", container_checks.pinned_image),
    Item("5.29", "processes are limited", "a limit of PIDs", container_checks.process_limit),
    Item("5.30", "not the default bridge", "a network of its own", container_checks.default_bridge),
    Item("5.31", "not the host's user namespace", "no userns: host", container_checks.host_users),
    Item("5.32", "no Docker socket", "a read-only proxy of the socket", container_checks.docker_socket),
)
ITEM_IDS = frozenset(item.id for item in ITEMS)


def scorecard(snapshot: DockerSnapshot, waivers: Sequence[Waiver], environment: str) -> list[Scored]:
    """Return the result of every item; items on containers only where at least one container runs."""
    return [
        _scored(item, snapshot, waivers, environment)
        for item in ITEMS
        if item.engine is not None or snapshot.containers
    ]


def _scored(item: Item, snapshot: DockerSnapshot, waivers: Sequence[Waiver], environment: str) -> Scored:
    if not item.applies(snapshot):
        return Scored(item.id, item.title, "not applicable")
    offenders = _offenders(item, snapshot)
    if not offenders:
        if item.container is container_checks.no_sshd and (
            unlisted := [container for container in snapshot.containers if container.programs is None]
        ):
            unknown_services = {container.service: "the engine does not say what runs in it" for container in unlisted}
            return Scored(item.id, item.title, "untold", unknown_services)
        return Scored(item.id, item.title, "passed")
    if item.level > 1:
        return Scored(item.id, item.title, "level 2, not met", offenders, remedy=item.remedy)
    waivers_used = {service: waiver_of(waivers, item.id, service, environment) for service in offenders}
    failing = {service: reason for service, reason in offenders.items() if waivers_used[service] is None}
    if failing:
        return Scored(item.id, item.title, "failed", failing, remedy=item.remedy)
    reasons = dict.fromkeys(waiver.reason for waiver in waivers_used.values() if waiver)
    return Scored(item.id, item.title, "waived", offenders, " ".join(reasons))


def _offenders(item: Item, snapshot: DockerSnapshot) -> dict[str, str]:
    if item.engine is not None:
        offence = item.engine(snapshot)
        return {ENGINE: offence} if offence else {}
    return dict(_container_offences(item.container, snapshot)) if item.container else {}


def _container_offences(check: container_checks.Check, snapshot: DockerSnapshot) -> Iterator[tuple[str, str]]:
    for container in snapshot.containers:
        if reason := check(container, snapshot):
            yield container.service, reason


def waivers_not_needed(snapshot: DockerSnapshot, waivers: Sequence[Waiver], environment: str) -> list[Finding]:
    """Return a warning for each waiver whose services run here and pass the item without it."""
    running = {container.service for container in snapshot.containers} | {ENGINE}
    findings = []
    for item in ITEMS:
        offending = _offenders(item, snapshot)
        # Where an item does not apply, nothing shows whether its waiver is needed.
        unused = not_needed(waivers, item.id, running, offending, environment) if item.applies(snapshot) else []
        if unused and (snapshot.containers or item.engine):
            remedy = f"take them out of {FILE} where no other stack needs them"
            findings.append(Finding("CIS waivers", "warning", f"{item.id}: {', '.join(unused)} meets it here", remedy))
    return findings
