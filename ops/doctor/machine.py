"""Checks whether the Docker host can run the stack: disk, memory, cores, kernel, engine settings.

Every check takes values that were read before and returns findings; this module itself reads only local files.
"""

from __future__ import annotations

import os
import platform
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ops.doctor.findings import Finding
from ops.doctor.seen import RunningContainer

OLDEST = (20, 10)
"""The oldest Docker engine that the tests cover."""

DRIVERS = ("overlay2", "overlayfs", "btrfs", "zfs", "fuse-overlayfs")

DISK_FAILED, DISK_WARNED = 3 << 30, 10 << 30
"""Free bytes: the dev stack's images and volumes need 2 GB; below 10 GB, a month of metrics may not fit."""

INODES_FAILED, INODES_WARNED = 0.02, 0.10
"""Free inodes, as a fraction of all inodes."""

MEMORY_WARNED = 0.8
"""Fraction of the memory that may be reserved without starving the rest of the host."""

FILES_WARNED = 0.8
"""Fraction of the kernel's file handles that may be in use."""


@dataclass(frozen=True)
class Space:
    """Capacity of a file system, in bytes and inodes."""

    path: str
    free: int
    total: int
    inodes_free: int
    inodes: int
    """0 where the file system allocates inodes dynamically."""


def is_here(info: Mapping[str, Any], docker_host: str) -> bool:
    """Return whether the engine runs on this machine's kernel, so that local files describe its host."""
    return docker_host.startswith("unix://") and info.get("KernelVersion") == platform.release()


def space_of(path: Path) -> Space:
    """Read the capacity of a file system. Raises OSError."""
    disk, stats = shutil.disk_usage(path), os.statvfs(path)
    return Space(str(path), disk.free, disk.total, stats.f_favail, stats.f_files)


def engine_version(info: Mapping[str, Any], docker_host: str) -> list[Finding]:
    """Check the engine's version."""
    version = str(info.get("ServerVersion") or "unknown")
    message = f"{version} at {docker_host}"
    try:
        old = tuple(int(part) for part in version.split(".")[:2]) < OLDEST
    except ValueError:
        return [
            Finding("Docker engine", "warning", f"{message}: no version that can be compared", "use a released one")
        ]
    if old:
        return [Finding("Docker engine", "failed", message, "update it: 20.10 is the oldest that is tested")]
    return [Finding("Docker engine", "ok", message)]


def storage(info: Mapping[str, Any]) -> list[Finding]:
    """Check the storage driver."""
    driver = str(info.get("Driver"))
    if driver in DRIVERS:
        return [Finding("storage driver", "ok", driver)]
    return [Finding("storage driver", "failed", driver, '"storage-driver": "overlay2" in /etc/docker/daemon.json')]


def control_groups(info: Mapping[str, Any]) -> list[Finding]:
    """Check which resources the kernel can limit."""
    version = f"version {info.get('CgroupVersion', '1')}, driver {info.get('CgroupDriver')}"
    lacking = [
        resource
        for key, resource in (("MemoryLimit", "memory"), ("CpuCfsQuota", "cores"), ("PidsLimit", "processes"))
        if not info.get(key)
    ]
    if lacking:
        remedy = "boot with cgroup_enable=memory, or with cgroup version 2 (systemd.unified_cgroup_hierarchy=1)"
        return [Finding("control groups", "failed", f"{version}: cannot limit {', '.join(lacking)}", remedy)]
    if not info.get("SwapLimit"):
        remedy = (
            "boot with swapaccount=1, or with cgroup version 2: until then swap is not limited, and the official"
            " provider shows an update of memory_swap in every preview"
        )
        return [Finding("control groups", "warning", f"{version}: no swap accounting", remedy)]
    return [Finding("control groups", "ok", f"{version}, with swap accounting")]


def engine_settings(info: Mapping[str, Any], environment: str) -> list[Finding]:
    """Check settings of the engine that Dockyard's containers depend on."""
    findings = []
    driver = info.get("LoggingDriver")
    if driver not in ("json-file", "local"):
        message = f"log driver {driver}: what is not Dockyard's own logs there; its containers say json-file themselves"
        findings.append(Finding("engine settings", "note", message))
    names = {str(option).split(",")[0] for option in info.get("SecurityOptions") or ()}
    if "name=userns" in names:
        remedy = 'remove "userns-remap" from /etc/docker/daemon.json, or set monitoring: {logs: {enabled: false}}'
        message = "user namespaces are remapped: cAdvisor and the log collector cannot read what is root's"
        findings.append(Finding("engine settings", "warning", message, remedy))
    if "name=rootless" in names:
        remedy = "use an engine that runs as root where monitoring has to be whole"
        message = "rootless: limits hold with cgroup version 2 alone, and the collector sees no logs"
        findings.append(Finding("engine settings", "warning", message, remedy))
    if not info.get("LiveRestoreEnabled") and environment != "development":
        remedy = '"live-restore": true in /etc/docker/daemon.json, where there is no Swarm'
        findings.append(Finding("engine settings", "warning", "containers end when the engine is updated", remedy))
    if not info.get("IPv4Forwarding", True):
        remedy = "sysctl -w net.ipv4.ip_forward=1, and in /etc/sysctl.d"
        findings.append(
            Finding("engine settings", "failed", "IPv4 forwarding is off: published ports lead nowhere", remedy)
        )
    for warning in info.get("Warnings") or ():
        findings.append(Finding("engine settings", "note", f"the engine says: {warning}"))
    return findings or [Finding("engine settings", "ok", f"log driver {driver}, no warning of its own")]


def disk(space: Space) -> list[Finding]:
    """Check free space and inodes for images and volumes."""
    remedy = "docker image prune -a --filter until=168h; docker system df tells what takes the room"
    free = f"{space.free / 2**30:.1f} of {space.total / 2**30:.0f} GB free at {space.path}"
    findings = [_graded("disk", free, space.free, DISK_FAILED, DISK_WARNED, remedy)]
    if space.inodes:
        part = space.inodes_free / space.inodes
        message = f"{part:.0%} of {space.inodes} free at {space.path}"
        findings.append(_graded("inodes", message, part, INODES_FAILED, INODES_WARNED, remedy))
    return findings


def _graded(topic: str, message: str, value: float, failed: float, warned: float, remedy: str) -> Finding:
    if value < failed:
        return Finding(topic, "failed", message, remedy)
    return Finding(topic, "warning", message, remedy) if value < warned else Finding(topic, "ok", message)


def memory(info: Mapping[str, Any], reserved: int, source: str) -> list[Finding]:
    """Compare the sum of reservations, in bytes, with the host's memory."""
    total = int(info.get("MemTotal") or 0)
    message = f"{reserved / 2**30:.1f} of {total / 2**30:.1f} GB are reserved ({source})"
    remedy = "lower reserved: of services and stores, or take a larger host"
    if reserved > total:
        return [Finding("memory", "failed", message, remedy)]
    if reserved > MEMORY_WARNED * total:
        return [Finding("memory", "warning", message, remedy)]
    return [Finding("memory", "ok", message)]


def cores(info: Mapping[str, Any], limits: Sequence[float], source: str) -> list[Finding]:
    """Compare CPU limits with the host's cores; only their sum may exceed them: few services peak at the same time."""
    host_cores = int(info.get("NCPU") or 0)
    message = f"{host_cores} on the host, limits up to {max(limits, default=0):g}, {sum(limits):g} together ({source})"
    if max(limits, default=0) > host_cores:
        return [
            Finding("cores", "failed", message, "lower cpus: where it is more than the host has: Docker refuses it")
        ]
    return [Finding("cores", "ok", message)]


def kernel(read: Mapping[str, str], *, redis: bool) -> list[Finding]:
    """Check kernel settings; `read` maps a file below /proc/sys or /sys to its content, without unreadable files."""
    findings = []
    overcommit = read.get("vm/overcommit_memory")
    if redis and overcommit not in (None, "1"):
        remedy = "sysctl -w vm.overcommit_memory=1, and in /etc/sysctl.d: Redis asks for it"
        message = f"vm.overcommit_memory is {overcommit}: Redis may fail to save while memory is short"
        findings.append(Finding("kernel", "warning", message, remedy))
    if redis and "[always]" in read.get("transparent_hugepage/enabled", ""):
        remedy = "echo madvise > /sys/kernel/mm/transparent_hugepage/enabled, and at boot: Redis asks for it"
        findings.append(Finding("kernel", "warning", "transparent huge pages slow Redis down", remedy))
    if handles := read.get("fs/file-nr", "").split():
        used, limit = int(handles[0]), int(handles[-1])
        message = f"{used} of {limit} file handles in use"
        short = used > FILES_WARNED * limit
        remedy = "sysctl -w fs.file-max=…, twice of what it is"
        findings.append(Finding("kernel", "failed" if short else "ok", message, remedy if short else ""))
    return findings


def read_kernel() -> dict[str, str]:
    """Read the files that `kernel` checks; missing files are left out."""
    folders = {
        "vm/overcommit_memory": "/proc/sys",
        "fs/file-nr": "/proc/sys",
        "transparent_hugepage/enabled": "/sys/kernel/mm",
    }
    values = {}
    for name, folder in folders.items():
        try:
            values[name] = Path(folder, name).read_text().strip()
        except OSError:
            # The kernel is not Linux, or lacks this setting: nothing to check.
            continue
    return values


def log_rotation(containers: Sequence[RunningContainer], free: int | None) -> list[Finding]:
    """Check that log files of running containers are limited in size, and that their total fits into the free space."""
    endless, largest = [], 0
    for container in containers:
        log_config = container.host.get("LogConfig") or {}
        options = log_config.get("Config") or {}
        if log_config.get("Type") not in ("json-file", "local"):
            continue
        size = _bytes(options.get("max-size", "100m" if log_config.get("Type") == "local" else ""))
        if size is None:
            endless.append(container.service)
        else:
            largest += size * int(options.get("max-file") or (5 if log_config.get("Type") == "local" else 1))
    if endless:
        remedy = "./dockyard up makes them anew with max-size and max-file (docker: in the stack file)"
        return [Finding("log rotation", "failed", f"{', '.join(sorted(endless))}: log files without an end", remedy)]
    message = f"{len(containers)} containers, at most {largest / 2**30:.1f} GB together"
    if free is not None and largest > free:
        return [
            Finding("log rotation", "warning", f"{message}: more than is free", "docker: {log_max_files: …}, lower")
        ]
    return [Finding("log rotation", "ok", message)]


def _bytes(size: str) -> int | None:
    units = {"k": 2**10, "m": 2**20, "g": 2**30}
    number, unit = size[:-1], size[-1:].lower()
    if number.isdigit() and unit in units:
        return int(number) * units[unit]
    return int(size) if size.isdigit() else None
