"""Items of the CIS Docker Benchmark (v1.6, chapters 4 and 5): each function checks one container.

A check returns the reason for a failure, or None. Only running containers are checked, as in the benchmark's own
audits. Where the benchmark leaves a choice ("if needed"), the stricter reading applies, and exceptions need a waiver.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from ipaddress import ip_address

from ops.doctor.seen import DockerSnapshot, RunningContainer

Check = Callable[[RunningContainer, DockerSnapshot], str | None]

SENSITIVE = ("/boot", "/dev", "/etc", "/lib", "/proc", "/sys", "/usr")
"""Host folders that the benchmark names (5.6), in addition to `/`."""

EDGE, WEB_PORTS = "traefik", (80, 443)
"""The benchmark's own exception to 5.8: a load balancer has to bind these two ports."""

MOVING_TAGS = ("latest", "stable", "main", "master", "edge", "nightly", "dev")


def own_user(container: RunningContainer, _: DockerSnapshot) -> str | None:
    """4.1."""
    user = str(container.config.get("User") or "")
    return f"runs as {user or 'root'}" if user.split(":", maxsplit=1)[0] in ("", "0", "root") else None


def health_check(container: RunningContainer, _: DockerSnapshot) -> str | None:
    """4.6 and 5.27: defined by the image or by the container."""
    test = (container.config.get("Healthcheck") or {}).get("Test") or ["NONE"]
    return "no health check" if test[0] == "NONE" else None


def apparmor(container: RunningContainer, _: DockerSnapshot) -> str | None:
    """5.2."""
    profile = container.inspected.get("AppArmorProfile") or ""
    return f"AppArmor profile {profile or 'none'}" if profile in ("", "unconfined") else None


def selinux(container: RunningContainer, _: DockerSnapshot) -> str | None:
    """5.3."""
    options = [str(option).replace(":", "=") for option in container.host.get("SecurityOpt") or ()]
    if "label=disable" in options or not container.inspected.get("ProcessLabel"):
        return "no SELinux label"
    return None


def capabilities(container: RunningContainer, _: DockerSnapshot) -> str | None:
    """5.4: all dropped, none added."""
    dropped = {str(capability).upper() for capability in container.host.get("CapDrop") or ()}
    if "ALL" not in dropped:
        return "does not drop all capabilities"
    added = container.host.get("CapAdd") or ()
    return f"adds {', '.join(added)}" if added else None


def privileged(container: RunningContainer, _: DockerSnapshot) -> str | None:
    """5.5."""
    return "privileged" if container.host.get("Privileged") else None


def host_folders(container: RunningContainer, _: DockerSnapshot) -> str | None:
    """5.6: read-only mounts count as well."""
    mounts = [mount for mount in container.inspected.get("Mounts") or () if mount.get("Type") == "bind"]
    sources = [str(mount.get("Source")) for mount in mounts if _sensitive(str(mount.get("Source")))]
    return f"mounts {', '.join(sorted(sources))} of the host" if sources else None


def _sensitive(path: str) -> bool:
    return path == "/" or any(path == folder or path.startswith(f"{folder}/") for folder in SENSITIVE)


def no_sshd(container: RunningContainer, _: DockerSnapshot) -> str | None:
    """5.7."""
    daemons = [program for program in container.programs or () if re.search(r"(^|/)sshd\b", program)]
    return f"runs {daemons[0]}" if daemons else None


def privileged_ports(container: RunningContainer, _: DockerSnapshot) -> str | None:
    """5.8."""
    allowed = WEB_PORTS if container.service == EDGE else ()
    ports = sorted({port for _, port in container.published if port < 1024 and port not in allowed})
    return f"publishes {', '.join(map(str, ports))}" if ports else None


def needed_ports(container: RunningContainer, snapshot: DockerSnapshot) -> str | None:
    """5.9: only ports that the settings publish."""
    if snapshot.requested_ports is None:
        return None
    ports = sorted({port for _, port in container.published} - snapshot.requested_ports)
    return f"publishes {', '.join(map(str, ports))}, which the settings do not ask for" if ports else None


def host_network(container: RunningContainer, _: DockerSnapshot) -> str | None:
    """5.10."""
    return "is in the host's network" if container.host.get("NetworkMode") == "host" else None


def memory_limit(container: RunningContainer, _: DockerSnapshot) -> str | None:
    """5.11."""
    return None if container.host.get("Memory") else "no memory limit"


def cpu_limit(container: RunningContainer, _: DockerSnapshot) -> str | None:
    """5.12: a limit of cores, a quota or a share."""
    limited = any(container.host.get(key) for key in ("NanoCpus", "CpuQuota", "CpuShares"))
    return None if limited else "no limit of processor time"


def read_only_root(container: RunningContainer, _: DockerSnapshot) -> str | None:
    """5.13."""
    return None if container.host.get("ReadonlyRootfs") else "writable root file system"


def bound_address(container: RunningContainer, _: DockerSnapshot) -> str | None:
    """5.14."""
    ports = sorted({port for address, port in container.published if not address or ip_address(address).is_unspecified})
    return f"publishes {', '.join(map(str, ports))} on every address of the host" if ports else None


def restart_policy(container: RunningContainer, _: DockerSnapshot) -> str | None:
    """5.15: `on-failure`, at most five times, or never."""
    policy = container.host.get("RestartPolicy") or {}
    name, retries = policy.get("Name") or "no", int(policy.get("MaximumRetryCount") or 0)
    if name == "no" or (name == "on-failure" and 0 < retries <= 5):
        return None
    return f"restart: {name}{f':{retries}' if retries else ''}"


def host_processes(container: RunningContainer, _: DockerSnapshot) -> str | None:
    """5.16."""
    return "sees the host's processes" if container.host.get("PidMode") == "host" else None


def host_ipc(container: RunningContainer, _: DockerSnapshot) -> str | None:
    """5.17."""
    return "shares the host's IPC" if container.host.get("IpcMode") == "host" else None


def devices(container: RunningContainer, _: DockerSnapshot) -> str | None:
    """5.18."""
    paths = [str(device.get("PathOnHost")) for device in container.host.get("Devices") or ()]
    return f"has {', '.join(paths)}" if paths else None


def ulimits(container: RunningContainer, _: DockerSnapshot) -> str | None:
    """5.19."""
    names = [str(limit.get("Name")) for limit in container.host.get("Ulimits") or ()]
    return f"overrides ulimit {', '.join(names)}" if names else None


def propagation(container: RunningContainer, _: DockerSnapshot) -> str | None:
    """5.20."""
    mounts = container.inspected.get("Mounts") or ()
    targets = [str(mount.get("Destination")) for mount in mounts if mount.get("Propagation") in ("shared", "rshared")]
    return f"shares mounts below {', '.join(targets)}" if targets else None


def host_uts(container: RunningContainer, _: DockerSnapshot) -> str | None:
    """5.21."""
    return "shares the host's name" if container.host.get("UTSMode") == "host" else None


def seccomp(container: RunningContainer, snapshot: DockerSnapshot) -> str | None:
    """5.22."""
    options = [str(option).replace(":", "=") for option in container.host.get("SecurityOpt") or ()]
    off = "seccomp=unconfined" in options or not snapshot.security("seccomp")
    return "no seccomp profile" if off else None


def control_group(container: RunningContainer, _: DockerSnapshot) -> str | None:
    """5.25."""
    parent = container.host.get("CgroupParent")
    return f"control group below {parent}" if parent else None


def no_new_privileges(container: RunningContainer, _: DockerSnapshot) -> str | None:
    """5.26."""
    options = [str(option).replace(":", "=") for option in container.host.get("SecurityOpt") or ()]
    limited = any(option in ("no-new-privileges", "no-new-privileges=true") for option in options)
    return None if limited else "can gain privileges"


def pinned_image(container: RunningContainer, _: DockerSnapshot) -> str | None:
    """5.28: by digest, or by a tag that does not move."""
    image = str(container.config.get("Image") or "")
    if "@sha256:" in image or re.fullmatch(r"(sha256:)?[0-9a-f]{12,64}", image):
        return None
    tag = image.rsplit("/", maxsplit=1)[-1].partition(":")[2]
    return f"image {image}" if not tag or tag in MOVING_TAGS else None


def process_limit(container: RunningContainer, _: DockerSnapshot) -> str | None:
    """5.29."""
    return None if int(container.host.get("PidsLimit") or 0) > 0 else "no limit of processes"


def default_bridge(container: RunningContainer, _: DockerSnapshot) -> str | None:
    """5.30."""
    networks = (container.inspected.get("NetworkSettings") or {}).get("Networks") or {}
    return "is on the default bridge" if "bridge" in networks else None


def host_users(container: RunningContainer, _: DockerSnapshot) -> str | None:
    """5.31."""
    return "shares the host's user namespace" if container.host.get("UsernsMode") == "host" else None


def docker_socket(container: RunningContainer, _: DockerSnapshot) -> str | None:
    """5.32: the Docker socket of any engine."""
    mounts = container.inspected.get("Mounts") or ()
    sockets = [str(mount.get("Source")) for mount in mounts if str(mount.get("Source")).endswith("docker.sock")]
    return f"mounts {', '.join(sockets)}" if sockets else None
