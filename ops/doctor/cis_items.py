"""The checks of the CIS Docker Benchmark (v1.6) on containers and on the Docker engine; cis_items.yaml has the texts.

A check returns how its subject violates the item, or None. Only running containers are checked, as in the benchmark's
own audits. Where the benchmark leaves a choice ("if needed"), the stricter reading applies, and exceptions need a
waiver.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from pathlib import Path

import yaml

from ops.doctor.docker_snapshot import DockerSnapshot, RunningContainer

ContainerCheck = Callable[[RunningContainer, DockerSnapshot], str | None]
EngineCheck = Callable[[DockerSnapshot], str | None]

SENSITIVE = ("/boot", "/dev", "/etc", "/lib", "/proc", "/sys", "/usr")
"""Host folders that the benchmark names (5.6), in addition to `/`."""

EDGE, WEB_PORTS = "traefik", (80, 443)
"""The benchmark's own exception to 5.8: a load balancer has to bind these two ports."""

MOVING_TAGS = ("latest", "stable", "main", "master", "edge", "nightly", "dev")


@dataclass(frozen=True)
class CisItem:
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
    """Items of level 2 are listed but not scored."""


def _listed(text: str, names: Iterable[object]) -> str | None:
    """Return `text` with the names in place of its braces, None if there are no names."""
    joined = ", ".join(map(str, names))
    return text.format(joined) if joined else None


def _not_host(namespace: str, offence: str) -> ContainerCheck:
    return lambda container, _: offence if container.host.get(namespace) == "host" else None


def _positive(offence: str, *keys: str) -> ContainerCheck:
    """Require a positive value of one of the keys of HostConfig."""
    return lambda container, _: None if any((container.host.get(key) or 0) > 0 for key in keys) else offence


def _empty(text: str, key: str, name: str) -> ContainerCheck:
    """Require that a list of HostConfig is empty; `text` has braces for the names of its entries."""
    return lambda container, _: _listed(text, (entry.get(name) for entry in container.host.get(key) or ()))


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
    return _listed("publishes {}, which the settings do not publish", sorted(excess))


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


def _propagation(container: RunningContainer, _: DockerSnapshot) -> str | None:
    shared = [mount for mount in container.mounts if mount.get("Propagation") in ("shared", "rshared")]
    return _listed("shares mounts below {}", (mount.get("Destination") for mount in shared))


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
    return (
        f"{snapshot.docker_host} does not authenticate clients" if snapshot.docker_host.startswith("http://") else None
    )


def _authorization(snapshot: DockerSnapshot) -> str | None:
    plugins = (snapshot.info.get("Plugins") or {}).get("Authorization")
    return None if plugins else "everyone with access to the socket may do everything"


def _live_restore(snapshot: DockerSnapshot) -> str | None:
    """Require live restore, which a Swarm excludes."""
    return None if snapshot.info.get("LiveRestoreEnabled") or snapshot.in_swarm else "containers stop with the engine"


def _new_privileges(snapshot: DockerSnapshot) -> str | None:
    """Require no-new-privileges as the engine's default, or as an option of every container."""
    if snapshot.security("no-new-privileges"):
        return None
    unprotected = [container.service for container in snapshot.containers if _no_new_privileges(container, snapshot)]
    return _listed("neither the engine nor {} forbids new privileges", sorted(unprotected))


def _central_logs(snapshot: DockerSnapshot) -> str | None:
    """Require a log driver that sends logs off the host, or the stack's own log pipeline."""
    sent = snapshot.info.get("LoggingDriver") not in ("json-file", "local", "none")
    piped = any(container.service == "collector" for container in snapshot.containers)
    return None if sent or piped else "logs stay on this host (monitoring.logs)"


ENGINE_CHECKS: Mapping[str, EngineCheck] = {
    "2.2": _bridge_traffic,
    "2.5": _secure_registries,
    "2.6": lambda engine: "storage driver aufs" if engine.info.get("Driver") == "aufs" else None,
    "2.7": _guarded_api,
    "2.9": lambda engine: None if engine.remaps_root else "root in a container is root on the host",
    "2.12": _authorization,
    "2.13": _central_logs,
    "2.14": _new_privileges,
    "2.15": _live_restore,
    "2.18": lambda engine: "experimental features are on" if engine.info.get("ExperimentalBuild") else None,
    "5.1": lambda engine: "the engine is in a Swarm" if engine.in_swarm else None,
}
CONTAINER_CHECKS: Mapping[str, ContainerCheck] = {
    "4.1": _own_user,
    "4.6": _health_check,
    "5.2": _apparmor,
    "5.3": _selinux,
    "5.4": _capabilities,
    "5.5": lambda container, _: "privileged" if container.host.get("Privileged") else None,
    "5.6": _host_folders,
    "5.7": _no_sshd,
    "5.8": _privileged_ports,
    "5.9": _needed_ports,
    "5.10": _not_host("NetworkMode", "uses the host's network"),
    "5.11": _positive("no memory limit", "Memory"),
    "5.12": _positive("no CPU limit", "NanoCpus", "CpuQuota", "CpuShares"),
    "5.13": _positive("writable root file system", "ReadonlyRootfs"),
    "5.14": _bound_address,
    "5.15": _restart_policy,
    "5.16": _not_host("PidMode", "sees the host's processes"),
    "5.17": _not_host("IpcMode", "shares the host's IPC"),
    "5.18": _empty("has {}", "Devices", "PathOnHost"),
    "5.19": _empty("overrides ulimit {}", "Ulimits", "Name"),
    "5.20": _propagation,
    "5.21": _not_host("UTSMode", "shares the host's UTS namespace"),
    "5.22": _seccomp,
    "5.25": lambda container, _: _listed("control group below {}", filter(None, [container.host.get("CgroupParent")])),
    "5.26": _no_new_privileges,
    "5.27": _health_check,
    "5.28": _pinned_image,
    "5.29": _positive("no limit of PIDs", "PidsLimit"),
    "5.30": _default_bridge,
    "5.31": _not_host("UsernsMode", "shares the host's user namespace"),
    "5.32": _docker_socket,
}
APPLIES: Mapping[str, Callable[[DockerSnapshot], bool]] = {
    "2.14": lambda engine: bool(engine.containers) or engine.security("no-new-privileges"),
    "5.2": lambda engine: engine.security("apparmor"),
    "5.3": lambda engine: engine.security("selinux"),
    "5.9": lambda engine: engine.requested_ports is not None,
}
"""Whether an item applies to an engine; the items without a condition always apply."""

ITEMS = tuple(
    CisItem(
        item,
        engine=ENGINE_CHECKS.get(item),
        container=CONTAINER_CHECKS.get(item),
        applies=APPLIES.get(item, lambda _: True),
        needs_processes=item == "5.7",
        **texts,
    )
    for item, texts in yaml.safe_load(Path(__file__).with_suffix(".yaml").read_text()).items()
)
