"""The host: its CPUs, memory, disks, network and clock."""

from __future__ import annotations

from dashboards import panels as p
from dashboards.board import Board
from dashboards.context import DashboardContext

YEAR = 365 * 86400
HOST = "product, environment, instance"
AVAILABLE_SPACE = f"instance:node_filesystem_available:ratio{p.INSTANCE}"
"""Share of each file system that holds data which programs can still use."""


def host(ctx: DashboardContext) -> Board:
    """Build the board of the machine that the stack runs on."""
    board = Board(ctx, "host", "Host", "is the machine large enough, and well?", instances="node_uname_info")
    board.row(
        4,
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
            f"1 - min({AVAILABLE_SPACE})",
            "Share of the fullest file system that is used.",
            p.RATIO,
            p.Thresholds(warning=1 - ctx.limit("DiskSpaceLow")),
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
    )
    _cpu_and_memory(board, ctx)
    _disks(board, ctx)
    _network_and_kernel(board, ctx)
    return board


def _cpu_and_memory(board: Board, ctx: DashboardContext) -> None:
    busy = f'{{{p.INSTANCE_LABELS}, mode!="idle"}}'
    board.row(
        8,
        p.chart(
            "CPU by mode",
            {"{{mode}}": f"avg by ({HOST}, mode) (rate(node_cpu_seconds_total{busy}[5m]))"},
            "What the CPUs do, over 5 minutes. “steal” is time that the hypervisor gave to others; “iowait” is waiting"
            " for a disk, and does not count as use.",
            p.RATIO,
            ctx.limits("HighCpuUsage", "ScaleCpuCritical"),
            stacked=True,
        ),
        p.chart(
            "Memory available",
            {"{{instance}}": f"instance:node_memory_available:ratio{p.INSTANCE}"},
            "Share of the memory that programs can still have, without swap.",
            p.RATIO,
            p.Thresholds(1 - ctx.limit("ScaleMemoryWarning"), ctx.limit("LowMemoryAvailable"), falling=True),
        ),
    )

    def memory(*parts: str, operator: str = "+") -> str:
        series = f" {operator} ".join(f"node_memory_{part}_bytes{p.INSTANCE}" for part in parts)
        return f"sum by ({HOST}) ({series})"

    board.row(
        8,
        p.chart(
            "Memory by use",
            {
                "programs": memory("AnonPages"),
                "kernel": memory("Slab", "KernelStack", "PageTables"),
                "files": memory("Cached", "Buffers"),
                "free": memory("MemFree"),
                "swap in use": memory("SwapTotal", "SwapFree", operator="-"),
            },
            "What the memory holds. Files read a while ago make room for programs when they need it;"
            " swap comes on top.",
            p.BYTES,
            stacked=True,
        ),
        p.chart(
            "Pressure",
            {
                label: f"rate(node_pressure_{resource}_waiting_seconds_total{p.INSTANCE}[5m])"
                for resource, label in (("cpu", "CPU"), ("memory", "memory"), ("io", "disks"))
            },
            "Share of the time in which some task stood still for want of it (the kernel's pressure stall figures).",
            p.RATIO,
            ctx.limits(warning="MemoryPressure"),
        ),
    )


def _disks(board: Board, ctx: DashboardContext) -> None:
    def with_data(series: str) -> str:
        return f"{by_filesystem} ({series}{p.INSTANCE} and {AVAILABLE_SPACE})"

    by_filesystem = f"max by ({HOST}, mountpoint, device)"
    full = f"{by_filesystem} (clamp_max(instance:node_filesystem_full:seconds{p.INSTANCE}, {YEAR}))"
    inodes = with_data(f"node_filesystem_files_free{p.INSTANCE} / node_filesystem_files")
    space_limits = ctx.limits(warning="DiskSpaceLow", falling=True)
    time_limits = ctx.limits("DiskFullWithinADay", "DiskFullWithinHours", falling=True)
    inode_limits = ctx.limits(warning="DiskInodesLow", falling=True)
    board.row(
        7,
        p.table(
            "Filesystems",
            [
                p.Column("Free", f"{by_filesystem} ({AVAILABLE_SPACE})", p.RATIO, space_limits),
                p.Column("Free bytes", with_data("node_filesystem_avail_bytes"), p.BYTES),
                p.Column("Size", with_data("node_filesystem_size_bytes"), p.BYTES),
                p.Column("Full in", full, p.SECONDS, time_limits),
                p.Column("Free inodes", inodes, p.RATIO, inode_limits),
                p.Column("Read-only", with_data("node_filesystem_readonly"), thresholds=p.CRITICAL_FROM_1),
            ],
            "File systems that hold data. “Full in” is by the pace of 6 hours, and a year where it is longer.",
            {"mountpoint": "Mounted at", "device": "Device"},
        ),
    )
    board.row(
        8,
        p.chart(
            "Free disk space",
            {"{{mountpoint}}": AVAILABLE_SPACE},
            "Share of each file system that programs can still have.",
            p.RATIO,
            space_limits,
        ),
        p.chart(
            "Disk latency",
            {"{{device}}": f"device:node_disk_io_latency_seconds:ratio_rate5m{p.INSTANCE}"},
            "How long one request to the disk takes, waiting in its queue included; over 5 minutes.",
            p.SECONDS,
            ctx.limits(warning="DiskLatencyHigh"),
        ),
        p.chart(
            "Disk throughput",
            {
                "{{device}} read": f"rate(node_disk_read_bytes_total{p.INSTANCE}[5m])",
                "{{device}} written": f"rate(node_disk_written_bytes_total{p.INSTANCE}[5m])",
            },
            "Bytes a second read from and written to each disk.",
            p.BYTES_PER_SECOND,
        ),
    )


def _network_and_kernel(board: Board, ctx: DashboardContext) -> None:
    board.row(
        8,
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
    )

    by_host = f"max by ({HOST})"
    up_for = f"{by_host} (time() - node_boot_time_seconds{p.INSTANCE})"
    kills = f"{by_host} (increase(node_vmstat_oom_kill{p.INSTANCE}[1d]))"
    swapped = f"{by_host} (rate(node_vmstat_pswpin{p.INSTANCE}[5m]) + rate(node_vmstat_pswpout{p.INSTANCE}[5m]))"
    open_files = f"{by_host} (node_filefd_allocated{p.INSTANCE} / node_filefd_maximum{p.INSTANCE})"
    failing = f"sum by ({HOST}) (1 - node_scrape_collector_success{p.INSTANCE})"
    board.row(
        8,
        p.table(
            "Kernel",
            [
                p.Column("Up for", up_for, p.SECONDS, ctx.limits(warning="HostRebooted", falling=True)),
                p.Column("Kills for memory", kills, thresholds=p.WARNING_FROM_1),
                p.Column("Pages swapped/s", swapped, thresholds=ctx.limits(warning="SwapThrashing")),
                p.Column("Open files", open_files, p.RATIO, ctx.limits(warning="FileDescriptorsLow")),
                p.Column("Collectors failing", failing, thresholds=p.WARNING_FROM_1),
            ],
            "Kills for memory are those of a day; open files are of what the kernel allows;"
            " collectors node_exporter's.",
            {"instance": "Host"},
        ),
        p.chart(
            "Clock offset",
            {
                "offset": f"abs(node_timex_offset_seconds{p.INSTANCE})",
                "largest possible error": f"node_timex_maxerror_seconds{p.INSTANCE}",
            },
            "How far the clock is from its time server, and how far it may be; 16 s where no server is heard.",
            p.SECONDS,
            ctx.limits(warning="ClockSkew"),
        ),
    )
