"""The host: its CPUs, memory, disks, network and clock."""

from __future__ import annotations

from grafana_foundation_sdk.models.dashboard import Dashboard

from dashboards.board import Board
from dashboards.panels import (
    BYTES,
    BYTES_PER_SECOND,
    FI,
    RATIO,
    SECONDS,
    SHORT,
    F,
    Limits,
    Panel,
    Query,
    chart,
    number,
    rows_of,
)
from dashboards.shown import Shown

YEAR = 365 * 86400
HOST = "product, environment, instance"


def host(shown: Shown) -> Dashboard:
    """Make the board of the machine that the stack runs on."""
    board = Board(shown, "host", "Host", "is the machine large enough, and well?", instances="node_uname_info")
    board.row(4, _now(shown))
    board.row(8, [_cpu(shown), _memory(shown)])
    board.row(8, [_memory_use(), _pressure(shown)])
    board.row(7, [_filesystems(shown)])
    board.row(8, [_free_space(shown), _disk_latency(shown), _disk_throughput()])
    board.row(8, _network(shown))
    board.row(8, [_kernel(shown), _clock(shown)])
    return board.build()


def _now(shown: Shown) -> list[Panel]:
    free = shown.limit("DiskSpaceLow")
    return [
        number(
            "CPU",
            f"max(instance:node_cpu_utilisation:ratio_rate5m{{{FI}}})",
            "Share of the CPUs that work, over 5 minutes.",
            RATIO,
            Limits(shown.limit("HighCpuUsage"), shown.limit("ScaleCpuCritical")),
            course=True,
        ),
        number(
            "Memory",
            f"1 - min(instance:node_memory_available:ratio{{{FI}}})",
            "Share of the memory that is not available.",
            RATIO,
            Limits(shown.limit("ScaleMemoryWarning"), 1 - shown.limit("LowMemoryAvailable")),
            course=True,
        ),
        number(
            "Fullest disk",
            f"1 - min(instance:node_filesystem_available:ratio{{{FI}}})",
            "Share of the fullest file system that is used.",
            RATIO,
            Limits(warning=1 - free),
            course=True,
        ),
        number(
            "Load per core",
            f"max(instance:node_load15_per_core:ratio{{{FI}}})",
            "Tasks that run or wait for a disk, for each core; average of 15 minutes.",
            "none",
            Limits(warning=shown.limit("HighLoad")),
            course=True,
        ),
    ]


def _cpu(shown: Shown) -> Panel:
    return chart(
        "CPU by mode",
        Query(f'avg by ({HOST}, mode) (rate(node_cpu_seconds_total{{{FI}, mode!="idle"}}[5m]))', "{{mode}}"),
        "What the CPUs do, over 5 minutes. “steal” is time that the hypervisor gave to others; “iowait” is waiting for "
        "a disk, and does not count as use.",
        RATIO,
        Limits(shown.limit("HighCpuUsage"), shown.limit("ScaleCpuCritical")),
        stacked=True,
    )


def _memory(shown: Shown) -> Panel:
    return chart(
        "Memory available",
        Query(f"instance:node_memory_available:ratio{{{FI}}}", "{{instance}}"),
        "Share of the memory that programs can still have, without swap.",
        RATIO,
        Limits(1 - shown.limit("ScaleMemoryWarning"), shown.limit("LowMemoryAvailable"), falling=True),
    )


def _memory_use() -> Panel:
    def of(expr: str) -> str:
        return f"sum by ({HOST}) ({expr})"

    kernel = " + ".join(f"node_memory_{part}_bytes{{{FI}}}" for part in ("Slab", "KernelStack", "PageTables"))
    return chart(
        "Memory by use",
        [
            Query(of(f"node_memory_AnonPages_bytes{{{FI}}}"), "programs"),
            Query(of(kernel), "kernel"),
            Query(of(f"node_memory_Cached_bytes{{{FI}}} + node_memory_Buffers_bytes{{{FI}}}"), "files"),
            Query(of(f"node_memory_MemFree_bytes{{{FI}}}"), "free"),
            Query(of(f"node_memory_SwapTotal_bytes{{{FI}}} - node_memory_SwapFree_bytes{{{FI}}}"), "swap in use"),
        ],
        "What the memory holds. Files read a while ago make room for programs when they need it; swap comes on top.",
        BYTES,
        stacked=True,
    )


def _pressure(shown: Shown) -> Panel:
    return chart(
        "Pressure",
        [
            Query(f"rate(node_pressure_{what}_waiting_seconds_total{{{FI}}}[5m])", shows)
            for what, shows in (("cpu", "CPU"), ("memory", "memory"), ("io", "disks"))
        ],
        "Share of the time in which some task stood still for want of it (the kernel's pressure stall figures).",
        RATIO,
        Limits(warning=shown.limit("MemoryPressure")),
    )


def _filesystems(shown: Shown) -> Panel:
    def of(expr: str) -> str:
        return f"max by ({HOST}, mountpoint, device) ({expr})"

    seen = f"and instance:node_filesystem_available:ratio{{{FI}}}"
    full = f"clamp_max(instance:node_filesystem_full:seconds{{{FI}}}, {YEAR})"
    inodes = f"node_filesystem_files_free{{{FI}}} / node_filesystem_files{{{FI}}} {seen}"
    return rows_of(
        "Filesystems",
        {
            "Free": of(f"instance:node_filesystem_available:ratio{{{FI}}}"),
            "Free bytes": of(f"node_filesystem_avail_bytes{{{FI}}} {seen}"),
            "Size": of(f"node_filesystem_size_bytes{{{FI}}} {seen}"),
            "Full in": of(full),
            "Free inodes": of(inodes),
            "Read-only": of(f"node_filesystem_readonly{{{FI}}} {seen}"),
        },
        "File systems that hold data. “Full in” is by the pace of 6 hours, and a year where it is longer.",
        {"mountpoint": "Mounted at", "device": "Device"},
        {"Free": RATIO, "Free bytes": BYTES, "Size": BYTES, "Full in": SECONDS, "Free inodes": RATIO},
        {
            "Free": Limits(warning=shown.limit("DiskSpaceLow"), falling=True),
            "Full in": Limits(shown.limit("DiskFullWithinADay"), shown.limit("DiskFullWithinHours"), falling=True),
            "Free inodes": Limits(warning=shown.limit("DiskInodesLow"), falling=True),
            "Read-only": Limits(critical=1),
        },
    )


def _free_space(shown: Shown) -> Panel:
    return chart(
        "Free disk space",
        Query(f"instance:node_filesystem_available:ratio{{{FI}}}", "{{mountpoint}}"),
        "Share of each file system that programs can still have.",
        RATIO,
        Limits(warning=shown.limit("DiskSpaceLow"), falling=True),
    )


def _disk_latency(shown: Shown) -> Panel:
    return chart(
        "Disk latency",
        Query(f"device:node_disk_io_latency_seconds:ratio_rate5m{{{FI}}}", "{{device}}"),
        "How long one request to the disk takes, waiting in its queue included; over 5 minutes.",
        SECONDS,
        Limits(warning=shown.limit("DiskLatencyHigh")),
    )


def _disk_throughput() -> Panel:
    return chart(
        "Disk throughput",
        [
            Query(f"rate(node_disk_{metric}_bytes_total{{{FI}}}[5m])", f"{{{{device}}}} {metric}")
            for metric in ("read", "written")
        ],
        "Bytes a second read from and written to each disk.",
        BYTES_PER_SECOND,
    )


def _network(shown: Shown) -> list[Panel]:
    return [
        chart(
            "Network traffic",
            Query(f"interface:host_network_bytes:rate5m{{{F}}}", "{{interface}} {{direction}}"),
            "Bytes a second on the interfaces that lead out of the host.",
            BYTES_PER_SECOND,
            Limits(warning=shown.limit("NetworkSaturated")),
        ),
        chart(
            "Network errors and drops",
            [
                Query(f"interface:host_network_errors:ratio_rate5m{{{F}}}", "{{interface}} errors"),
                Query(f"interface:host_network_drops:ratio_rate5m{{{F}}}", "{{interface}} drops"),
            ],
            "Share of the packets of each interface that were damaged, and that were dropped.",
            RATIO,
            Limits(shown.limit("NetworkErrors"), shown.limit("NetworkDrops")),
        ),
    ]


def _kernel(shown: Shown) -> Panel:
    def of(expr: str) -> str:
        return f"max by ({HOST}) ({expr})"

    swapped = f"rate(node_vmstat_pswpin{{{FI}}}[5m]) + rate(node_vmstat_pswpout{{{FI}}}[5m])"
    return rows_of(
        "Kernel",
        {
            "Up for": of(f"time() - node_boot_time_seconds{{{FI}}}"),
            "Kills for memory": of(f"increase(node_vmstat_oom_kill{{{FI}}}[1d])"),
            "Pages swapped/s": of(swapped),
            "Open files": of(f"node_filefd_allocated{{{FI}}} / node_filefd_maximum{{{FI}}}"),
            "Collectors failing": f"sum by ({HOST}) (1 - node_scrape_collector_success{{{FI}}})",
        },
        "Kills for memory are those of a day; open files are of what the kernel allows; collectors node_exporter's.",
        {"instance": "Host"},
        {"Up for": SECONDS, "Kills for memory": SHORT, "Pages swapped/s": SHORT, "Open files": RATIO},
        {
            "Up for": Limits(warning=shown.limit("HostRebooted"), falling=True),
            "Kills for memory": Limits(warning=1),
            "Pages swapped/s": Limits(warning=shown.limit("SwapThrashing")),
            "Open files": Limits(warning=shown.limit("FileDescriptorsLow")),
            "Collectors failing": Limits(warning=1),
        },
    )


def _clock(shown: Shown) -> Panel:
    return chart(
        "Clock offset",
        [
            Query(f"abs(node_timex_offset_seconds{{{FI}}})", "offset"),
            Query(f"node_timex_maxerror_seconds{{{FI}}}", "largest possible error"),
        ],
        "How far the clock is from its time server, and how far it may be; 16 s where no server is heard.",
        SECONDS,
        Limits(warning=shown.limit("ClockSkew")),
    )
