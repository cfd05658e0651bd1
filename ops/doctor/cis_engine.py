"""Items of the CIS Docker Benchmark (v1.6, chapter 2 and 5.1) on the Docker engine, as far as its API reports them.

The API does not report firewall rules (2.4), the log level (2.3), default ulimits (2.8), the userland proxy (2.16) and
the like, so these items are left out.
"""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import ip_network

from ops.doctor import cis_containers
from ops.doctor.seen import DockerSnapshot

Check = Callable[[DockerSnapshot], str | None]


def no_swarm(snapshot: DockerSnapshot) -> str | None:
    """5.1: Dockyard's containers need no Swarm."""
    return "the engine is in a Swarm" if snapshot.in_swarm else None


def bridge_traffic(snapshot: DockerSnapshot) -> str | None:
    """2.2: traffic is restricted, or no container is on the bridge."""
    if snapshot.bridge is None:
        return None
    if (snapshot.bridge.get("Options") or {}).get("com.docker.network.bridge.enable_icc") == "false":
        return None
    neighbours = [str(container.get("Name")) for container in (snapshot.bridge.get("Containers") or {}).values()]
    return f"{', '.join(sorted(neighbours))} can talk to each other on the default bridge" if neighbours else None


def secure_registries(snapshot: DockerSnapshot) -> str | None:
    """2.5: registries on the loopback address are allowed."""
    registries = snapshot.info.get("RegistryConfig") or {}
    nets = [
        str(network) for network in registries.get("InsecureRegistryCIDRs") or () if not ip_network(network).is_loopback
    ]
    indexes = registries.get("IndexConfigs") or {}
    hosts = [
        name
        for name, index in indexes.items()
        if not index.get("Secure", True) and not name.startswith(("127.", "localhost", "[::1]"))
    ]
    insecure = sorted([*nets, *hosts])
    return f"insecure registries: {', '.join(insecure)}" if insecure else None


def no_aufs(snapshot: DockerSnapshot) -> str | None:
    """2.6."""
    return "storage driver aufs" if snapshot.info.get("Driver") == "aufs" else None


def guarded_api(snapshot: DockerSnapshot) -> str | None:
    """2.7: the API listens on a socket, or requires client certificates."""
    warnings = [
        str(warning) for warning in snapshot.info.get("Warnings") or () if "API is accessible on http" in str(warning)
    ]
    if warnings:
        return warnings[0].split(": ", maxsplit=1)[-1]
    return f"{snapshot.docker_host} asks nobody who he is" if snapshot.docker_host.startswith("http://") else None


def new_privileges(snapshot: DockerSnapshot) -> str | None:
    """2.14: set as the engine's default, or as an option of every container."""
    if snapshot.security("no-new-privileges"):
        return None
    unprotected = [
        container.service for container in snapshot.containers if cis_containers.no_new_privileges(container, snapshot)
    ]
    return f"neither the engine nor {', '.join(sorted(unprotected))} forbids it" if unprotected else None


def live_restore(snapshot: DockerSnapshot) -> str | None:
    """2.15: not possible in a Swarm."""
    return None if snapshot.info.get("LiveRestoreEnabled") or snapshot.in_swarm else "containers end with the engine"


def no_experiments(snapshot: DockerSnapshot) -> str | None:
    """2.18."""
    return "experimental features are on" if snapshot.info.get("ExperimentalBuild") else None


def user_namespaces(snapshot: DockerSnapshot) -> str | None:
    """2.9 (level 2)."""
    remapped = snapshot.security("userns") or snapshot.security("rootless")
    return None if remapped else "root in a container is root of the host"


def authorization(snapshot: DockerSnapshot) -> str | None:
    """2.12 (level 2)."""
    plugins = (snapshot.info.get("Plugins") or {}).get("Authorization")
    return None if plugins else "who may use the socket may do everything"


def central_logs(snapshot: DockerSnapshot) -> str | None:
    """2.13 (level 2): a log driver that sends logs off the host, or the stack's own log pipeline."""
    sent = snapshot.info.get("LoggingDriver") not in ("json-file", "local", "none")
    piped = any(container.service == "collector" for container in snapshot.containers)
    return None if sent or piped else "logs stay on this host (monitoring.logs)"
