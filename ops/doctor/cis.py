"""The scorecard: which items of the CIS Docker Benchmark (v1.6) a stack meets, and which it is let off.

Ids and titles are the benchmark's (as docker/docker-bench-security has them). Items that cannot be read from a running
system (5.23, 5.24: how somebody calls `docker exec`) and those of files and users on the host (chapters 1, 3) are not
here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from ops.doctor import cis_containers as on
from ops.doctor import cis_engine as of
from ops.doctor.findings import Finding, Scored
from ops.doctor.seen import Seen
from ops.doctor.waivers import FILE, Waiver, not_needed, waiver_of

ENGINE = "engine"
DAEMON = "/etc/docker/daemon.json"


@dataclass(frozen=True)
class Item:
    """One item: of each container, or of the engine."""

    id: str
    title: str
    remedy: str
    container: on.Check | None = None
    engine: of.Check | None = None
    applies: Callable[[Seen], bool] = lambda _: True
    level: int = 1
    """Level 2 of chapter 2 is told and not scored: it costs what a small team's host does without."""


ITEMS: tuple[Item, ...] = (
    Item("2.2", "traffic on the default bridge is restricted", f'"icc": false in {DAEMON}', engine=of.bridge_traffic),
    Item(
        "2.5",
        "no insecure registries",
        f'give the registry a certificate and remove it from "insecure-registries" in {DAEMON}',
        engine=of.secure_registries,
    ),
    Item("2.6", "storage driver is not aufs", f'"storage-driver": "overlay2" in {DAEMON}', engine=of.no_aufs),
    Item(
        "2.7", "the engine's API asks for TLS", "listen on the socket only, or with --tlsverify", engine=of.guarded_api
    ),
    Item("2.9", "user namespaces", f'"userns-remap" in {DAEMON}', engine=of.user_namespaces, level=2),
    Item("2.12", "an authorization plugin", "--authorization-plugin", engine=of.authorization, level=2),
    Item("2.13", "central logging", "monitoring: {logs: {enabled: true}}", engine=of.central_logs, level=2),
    Item(
        "2.14",
        "no new privileges by default",
        f'"no-new-privileges": true in {DAEMON}',
        engine=of.new_privileges,
        applies=lambda seen: bool(seen.containers) or seen.security("no-new-privileges"),
    ),
    Item("2.15", "live restore", f'"live-restore": true in {DAEMON}', engine=of.live_restore),
    Item("2.18", "no experimental features", f'"experimental": false in {DAEMON}', engine=of.no_experiments),
    Item("4.1", "a user for the container", "user: in the product file", on.own_user),
    Item("4.6", "a health check", "health: in the product file", on.health_check),
    Item("5.1", "no Swarm unless needed", "docker swarm leave", engine=of.no_swarm),
    Item(
        "5.2",
        "an AppArmor profile",
        "leave Docker's default",
        on.apparmor,
        applies=lambda seen: seen.security("apparmor"),
    ),
    Item(
        "5.3",
        "SELinux options",
        "leave the engine's label on",
        on.selinux,
        applies=lambda seen: seen.security("selinux"),
    ),
    Item("5.4", "capabilities are restricted", "drop ALL, add none", on.capabilities),
    Item("5.5", "no privileged container", "privileged: false", on.privileged),
    Item("5.6", "no sensitive folder of the host", "mount a volume instead", on.host_folders),
    Item("5.7", "no sshd", "docker exec does what it is there for", on.no_sshd),
    Item("5.8", "no privileged port", "publish a port from 1024 on", on.privileged_ports),
    Item(
        "5.9",
        "only needed ports",
        "publish: in the stack file, then ./dockyard up",
        on.needed_ports,
        applies=lambda seen: seen.wanted_ports is not None,
    ),
    Item("5.10", "not the host's network", "a network of its own", on.host_network),
    Item("5.11", "memory is limited", "limits: {memory: …}", on.memory_limit),
    Item("5.12", "processor time is limited", "limits: {cpus: …}", on.cpu_limit),
    Item("5.13", "root file system is read-only", "read_only: true, and volumes for what it writes", on.read_only_root),
    Item("5.14", "ports are bound to an address", "edge: {address: …}", on.bound_address),
    Item("5.15", "restart on failure, at most 5 times", "restart: on-failure", on.restart_policy),
    Item("5.16", "not the host's processes", "no pid: host", on.host_processes),
    Item("5.17", "not the host's IPC", "no ipc: host", on.host_ipc),
    Item("5.18", "no device of the host", "no devices", on.devices),
    Item("5.19", "default ulimits", "leave the engine's", on.ulimits),
    Item("5.20", "mounts are not shared", "propagation private or slave", on.propagation),
    Item("5.21", "not the host's UTS namespace", "no uts: host", on.host_uts),
    Item("5.22", "a seccomp profile", "leave Docker's default", on.seccomp),
    Item("5.25", "the default control group", "no cgroup-parent", on.control_group),
    Item("5.26", "no new privileges", "security option no-new-privileges", on.no_new_privileges),
    Item("5.27", "health is checked at run time", "health: in the product file", on.health_check),
    Item("5.28", "images are pinned", "name a version or a digest", on.pinned_image),
    Item("5.29", "processes are limited", "a limit of PIDs", on.process_limit),
    Item("5.30", "not the default bridge", "a network of its own", on.default_bridge),
    Item("5.31", "not the host's user namespace", "no userns: host", on.host_users),
    Item("5.32", "no Docker socket", "a read-only proxy of the socket", on.docker_socket),
)
KNOWN = frozenset(item.id for item in ITEMS)


def scorecard(seen: Seen, waivers: Sequence[Waiver], environment: str) -> list[Scored]:
    """Return each item with what came of it; those of containers only where some run."""
    return [_scored(item, seen, waivers, environment) for item in ITEMS if item.engine is not None or seen.containers]


def _scored(item: Item, seen: Seen, waivers: Sequence[Waiver], environment: str) -> Scored:
    if not item.applies(seen):
        return Scored(item.id, item.title, "not applicable")
    offenders = _offenders(item, seen)
    if not offenders:
        if item.container is on.no_sshd and (unknown := [one for one in seen.containers if one.programs is None]):
            untold = {one.service: "the engine does not say what runs in it" for one in unknown}
            return Scored(item.id, item.title, "untold", untold)
        return Scored(item.id, item.title, "passed")
    if item.level > 1:
        return Scored(item.id, item.title, "level 2, not met", offenders, remedy=item.remedy)
    used = {service: waiver_of(waivers, item.id, service, environment) for service in offenders}
    failing = {service: why for service, why in offenders.items() if used[service] is None}
    if failing:
        return Scored(item.id, item.title, "failed", failing, remedy=item.remedy)
    reasons = dict.fromkeys(one.reason for one in used.values() if one)
    return Scored(item.id, item.title, "waived", offenders, " ".join(reasons))


def _offenders(item: Item, seen: Seen) -> dict[str, str]:
    if item.engine is not None:
        found = item.engine(seen)
        return {ENGINE: found} if found else {}
    return dict(_each(item.container, seen)) if item.container else {}


def _each(check: on.Check, seen: Seen) -> Iterator[tuple[str, str]]:
    for one in seen.containers:
        if why := check(one, seen):
            yield one.service, why


def waivers_not_needed(seen: Seen, waivers: Sequence[Waiver], environment: str) -> list[Finding]:
    """Tell of waivers whose services run here and meet the item."""
    running = {one.service for one in seen.containers} | {ENGINE}
    found = []
    for item in ITEMS:
        offending = _offenders(item, seen)
        # Where an item does not apply, nobody can say that its waiver is not needed.
        unused = not_needed(waivers, item.id, running, offending, environment) if item.applies(seen) else []
        if unused and (seen.containers or item.engine):
            remedy = f"take them out of {FILE} where no other stack needs them"
            found.append(Finding("CIS waivers", "warning", f"{item.id}: {', '.join(unused)} meets it here", remedy))
    return found
