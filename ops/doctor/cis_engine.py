"""Items of the CIS Docker Benchmark (v1.6, chapter 2 and 5.1) on the engine, as far as it tells of itself.

Whether it may write firewall rules (2.4), its log level (2.3), default ulimits (2.8), the user-land proxy (2.16) and
the like stand in no answer of its API, and are not told here.
"""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import ip_network

from ops.doctor import cis_containers
from ops.doctor.seen import Seen

Check = Callable[[Seen], str | None]


def no_swarm(seen: Seen) -> str | None:
    """5.1: what Dockyard runs needs none."""
    return "the engine is in a Swarm" if seen.in_swarm else None


def bridge_traffic(seen: Seen) -> str | None:
    """2.2: restricted, or nobody is there who could talk."""
    if seen.bridge is None or (seen.bridge.get("Options") or {}).get("com.docker.network.bridge.enable_icc") == "false":
        return None
    there = [str(one.get("Name")) for one in (seen.bridge.get("Containers") or {}).values()]
    return f"{', '.join(sorted(there))} can talk to each other on the default bridge" if there else None


def secure_registries(seen: Seen) -> str | None:
    """2.5: those on this machine itself aside."""
    registries = seen.info.get("RegistryConfig") or {}
    nets = [str(one) for one in registries.get("InsecureRegistryCIDRs") or () if not ip_network(one).is_loopback]
    indexes = registries.get("IndexConfigs") or {}
    hosts = [
        name
        for name, one in indexes.items()
        if not one.get("Secure", True) and not name.startswith(("127.", "localhost", "[::1]"))
    ]
    found = sorted([*nets, *hosts])
    return f"insecure registries: {', '.join(found)}" if found else None


def no_aufs(seen: Seen) -> str | None:
    """2.6."""
    return "storage driver aufs" if seen.info.get("Driver") == "aufs" else None


def guarded_api(seen: Seen) -> str | None:
    """2.7: its API is on a socket, or asks for certificates."""
    warned = [str(one) for one in seen.info.get("Warnings") or () if "API is accessible on http" in str(one)]
    if warned:
        return warned[0].split(": ", maxsplit=1)[-1]
    return f"{seen.docker_host} asks nobody who he is" if seen.docker_host.startswith("http://") else None


def new_privileges(seen: Seen) -> str | None:
    """2.14: by the engine's default, or by each container's own option."""
    if seen.security("no-new-privileges"):
        return None
    without = [one.service for one in seen.containers if cis_containers.no_new_privileges(one, seen)]
    return f"neither the engine nor {', '.join(sorted(without))} forbids it" if without else None


def live_restore(seen: Seen) -> str | None:
    """2.15: Swarm refuses it."""
    return None if seen.info.get("LiveRestoreEnabled") or seen.in_swarm else "containers end with the engine"


def no_experiments(seen: Seen) -> str | None:
    """2.18."""
    return "experimental features are on" if seen.info.get("ExperimentalBuild") else None


def user_namespaces(seen: Seen) -> str | None:
    """2.9 (level 2)."""
    return None if seen.security("userns") or seen.security("rootless") else "root in a container is root of the host"


def authorization(seen: Seen) -> str | None:
    """2.12 (level 2)."""
    found = (seen.info.get("Plugins") or {}).get("Authorization")
    return None if found else "who may use the socket may do everything"


def central_logs(seen: Seen) -> str | None:
    """2.13 (level 2): a driver that sends them away, or the stack's own log pipeline."""
    sent = seen.info.get("LoggingDriver") not in ("json-file", "local", "none")
    piped = any(one.service == "collector" for one in seen.containers)
    return None if sent or piped else "logs stay on this host (monitoring.logs)"
