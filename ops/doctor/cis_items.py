"""The items of the CIS Docker Benchmark (v1.6) that doctor checks on containers and on the Docker engine.

Ids and titles are those of the benchmark (source: docker/docker-bench-security). A check returns how its subject
violates the item, or None. Only running containers are checked, as in the benchmark's own audits. Where the benchmark
leaves a choice ("if needed"), the stricter reading applies, and exceptions need a waiver.

Left out are items that a running system does not show (5.23, 5.24: the options of `docker exec`), settings of the
engine that its API does not report (2.3, 2.4, 2.8, 2.16 …), and files and users of the host (chapters 1 and 3).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from ipaddress import ip_address, ip_network

from ops.doctor.docker_snapshot import DockerSnapshot, RunningContainer

ContainerCheck = Callable[[RunningContainer, DockerSnapshot], str | None]
EngineCheck = Callable[[DockerSnapshot], str | None]

DAEMON = "/etc/docker/daemon.json"
SENSITIVE = ("/boot", "/dev", "/etc", "/lib", "/proc", "/sys", "/usr")
"""Host folders that the benchmark names (5.6), in addition to `/`."""

EDGE, WEB_PORTS = "traefik", (80, 443)
"""The benchmark's own exception to 5.8: a load balancer has to bind these two ports."""

MOVING_TAGS = ("latest", "stable", "main", "master", "edge", "nightly", "dev")


@dataclass(frozen=True)
class Item:
    """One item of the benchmark; it checks each container, or the Docker engine."""

    id: str
    title: str
    remedy: str
    container: ContainerCheck | None = None
    engine: EngineCheck | None = None
    applies: Callable[[DockerSnapshot], bool] = lambda _: True
    needs_processes: bool = False
    """Whether the check reads the processes of a container, which the engine may not list."""

    level: int = 1
    """Items of level 2 (chapter 2) are listed but not scored: a small team's host can do without what they demand."""


def _listed(text: str, names: Iterable[object]) -> str | None:
    """Return `text` with the names in place of its braces, None if there are no names."""
    joined = ", ".join(map(str, names))
    return text.format(joined) if joined else None


def _not_host(namespace: str, offence: str) -> ContainerCheck:
    return lambda container, _: offence if container.host.get(namespace) == "host" else None


def _positive(offence: str, *keys: str) -> ContainerCheck:
    """Require a positive value of one of the keys of HostConfig."""
    return lambda container, _: None if any((container.host.get(key) or 0) > 0 for key in keys) else offence


def _supports(option: str) -> Callable[[DockerSnapshot], bool]:
    return lambda snapshot: snapshot.security(option)


def _engine_offence(offence: str, violated: Callable[[DockerSnapshot], object]) -> EngineCheck:
    return lambda snapshot: offence if violated(snapshot) else None


def _own_user(container: RunningContainer, _: DockerSnapshot) -> str | None:
    user = str(container.config.get("User") or "")
    return f"runs as {user or 'root'}" if user.split(":", maxsplit=1)[0] in ("", "0", "root") else None


def _health_check(container: RunningContainer, _: DockerSnapshot) -> str | None:
    """Check for a health check, which the image or the container may define."""
    test = (container.config.get("Healthcheck") or {}).get("Test") or ["NONE"]
    return "no health check" if test[0] == "NONE" else None


def _apparmor(container: RunningContainer, _: DockerSnapshot) -> str | None:
    profile = container.inspected.get("AppArmorProfile") or ""
    return f"AppArmor profile {profile or 'none'}" if profile in ("", "unconfined") else None


def _selinux(container: RunningContainer, _: DockerSnapshot) -> str | None:
    labelled = container.inspected.get("ProcessLabel") and "label=disable" not in container.security_options
    return None if labelled else "no SELinux label"


def _capabilities(container: RunningContainer, _: DockerSnapshot) -> str | None:
    if "ALL" not in {str(capability).upper() for capability in container.host.get("CapDrop") or ()}:
        return "does not drop all capabilities"
    return _listed("adds {}", container.host.get("CapAdd") or ())


def _host_folders(container: RunningContainer, _: DockerSnapshot) -> str | None:
    """Check for sensitive folders of the host: read-only mounts count as well."""
    sources = [str(mount.get("Source")) for mount in container.mounts if mount.get("Type") == "bind"]
    sensitive = [
        path for path in sources if path == "/" or f"{path}/".startswith(tuple(f"{top}/" for top in SENSITIVE))
    ]
    return _listed("mounts {} of the host", sorted(sensitive))


def _no_sshd(container: RunningContainer, _: DockerSnapshot) -> str | None:
    daemons = [program for program in container.programs or () if re.search(r"(^|/)sshd\b", program)]
    return f"runs {daemons[0]}" if daemons else None


def _privileged_ports(container: RunningContainer, _: DockerSnapshot) -> str | None:
    allowed = WEB_PORTS if container.service == EDGE else ()
    ports = {port for _, port in container.published if port < 1024 and port not in allowed}
    return _listed("publishes {}", sorted(ports))


def _needed_ports(container: RunningContainer, snapshot: DockerSnapshot) -> str | None:
    excess = {port for _, port in container.published} - (snapshot.requested_ports or frozenset())
    return _listed("publishes {}, which the settings do not ask for", sorted(excess))


def _bound_address(container: RunningContainer, _: DockerSnapshot) -> str | None:
    ports = {port for address, port in container.published if not address or ip_address(address).is_unspecified}
    return _listed("publishes {} on every address of the host", sorted(ports))


def _restart_policy(container: RunningContainer, _: DockerSnapshot) -> str | None:
    """Allow `on-failure`, at most five times, or no restart."""
    policy = container.host.get("RestartPolicy") or {}
    name, retries = policy.get("Name") or "no", int(policy.get("MaximumRetryCount") or 0)
    if name == "no" or (name == "on-failure" and 0 < retries <= 5):
        return None
    return f"restart: {name}{f':{retries}' if retries else ''}"


def _seccomp(container: RunningContainer, snapshot: DockerSnapshot) -> str | None:
    confined = snapshot.security("seccomp") and "seccomp=unconfined" not in container.security_options
    return None if confined else "no seccomp profile"


def _no_new_privileges(container: RunningContainer, _: DockerSnapshot) -> str | None:
    limited = {"no-new-privileges", "no-new-privileges=true"} & container.security_options
    return None if limited else "can gain privileges"


def _pinned_image(container: RunningContainer, _: DockerSnapshot) -> str | None:
    """Require a digest, or a tag that does not move."""
    image = str(container.config.get("Image") or "")
    if "@sha256:" in image or re.fullmatch(r"(sha256:)?[0-9a-f]{12,64}", image):
        return None
    tag = image.rsplit("/", maxsplit=1)[-1].partition(":")[2]
    return f"image {image}" if not tag or tag in MOVING_TAGS else None


def _default_bridge(container: RunningContainer, _: DockerSnapshot) -> str | None:
    networks = (container.inspected.get("NetworkSettings") or {}).get("Networks") or {}
    return "is on the default bridge" if "bridge" in networks else None


def _docker_socket(container: RunningContainer, _: DockerSnapshot) -> str | None:
    sources = [str(mount.get("Source")) for mount in container.mounts]
    return _listed("mounts {}", (source for source in sources if source.endswith("docker.sock")))


def _bridge_traffic(snapshot: DockerSnapshot) -> str | None:
    """Require that traffic on the default bridge is restricted, or that no container is attached to it."""
    bridge = snapshot.bridge or {}
    if (bridge.get("Options") or {}).get("com.docker.network.bridge.enable_icc") == "false":
        return None
    neighbours = [str(container.get("Name")) for container in (bridge.get("Containers") or {}).values()]
    return _listed("{} can talk to each other on the default bridge", sorted(neighbours))


def _secure_registries(snapshot: DockerSnapshot) -> str | None:
    """Allow insecure registries on the loopback address only."""
    registries = snapshot.info.get("RegistryConfig") or {}
    nets = [net for net in registries.get("InsecureRegistryCIDRs") or () if not ip_network(net).is_loopback]
    hosts = [name for name, index in (registries.get("IndexConfigs") or {}).items() if not index.get("Secure", True)]
    remote_hosts = [name for name in hosts if not name.startswith(("127.", "localhost", "[::1]"))]
    return _listed("insecure registries: {}", sorted([*nets, *remote_hosts]))


def _guarded_api(snapshot: DockerSnapshot) -> str | None:
    """Require that the API listens on a socket, or asks for client certificates."""
    for warning in snapshot.info.get("Warnings") or ():
        if "API is accessible on http" in str(warning):
            return str(warning).split(": ", maxsplit=1)[-1]
    return f"{snapshot.docker_host} asks nobody who he is" if snapshot.docker_host.startswith("http://") else None


def _new_privileges(snapshot: DockerSnapshot) -> str | None:
    """Require no-new-privileges as the engine's default, or as an option of every container."""
    if snapshot.security("no-new-privileges"):
        return None
    unprotected = [container.service for container in snapshot.containers if _no_new_privileges(container, snapshot)]
    return _listed("neither the engine nor {} forbids it", sorted(unprotected))


def _central_logs(snapshot: DockerSnapshot) -> str | None:
    """Require a log driver that sends logs off the host, or the stack's own log pipeline."""
    sent = snapshot.info.get("LoggingDriver") not in ("json-file", "local", "none")
    piped = any(container.service == "collector" for container in snapshot.containers)
    return None if sent or piped else "logs stay on this host (monitoring.logs)"


ITEMS: tuple[Item, ...] = (
    Item("2.2", "traffic on the default bridge is restricted", f'"icc": false in {DAEMON}', engine=_bridge_traffic),
    Item(
        "2.5",
        "no insecure registries",
        f'give the registry a certificate and remove it from "insecure-registries" in {DAEMON}',
        engine=_secure_registries,
    ),
    Item(
        "2.6",
        "storage driver is not aufs",
        f'"storage-driver": "overlay2" in {DAEMON}',
        engine=_engine_offence("storage driver aufs", lambda snapshot: snapshot.info.get("Driver") == "aufs"),
    ),
    Item("2.7", "the engine's API asks for TLS", "listen on the socket only, or with --tlsverify", engine=_guarded_api),
    Item(
        "2.9",
        "user namespaces",
        f'"userns-remap" in {DAEMON}',
        engine=_engine_offence(
            "root in a container is root of the host",
            lambda snapshot: not snapshot.security("userns") and not snapshot.security("rootless"),
        ),
        level=2,
    ),
    Item(
        "2.12",
        "an authorization plugin",
        "--authorization-plugin",
        engine=_engine_offence(
            "who may use the socket may do everything",
            lambda snapshot: not (snapshot.info.get("Plugins") or {}).get("Authorization"),
        ),
        level=2,
    ),
    Item("2.13", "central logging", "monitoring: {logs: {enabled: true}}", engine=_central_logs, level=2),
    Item(
        "2.14",
        "no new privileges by default",
        f'"no-new-privileges": true in {DAEMON}',
        engine=_new_privileges,
        applies=lambda snapshot: bool(snapshot.containers) or snapshot.security("no-new-privileges"),
    ),
    Item(
        "2.15",
        "live restore",
        f'"live-restore": true in {DAEMON}',
        engine=_engine_offence(  # a Swarm excludes live restore
            "containers end with the engine",
            lambda snapshot: not snapshot.info.get("LiveRestoreEnabled") and not snapshot.in_swarm,
        ),
    ),
    Item(
        "2.18",
        "no experimental features",
        f'"experimental": false in {DAEMON}',
        engine=_engine_offence("experimental features are on", lambda snapshot: snapshot.info.get("ExperimentalBuild")),
    ),
    Item("4.1", "a user for the container", "user: in the product file", _own_user),
    Item("4.6", "a health check", "health: in the product file", _health_check),
    Item(
        "5.1",
        "no Swarm unless needed",
        "docker swarm leave",
        engine=_engine_offence("the engine is in a Swarm", lambda snapshot: snapshot.in_swarm),
    ),
    Item("5.2", "an AppArmor profile", "leave Docker's default", _apparmor, applies=_supports("apparmor")),
    Item("5.3", "SELinux options", "leave the engine's label on", _selinux, applies=_supports("selinux")),
    Item("5.4", "capabilities are restricted", "drop ALL, add none", _capabilities),
    Item(
        "5.5",
        "no privileged container",
        "privileged: false",
        lambda container, _: "privileged" if container.host.get("Privileged") else None,
    ),
    Item("5.6", "no sensitive folder of the host", "mount a volume instead", _host_folders),
    Item("5.7", "no sshd", "docker exec does what it is there for", _no_sshd, needs_processes=True),
    Item("5.8", "no privileged port", "publish a port from 1024 on", _privileged_ports),
    Item(
        "5.9",
        "only needed ports",
        "publish: in the stack file, then ./dockyard up",
        _needed_ports,
        applies=lambda snapshot: snapshot.requested_ports is not None,
    ),
    Item(
        "5.10", "not the host's network", "a network of its own", _not_host("NetworkMode", "is in the host's network")
    ),
    Item("5.11", "memory is limited", "limits: {memory: …}", _positive("no memory limit", "Memory")),
    Item(
        "5.12",
        "processor time is limited",
        "limits: {cpus: …}",
        _positive("no limit of processor time", "NanoCpus", "CpuQuota", "CpuShares"),
    ),
    Item(
        "5.13",
        "root file system is read-only",
        "read_only: true, and volumes for what it writes",
        _positive("writable root file system", "ReadonlyRootfs"),
    ),
    Item("5.14", "ports are bound to an address", "edge: {address: …}", _bound_address),
    Item("5.15", "restart on failure, at most 5 times", "restart: on-failure", _restart_policy),
    Item("5.16", "not the host's processes", "no pid: host", _not_host("PidMode", "sees the host's processes")),
    Item("5.17", "not the host's IPC", "no ipc: host", _not_host("IpcMode", "shares the host's IPC")),
    Item(
        "5.18",
        "no device of the host",
        "no devices",
        lambda container, _: _listed(
            "has {}", (device.get("PathOnHost") for device in container.host.get("Devices") or ())
        ),
    ),
    Item(
        "5.19",
        "default ulimits",
        "leave the engine's",
        lambda container, _: _listed(
            "overrides ulimit {}", (limit.get("Name") for limit in container.host.get("Ulimits") or ())
        ),
    ),
    Item(
        "5.20",
        "mounts are not shared",
        "propagation private or slave",
        lambda container, _: _listed(
            "shares mounts below {}",
            (mount["Destination"] for mount in container.mounts if mount.get("Propagation") in ("shared", "rshared")),
        ),
    ),
    Item("5.21", "not the host's UTS namespace", "no uts: host", _not_host("UTSMode", "shares the host's name")),
    Item("5.22", "a seccomp profile", "leave Docker's default", _seccomp),
    Item(
        "5.25",
        "the default control group",
        "no cgroup-parent",
        lambda container, _: _listed("control group below {}", filter(None, [container.host.get("CgroupParent")])),
    ),
    Item("5.26", "no new privileges", "security option no-new-privileges", _no_new_privileges),
    Item("5.27", "health is checked at run time", "health: in the product file", _health_check),
    Item("5.28", "images are pinned", "name a version or a digest", _pinned_image),
    Item("5.29", "processes are limited", "a limit of PIDs", _positive("no limit of processes", "PidsLimit")),
    Item("5.30", "not the default bridge", "a network of its own", _default_bridge),
    Item(
        "5.31",
        "not the host's user namespace",
        "no userns: host",
        _not_host("UsernsMode", "shares the host's user namespace"),
    ),
    Item("5.32", "no Docker socket", "a read-only proxy of the socket", _docker_socket),
)
