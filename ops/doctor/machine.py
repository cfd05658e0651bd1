"""Checks whether the Docker host can run the stack: disk, memory, cores, kernel, engine settings.

Every check takes values that were read before and returns findings; this module itself reads only local files.
"""

from __future__ import annotations

import os
import platform
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ops.doctor.docker_snapshot import RunningContainer
from ops.doctor.findings import Finding, Status, graded

OLDEST = (20, 10)
"""The oldest Docker engine that the tests cover."""

DRIVERS = ("overlay2", "overlayfs", "btrfs", "zfs", "fuse-overlayfs")

DISK_FAILED, DISK_WARNED = 3 << 30, 10 << 30
"""Free bytes: the dev stack's images and volumes need 2 GB; below 10 GB, a month of metrics may not fit."""

INODES_FAILED, INODES_WARNED = 0.02, 0.10
"""Free inodes, as a fraction of all inodes."""

MEMORY_WARNED = 0.8
"""Fraction of the memory that may be reserved without starving the rest of the host."""

LOG_DEFAULTS = {"json-file": ("", 1), "local": ("100m", 5)}
"""Log driver → Docker's defaults of max-size and max-file."""

SYSCTL = "/proc/sys"
KERNEL_FILES = {"vm/overcommit_memory": SYSCTL, "fs/file-nr": SYSCTL, "transparent_hugepage/enabled": "/sys/kernel/mm"}
FILES_WARNED = 0.8
"""Fraction of the kernel's file handles that may be in use."""


@dataclass(frozen=True)
class DiskSpace:
    """Capacity of a file system, in bytes and inodes."""

    path: str
    free: int
    total: int
    inodes_free: int
    inodes: int
    """0 where the file system allocates inodes dynamically."""


def is_local_engine(info: Mapping[str, Any], docker_host: str) -> bool:
    """Return whether the engine runs on this machine's kernel, so that local files describe its host."""
    return docker_host.startswith("unix://") and info.get("KernelVersion") == platform.release()


def disk_space(path: Path) -> DiskSpace:
    """Read the capacity of a file system. Raises OSError."""
    disk, stats = shutil.disk_usage(path), os.statvfs(path)
    return DiskSpace(str(path), disk.free, disk.total, stats.f_favail, stats.f_files)


def engine_version(info: Mapping[str, Any], docker_host: str) -> list[Finding]:
    """Check the engine's version."""
    version = str(info.get("ServerVersion") or "unknown")
    message = f"{version} at {docker_host}"
    try:
        old = tuple(int(part) for part in version.split(".")[:2]) < OLDEST
    except ValueError:
        message += ": version not recognised"
        return [Finding("Docker engine", "warning", message, "use a released version")]
    return [graded("Docker engine", message, "update it: 20.10 is the oldest tested version", failed=old)]


def storage(info: Mapping[str, Any]) -> list[Finding]:
    """Check the storage driver."""
    driver = str(info.get("Driver"))
    remedy = '"storage-driver": "overlay2" in /etc/docker/daemon.json'
    return [graded("storage driver", driver, remedy, failed=driver not in DRIVERS)]


def control_groups(info: Mapping[str, Any]) -> list[Finding]:
    """Check which resources the kernel can limit."""
    version = f"version {info.get('CgroupVersion', '1')}, driver {info.get('CgroupDriver')}"
    limits = {"MemoryLimit": "memory", "CpuCfsQuota": "cores", "PidsLimit": "processes"}
    if lacking := [resource for key, resource in limits.items() if not info.get(key)]:
        remedy = "boot with cgroup_enable=memory, or with cgroup version 2 (systemd.unified_cgroup_hierarchy=1)"
        return [Finding("control groups", "failed", f"{version}: cannot limit {', '.join(lacking)}", remedy)]
    remedy = (
        "boot with swapaccount=1, or with cgroup version 2: until then swap is not limited, and the official"
        " provider shows an update of memory_swap in every preview"
    )
    swap = bool(info.get("SwapLimit"))
    message = f"{version}, with swap accounting" if swap else f"{version}: no swap accounting"
    return [graded("control groups", message, remedy, warning=not swap)]


def engine_settings(info: Mapping[str, Any], environment: str) -> list[Finding]:
    """Check settings of the engine that Dockyard's containers depend on."""
    driver = info.get("LoggingDriver")
    options = {str(option).split(",")[0] for option in info.get("SecurityOptions") or ()}
    checks: list[tuple[bool, Status, str, str]] = [
        (
            driver not in ("json-file", "local"),
            "note",
            f"log driver {driver}: only other containers use it; Dockyard's containers use json-file",
            "",
        ),
        (
            "name=userns" in options,
            "warning",
            "user namespaces are remapped: cAdvisor and the log collector cannot read root's files",
            'remove "userns-remap" from /etc/docker/daemon.json, or set monitoring: {logs: {enabled: false}}',
        ),
        (
            "name=rootless" in options,
            "warning",
            "rootless: limits need cgroup version 2, and the log collector cannot read logs",
            "for complete monitoring use an engine that runs as root",
        ),
        (
            not info.get("LiveRestoreEnabled") and environment != "development",
            "warning",
            "containers stop when the engine is updated",
            '"live-restore": true in /etc/docker/daemon.json, unless the engine is in a Swarm',
        ),
        (
            not info.get("IPv4Forwarding", True),
            "failed",
            "IPv4 forwarding is off: published ports cannot be reached",
            "sysctl -w net.ipv4.ip_forward=1, and in /etc/sysctl.d",
        ),
        *((True, "note", f"the engine says: {warning}", "") for warning in info.get("Warnings") or ()),
    ]
    findings = [Finding("engine settings", status, *texts) for applies, status, *texts in checks if applies]
    return findings or [Finding("engine settings", "ok", f"log driver {driver}, no warning of its own")]


def disk(space: DiskSpace) -> list[Finding]:
    """Check free space and inodes for images and volumes."""
    remedy = "docker image prune -a --filter until=168h; docker system df shows what uses the space"
    free = f"{space.free / 2**30:.1f} of {space.total / 2**30:.0f} GB free at {space.path}"
    findings = [graded("disk", free, remedy, failed=space.free < DISK_FAILED, warning=space.free < DISK_WARNED)]
    if space.inodes:
        part = space.inodes_free / space.inodes
        message = f"{part:.0%} of {space.inodes} free at {space.path}"
        findings.append(graded("inodes", message, remedy, failed=part < INODES_FAILED, warning=part < INODES_WARNED))
    return findings


def memory(info: Mapping[str, Any], reserved: int, source: str) -> list[Finding]:
    """Compare the sum of reservations, in bytes, with the host's memory."""
    total = int(info.get("MemTotal") or 0)
    message = f"{reserved / 2**30:.1f} of {total / 2**30:.1f} GB are reserved ({source})"
    remedy = "lower reserved: of services and stores, or use a larger host"
    return [graded("memory", message, remedy, failed=reserved > total, warning=reserved > MEMORY_WARNED * total)]


def cores(info: Mapping[str, Any], limits: Sequence[float], source: str) -> list[Finding]:
    """Compare CPU limits with the host's cores; only their sum may exceed them: few services peak at the same time."""
    host_cores, largest = int(info.get("NCPU") or 0), max(limits, default=0)
    message = f"{host_cores} on the host, limits up to {largest:g}, {sum(limits):g} in total ({source})"
    remedy = "lower cpus: to at most the host's cores; Docker refuses more"
    return [graded("cores", message, remedy, failed=largest > host_cores)]


def kernel(read: Mapping[str, str], *, redis: bool) -> list[Finding]:
    """Check kernel settings; `read` maps a file below /proc/sys or /sys to its content, without unreadable files."""
    findings = []
    overcommit = read.get("vm/overcommit_memory")
    if redis and overcommit not in (None, "1"):
        remedy = "sysctl -w vm.overcommit_memory=1, and in /etc/sysctl.d: Redis recommends it"
        message = f"vm.overcommit_memory is {overcommit}: Redis may fail to save when memory is low"
        findings.append(Finding("kernel", "warning", message, remedy))
    if redis and "[always]" in read.get("transparent_hugepage/enabled", ""):
        remedy = "echo madvise > /sys/kernel/mm/transparent_hugepage/enabled, and at boot: Redis recommends it"
        findings.append(Finding("kernel", "warning", "transparent huge pages slow Redis down", remedy))
    if handles := read.get("fs/file-nr", "").split():
        used, limit = int(handles[0]), int(handles[-1])
        message = f"{used} of {limit} file handles in use"
        remedy = "sysctl -w fs.file-max=…, twice the current value"
        findings.append(graded("kernel", message, remedy, failed=used > FILES_WARNED * limit))
    return findings


def read_kernel() -> dict[str, str]:
    """Read the files that `kernel` checks; files are missing if the kernel is not Linux, or lacks the setting."""
    files = {name: Path(folder, name) for name, folder in KERNEL_FILES.items()}
    return {name: file.read_text().strip() for name, file in files.items() if os.access(file, os.R_OK)}


def log_rotation(containers: Sequence[RunningContainer], free: int | None) -> list[Finding]:
    """Check that log files of running containers are limited in size, and that their total fits into the free space."""
    unlimited, largest = [], 0
    for container in containers:
        log_config = container.host.get("LogConfig") or {}
        options = log_config.get("Config") or {}
        if log_config.get("Type") not in LOG_DEFAULTS:
            continue
        default_size, default_files = LOG_DEFAULTS[log_config["Type"]]
        size = _bytes(options.get("max-size", default_size))
        if size is None:
            unlimited.append(container.service)
        else:
            largest += size * int(options.get("max-file") or default_files)
    if unlimited:
        remedy = "./dockyard up recreates them with max-size and max-file (docker: in the stack file)"
        return [
            Finding("log rotation", "failed", f"{', '.join(sorted(unlimited))}: log files without a size limit", remedy)
        ]
    too_large = free is not None and largest > free
    message = f"{len(containers)} containers, at most {largest / 2**30:.1f} GB in total"
    message += ": more than the free space" if too_large else ""
    return [graded("log rotation", message, "lower docker: {log_max_files: …}", warning=too_large)]


def _bytes(size: str) -> int | None:
    match = re.fullmatch(r"(\d+)([kmg]?)", size.lower())
    return int(match[1]) * {"": 1, "k": 2**10, "m": 2**20, "g": 2**30}[match[2]] if match else None
