"""The host: its CPUs, memory, disks, network and clock."""

from __future__ import annotations

from grafana_foundation_sdk.models.dashboard import Dashboard

from dashboards.board import Board
from dashboards.panels import (
    BYTES,
    BYTES_PER_SECOND,
    INSTANCE,
    RATIO,
    SECONDS,
    SHORT,
    STACK,
    Limits,
    Panel,
    Query,
    chart,
    stat,
    table,
)
from dashboards.shown import DashboardContext

YEAR = 365 * 86400
HOST = "product, environment, instance"


def host(ctx: DashboardContext) -> Dashboard:
    """Build the board of the machine that the stack runs on."""
    board = Board(ctx, "host", "Host", "is the machine large enough, and well?", instances="node_uname_info")
    board.row(4, _now(ctx))
    board.row(8, [_cpu(ctx), _memory(ctx)])
    board.row(8, [_memory_use(), _pressure(ctx)])
    board.row(7, [_filesystems(ctx)])
    board.row(8, [_free_space(ctx), _disk_latency(ctx), _disk_throughput()])
    board.row(8, _network(ctx))
    board.row(8, [_kernel(ctx), _clock(ctx)])
    return board.build()


def _now(ctx: DashboardContext) -> list[Panel]:
    free = ctx.limit("DiskSpaceLow")
    return [
        stat(
            "CPU",
            f"max(instance:node_cpu_utilisation:ratio_rate5m{{{INSTANCE}}})",
            "Share of the CPUs that work, over 5 minutes.",
            RATIO,
            Limits(ctx.limit("HighCpuUsage"), ctx.limit("ScaleCpuCritical")),
            sparkline=True,
        ),
        stat(
            "Memory",
            f"1 - min(instance:node_memory_available:ratio{{{INSTANCE}}})",
            "Share of the memory that is not available.",
            RATIO,
            Limits(ctx.limit("ScaleMemoryWarning"), 1 - ctx.limit("LowMemoryAvailable")),
            sparkline=True,
        ),
        stat(
            "Fullest disk",
            f"1 - min(instance:node_filesystem_available:ratio{{{INSTANCE}}})",
            "Share of the fullest file system that is used.",
            RATIO,
            Limits(warning=1 - free),
            sparkline=True,
        ),
        stat(
            "Load per core",
            f"max(instance:node_load15_per_core:ratio{{{INSTANCE}}})",
            "Tasks that run or wait for a disk, for each core; average of 15 minutes.",
            "none",
            Limits(warning=ctx.limit("HighLoad")),
            sparkline=True,
        ),
    ]


def _cpu(ctx: DashboardContext) -> Panel:
    return chart(
        "CPU by mode",
        Query(f'avg by ({HOST}, mode) (rate(node_cpu_seconds_total{{{INSTANCE}, mode!="idle"}}[5m]))', "{{mode}}"),
        "What the CPUs do, over 5 minutes. “steal” is time that the hypervisor gave to others; “iowait” is waiting for "
        "a disk, and does not count as use.",
        RATIO,
        Limits(ctx.limit("HighCpuUsage"), ctx.limit("ScaleCpuCritical")),
        stacked=True,
    )


def _memory(ctx: DashboardContext) -> Panel:
    return chart(
        "Memory available",
        Query(f"instance:node_memory_available:ratio{{{INSTANCE}}}", "{{instance}}"),
        "Share of the memory that programs can still have, without swap.",
        RATIO,
        Limits(1 - ctx.limit("ScaleMemoryWarning"), ctx.limit("LowMemoryAvailable"), falling=True),
    )


def _memory_use() -> Panel:
    def by_host(expr: str) -> str:
        return f"sum by ({HOST}) ({expr})"

    kernel = " + ".join(f"node_memory_{part}_bytes{{{INSTANCE}}}" for part in ("Slab", "KernelStack", "PageTables"))
    return chart(
        "Memory by use",
        [
            Query(by_host(f"node_memory_AnonPages_bytes{{{INSTANCE}}}"), "programs"),
            Query(by_host(kernel), "kernel"),
            Query(
                by_host(f"node_memory_Cached_bytes{{{INSTANCE}}} + node_memory_Buffers_bytes{{{INSTANCE}}}"), "files"
            ),
            Query(by_host(f"node_memory_MemFree_bytes{{{INSTANCE}}}"), "free"),
            Query(
                by_host(f"node_memory_SwapTotal_bytes{{{INSTANCE}}} - node_memory_SwapFree_bytes{{{INSTANCE}}}"),
                "swap in use",
            ),
        ],
        "What the memory holds. Files read a while ago make room for programs when they need it; swap comes on top.",
        BYTES,
        stacked=True,
    )


def _pressure(ctx: DashboardContext) -> Panel:
    return chart(
        "Pressure",
        [
            Query(f"rate(node_pressure_{resource}_waiting_seconds_total{{{INSTANCE}}}[5m])", label)
            for resource, label in (("cpu", "CPU"), ("memory", "memory"), ("io", "disks"))
        ],
        "Share of the time in which some task stood still for want of it (the kernel's pressure stall figures).",
        RATIO,
        Limits(warning=ctx.limit("MemoryPressure")),
    )


def _filesystems(ctx: DashboardContext) -> Panel:
    def by_filesystem(expr: str) -> str:
        return f"max by ({HOST}, mountpoint, device) ({expr})"

    with_data = f"and instance:node_filesystem_available:ratio{{{INSTANCE}}}"
    full = f"clamp_max(instance:node_filesystem_full:seconds{{{INSTANCE}}}, {YEAR})"
    inodes = f"node_filesystem_files_free{{{INSTANCE}}} / node_filesystem_files{{{INSTANCE}}} {with_data}"
    return table(
        "Filesystems",
        {
            "Free": by_filesystem(f"instance:node_filesystem_available:ratio{{{INSTANCE}}}"),
            "Free bytes": by_filesystem(f"node_filesystem_avail_bytes{{{INSTANCE}}} {with_data}"),
            "Size": by_filesystem(f"node_filesystem_size_bytes{{{INSTANCE}}} {with_data}"),
            "Full in": by_filesystem(full),
            "Free inodes": by_filesystem(inodes),
            "Read-only": by_filesystem(f"node_filesystem_readonly{{{INSTANCE}}} {with_data}"),
        },
        "File systems that hold data. “Full in” is by the pace of 6 hours, and a year where it is longer.",
        {"mountpoint": "Mounted at", "device": "Device"},
        {"Free": RATIO, "Free bytes": BYTES, "Size": BYTES, "Full in": SECONDS, "Free inodes": RATIO},
        {
            "Free": Limits(warning=ctx.limit("DiskSpaceLow"), falling=True),
            "Full in": Limits(ctx.limit("DiskFullWithinADay"), ctx.limit("DiskFullWithinHours"), falling=True),
            "Free inodes": Limits(warning=ctx.limit("DiskInodesLow"), falling=True),
            "Read-only": Limits(critical=1),
        },
    )


def _free_space(ctx: DashboardContext) -> Panel:
    return chart(
        "Free disk space",
        Query(f"instance:node_filesystem_available:ratio{{{INSTANCE}}}", "{{mountpoint}}"),
        "Share of each file system that programs can still have.",
        RATIO,
        Limits(warning=ctx.limit("DiskSpaceLow"), falling=True),
    )


def _disk_latency(ctx: DashboardContext) -> Panel:
    return chart(
        "Disk latency",
        Query(f"device:node_disk_io_latency_seconds:ratio_rate5m{{{INSTANCE}}}", "{{device}}"),
        "How long one request to the disk takes, waiting in its queue included; over 5 minutes.",
        SECONDS,
        Limits(warning=ctx.limit("DiskLatencyHigh")),
    )


def _disk_throughput() -> Panel:
    return chart(
        "Disk throughput",
        [
            Query(f"rate(node_disk_{metric}_bytes_total{{{INSTANCE}}}[5m])", f"{{{{device}}}} {metric}")
            for metric in ("read", "written")
        ],
        "Bytes a second read from and written to each disk.",
        BYTES_PER_SECOND,
    )


def _network(ctx: DashboardContext) -> list[Panel]:
    return [
        chart(
            "Network traffic",
            Query(f"interface:host_network_bytes:rate5m{{{STACK}}}", "{{interface}} {{direction}}"),
            "Bytes a second on the interfaces that lead out of the host.",
            BYTES_PER_SECOND,
            Limits(warning=ctx.limit("NetworkSaturated")),
        ),
        chart(
            "Network errors and drops",
            [
                Query(f"interface:host_network_errors:ratio_rate5m{{{STACK}}}", "{{interface}} errors"),
                Query(f"interface:host_network_drops:ratio_rate5m{{{STACK}}}", "{{interface}} drops"),
            ],
            "Share of the packets of each interface that were damaged, and that were dropped.",
            RATIO,
            Limits(ctx.limit("NetworkErrors"), ctx.limit("NetworkDrops")),
        ),
    ]


def _kernel(ctx: DashboardContext) -> Panel:
    def by_host(expr: str) -> str:
        return f"max by ({HOST}) ({expr})"

    swapped = f"rate(node_vmstat_pswpin{{{INSTANCE}}}[5m]) + rate(node_vmstat_pswpout{{{INSTANCE}}}[5m])"
    return table(
        "Kernel",
        {
            "Up for": by_host(f"time() - node_boot_time_seconds{{{INSTANCE}}}"),
            "Kills for memory": by_host(f"increase(node_vmstat_oom_kill{{{INSTANCE}}}[1d])"),
            "Pages swapped/s": by_host(swapped),
            "Open files": by_host(f"node_filefd_allocated{{{INSTANCE}}} / node_filefd_maximum{{{INSTANCE}}}"),
            "Collectors failing": f"sum by ({HOST}) (1 - node_scrape_collector_success{{{INSTANCE}}})",
        },
        "Kills for memory are those of a day; open files are of what the kernel allows; collectors node_exporter's.",
        {"instance": "Host"},
        {"Up for": SECONDS, "Kills for memory": SHORT, "Pages swapped/s": SHORT, "Open files": RATIO},
        {
            "Up for": Limits(warning=ctx.limit("HostRebooted"), falling=True),
            "Kills for memory": Limits(warning=1),
            "Pages swapped/s": Limits(warning=ctx.limit("SwapThrashing")),
            "Open files": Limits(warning=ctx.limit("FileDescriptorsLow")),
            "Collectors failing": Limits(warning=1),
        },
    )


def _clock(ctx: DashboardContext) -> Panel:
    return chart(
        "Clock offset",
        [
            Query(f"abs(node_timex_offset_seconds{{{INSTANCE}}})", "offset"),
            Query(f"node_timex_maxerror_seconds{{{INSTANCE}}}", "largest possible error"),
        ],
        "How far the clock is from its time server, and how far it may be; 16 s where no server is heard.",
        SECONDS,
        Limits(warning=ctx.limit("ClockSkew")),
    )
