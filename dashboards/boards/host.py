"""The host: its CPUs, memory, disks, network and clock."""

from __future__ import annotations

from dashboards import panels as p
from dashboards.board import Board
from dashboards.context import DashboardContext

YEAR = 365 * 86400
HOST = "product, environment, instance"


def host(ctx: DashboardContext) -> Board:
    """Build the board of the machine that the stack runs on."""
    board = Board(ctx, "host", "Host", "is the machine large enough, and well?", instances="node_uname_info")
    board.row(4, *_now(ctx))
    board.row(8, _cpu(ctx), _memory(ctx))
    board.row(8, _memory_use(), _pressure(ctx))
    board.row(7, _filesystems(ctx))
    board.row(8, _free_space(ctx), _disk_latency(ctx), _disk_throughput())
    board.row(8, *_network(ctx))
    board.row(8, _kernel(ctx), _clock(ctx))
    return board


def _now(ctx: DashboardContext) -> list[p.Panel]:
    free = ctx.limit("DiskSpaceLow")
    return [
        p.stat(
            "CPU",
            f"max(instance:node_cpu_utilisation:ratio_rate5m{p.INSTANCE})",
            "Share of the CPUs that work, over 5 minutes.",
            p.RATIO,
            ctx.limits("HighCpuUsage", "ScaleCpuCritical"),
            sparkline=True,
        ),
        p.stat(
            "Memory",
            f"1 - min(instance:node_memory_available:ratio{p.INSTANCE})",
            "Share of the memory that is not available.",
            p.RATIO,
            p.Thresholds(ctx.limit("ScaleMemoryWarning"), 1 - ctx.limit("LowMemoryAvailable")),
            sparkline=True,
        ),
        p.stat(
            "Fullest disk",
            f"1 - min(instance:node_filesystem_available:ratio{p.INSTANCE})",
            "Share of the fullest file system that is used.",
            p.RATIO,
            p.Thresholds(warning=1 - free),
            sparkline=True,
        ),
        p.stat(
            "Load per core",
            f"max(instance:node_load15_per_core:ratio{p.INSTANCE})",
            "Tasks that run or wait for a disk, for each core; average of 15 minutes.",
            "none",
            ctx.limits(warning="HighLoad"),
            sparkline=True,
        ),
    ]


def _cpu(ctx: DashboardContext) -> p.Panel:
    return p.chart(
        "CPU by mode",
        {"{{mode}}": f'avg by ({HOST}, mode) (rate(node_cpu_seconds_total{{{p.INSTANCE_LABELS}, mode!="idle"}}[5m]))'},
        "What the CPUs do, over 5 minutes. “steal” is time that the hypervisor gave to others; “iowait” is waiting for "
        "a disk, and does not count as use.",
        p.RATIO,
        ctx.limits("HighCpuUsage", "ScaleCpuCritical"),
        stacked=True,
    )


def _memory(ctx: DashboardContext) -> p.Panel:
    return p.chart(
        "Memory available",
        {"{{instance}}": f"instance:node_memory_available:ratio{p.INSTANCE}"},
        "Share of the memory that programs can still have, without swap.",
        p.RATIO,
        p.Thresholds(1 - ctx.limit("ScaleMemoryWarning"), ctx.limit("LowMemoryAvailable"), falling=True),
    )


def _memory_use() -> p.Panel:
    def by_host(expr: str) -> str:
        return f"sum by ({HOST}) ({expr})"

    kernel = " + ".join(f"node_memory_{part}_bytes{p.INSTANCE}" for part in ("Slab", "KernelStack", "PageTables"))
    return p.chart(
        "Memory by use",
        {
            "programs": by_host(f"node_memory_AnonPages_bytes{p.INSTANCE}"),
            "kernel": by_host(kernel),
            "files": by_host(f"node_memory_Cached_bytes{p.INSTANCE} + node_memory_Buffers_bytes{p.INSTANCE}"),
            "free": by_host(f"node_memory_MemFree_bytes{p.INSTANCE}"),
            "swap in use": by_host(f"node_memory_SwapTotal_bytes{p.INSTANCE} - node_memory_SwapFree_bytes{p.INSTANCE}"),
        },
        "What the memory holds. Files read a while ago make room for programs when they need it; swap comes on top.",
        p.BYTES,
        stacked=True,
    )


def _pressure(ctx: DashboardContext) -> p.Panel:
    return p.chart(
        "Pressure",
        {
            label: f"rate(node_pressure_{resource}_waiting_seconds_total{p.INSTANCE}[5m])"
            for resource, label in (("cpu", "CPU"), ("memory", "memory"), ("io", "disks"))
        },
        "Share of the time in which some task stood still for want of it (the kernel's pressure stall figures).",
        p.RATIO,
        ctx.limits(warning="MemoryPressure"),
    )


def _filesystems(ctx: DashboardContext) -> p.Panel:
    def by_filesystem(expr: str) -> str:
        return f"max by ({HOST}, mountpoint, device) ({expr})"

    with_data = f"and instance:node_filesystem_available:ratio{p.INSTANCE}"
    full = f"clamp_max(instance:node_filesystem_full:seconds{p.INSTANCE}, {YEAR})"
    inodes = f"node_filesystem_files_free{p.INSTANCE} / node_filesystem_files{p.INSTANCE} {with_data}"
    return p.table(
        "Filesystems",
        [
            p.Column(
                "Free",
                by_filesystem(f"instance:node_filesystem_available:ratio{p.INSTANCE}"),
                p.RATIO,
                ctx.limits(warning="DiskSpaceLow", falling=True),
            ),
            p.Column("Free bytes", by_filesystem(f"node_filesystem_avail_bytes{p.INSTANCE} {with_data}"), p.BYTES),
            p.Column("Size", by_filesystem(f"node_filesystem_size_bytes{p.INSTANCE} {with_data}"), p.BYTES),
            p.Column(
                "Full in",
                by_filesystem(full),
                p.SECONDS,
                ctx.limits("DiskFullWithinADay", "DiskFullWithinHours", falling=True),
            ),
            p.Column("Free inodes", by_filesystem(inodes), p.RATIO, ctx.limits(warning="DiskInodesLow", falling=True)),
            p.Column(
                "Read-only",
                by_filesystem(f"node_filesystem_readonly{p.INSTANCE} {with_data}"),
                thresholds=p.Thresholds(critical=1),
            ),
        ],
        "File systems that hold data. “Full in” is by the pace of 6 hours, and a year where it is longer.",
        {"mountpoint": "Mounted at", "device": "Device"},
    )


def _free_space(ctx: DashboardContext) -> p.Panel:
    return p.chart(
        "Free disk space",
        {"{{mountpoint}}": f"instance:node_filesystem_available:ratio{p.INSTANCE}"},
        "Share of each file system that programs can still have.",
        p.RATIO,
        ctx.limits(warning="DiskSpaceLow", falling=True),
    )


def _disk_latency(ctx: DashboardContext) -> p.Panel:
    return p.chart(
        "Disk latency",
        {"{{device}}": f"device:node_disk_io_latency_seconds:ratio_rate5m{p.INSTANCE}"},
        "How long one request to the disk takes, waiting in its queue included; over 5 minutes.",
        p.SECONDS,
        ctx.limits(warning="DiskLatencyHigh"),
    )


def _disk_throughput() -> p.Panel:
    return p.chart(
        "Disk throughput",
        {
            f"{{{{device}}}} {metric}": f"rate(node_disk_{metric}_bytes_total{p.INSTANCE}[5m])"
            for metric in ("read", "written")
        },
        "Bytes a second read from and written to each disk.",
        p.BYTES_PER_SECOND,
    )


def _network(ctx: DashboardContext) -> list[p.Panel]:
    return [
        p.chart(
            "Network traffic",
            {"{{interface}} {{direction}}": f"interface:host_network_bytes:rate5m{p.STACK}"},
            "Bytes a second on the interfaces that lead out of the host.",
            p.BYTES_PER_SECOND,
            ctx.limits(warning="NetworkSaturated"),
        ),
        p.chart(
            "Network errors and drops",
            {
                "{{interface}} errors": f"interface:host_network_errors:ratio_rate5m{p.STACK}",
                "{{interface}} drops": f"interface:host_network_drops:ratio_rate5m{p.STACK}",
            },
            "Share of the packets of each interface that were damaged, and that were dropped.",
            p.RATIO,
            ctx.limits("NetworkErrors", "NetworkDrops"),
        ),
    ]


def _kernel(ctx: DashboardContext) -> p.Panel:
    def by_host(expr: str) -> str:
        return f"max by ({HOST}) ({expr})"

    swapped = f"rate(node_vmstat_pswpin{p.INSTANCE}[5m]) + rate(node_vmstat_pswpout{p.INSTANCE}[5m])"
    return p.table(
        "Kernel",
        [
            p.Column(
                "Up for",
                by_host(f"time() - node_boot_time_seconds{p.INSTANCE}"),
                p.SECONDS,
                ctx.limits(warning="HostRebooted", falling=True),
            ),
            p.Column(
                "Kills for memory",
                by_host(f"increase(node_vmstat_oom_kill{p.INSTANCE}[1d])"),
                thresholds=p.Thresholds(warning=1),
            ),
            p.Column("Pages swapped/s", by_host(swapped), thresholds=ctx.limits(warning="SwapThrashing")),
            p.Column(
                "Open files",
                by_host(f"node_filefd_allocated{p.INSTANCE} / node_filefd_maximum{p.INSTANCE}"),
                p.RATIO,
                ctx.limits(warning="FileDescriptorsLow"),
            ),
            p.Column(
                "Collectors failing",
                f"sum by ({HOST}) (1 - node_scrape_collector_success{p.INSTANCE})",
                thresholds=p.Thresholds(warning=1),
            ),
        ],
        "Kills for memory are those of a day; open files are of what the kernel allows; collectors node_exporter's.",
        {"instance": "Host"},
    )


def _clock(ctx: DashboardContext) -> p.Panel:
    return p.chart(
        "Clock offset",
        {
            "offset": f"abs(node_timex_offset_seconds{p.INSTANCE})",
            "largest possible error": f"node_timex_maxerror_seconds{p.INSTANCE}",
        },
        "How far the clock is from its time server, and how far it may be; 16 s where no server is heard.",
        p.SECONDS,
        ctx.limits(warning="ClockSkew"),
    )
