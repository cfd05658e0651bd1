"""Node process: the event loop, the heap, and what the product's own processes hold: handles, connections, sockets."""

from __future__ import annotations

from dashboards import panels as p
from dashboards.board import Board
from dashboards.context import DashboardContext

SUM_BY_INSTANCE = "sum by (product, environment, job, instance)"
INSTANCE_LEGEND = "{{instance}}"


def named(metric: str) -> str:
    """Return the selector of one of the Node client's metrics, with any prefix in its name."""
    return f'{{__name__=~"(.+_)?{metric}", tier="app", {p.INSTANCE_LABELS}}}'


def nodejs(ctx: DashboardContext) -> Board | None:
    """Build the board of the product's own processes; None where they do not run on Node."""
    if "nodejs" not in ctx.boards:
        return None
    board = Board(
        ctx, "nodejs", "Node process", "do its processes keep up?", instances="instance:nodejs_heap_used_bytes:max"
    )
    board.row(
        8,
        p.chart(
            "Event loop lag",
            {INSTANCE_LEGEND: f"instance:nodejs_eventloop_lag_seconds:p99{p.INSTANCE}"},
            "99 % of the event loop's turns are less late than this; it contains the 10 ms of Node's own measurement.",
            p.SECONDS,
            ctx.limits(warning="EventLoopLagHigh", critical="EventLoopBlocked"),
        ),
        p.chart(
            "Heap in use",
            {INSTANCE_LEGEND: f"instance:nodejs_heap_used:ratio{p.INSTANCE}"},
            "Share of the heap that V8 allows the process.",
            p.RATIO,
            ctx.limits(critical="NodeHeapNearLimit"),
        ),
        p.chart(
            "Garbage collection",
            {INSTANCE_LEGEND: f"instance:nodejs_gc_duration_seconds:rate5m{p.INSTANCE}"},
            "Share of the time that is spent on collecting garbage, over 5 minutes; all else stands still meanwhile.",
            p.RATIO,
            ctx.limits(warning="NodeGCTimeHigh"),
        ),
    )
    board.row(
        7,
        p.chart(
            "Heap",
            {
                f"used {INSTANCE_LEGEND}": f"instance:nodejs_heap_used_bytes:max{p.INSTANCE}",
                f"taken {INSTANCE_LEGEND}": f"{SUM_BY_INSTANCE} ({named('nodejs_heap_size_total_bytes')})",
                f"limit {INSTANCE_LEGEND}": f"instance:nodejs_heap_limit_bytes:max{p.INSTANCE}",
            },
            "What is in use, what the process has taken for it, and how much it may take. A slope is a leak.",
            p.BYTES,
        ),
        p.chart(
            "Heap by space",
            {"{{space}}": f"sum by (product, environment, space) ({named('nodejs_heap_space_size_used_bytes')})"},
            "What is in use, by V8's spaces, of all processes.",
            p.BYTES,
            stacked=True,
        ),
        p.chart(
            "Memory of the process",
            {
                f"resident {INSTANCE_LEGEND}": f"{SUM_BY_INSTANCE} ({named('process_resident_memory_bytes')})",
                f"external {INSTANCE_LEGEND}": f"{SUM_BY_INSTANCE} ({named('nodejs_external_memory_bytes')})",
            },
            "All of its memory that is resident, and what lies outside of the heap (buffers).",
            p.BYTES,
        ),
    )
    _process_and_connections(board, ctx)
    _starts(board, ctx)
    return board


def _process_and_connections(board: Board, ctx: DashboardContext) -> None:
    board.row(
        7,
        p.chart(
            "CPU of the process",
            {INSTANCE_LEGEND: f"{SUM_BY_INSTANCE} (rate({named('process_cpu_seconds_total')}[5m]))"},
            "Cores in use, over 5 minutes; JavaScript itself can use one.",
            p.CORES,
        ),
        p.chart(
            "Active handles",
            {INSTANCE_LEGEND: f"instance:nodejs_active_handles:max{p.INSTANCE}"},
            "Sockets, timers and files that keep the process alive.",
        ),
        p.chart(
            "File descriptors",
            {INSTANCE_LEGEND: f"instance:process_open_fds:ratio{p.INSTANCE}"},
            "Share of the file descriptors that it may have open.",
            p.RATIO,
            ctx.limits(warning="AppFileDescriptorsHigh"),
        ),
    )
    board.section("Connections")
    board.row(
        7,
        p.chart(
            "Database pool",
            {INSTANCE_LEGEND: f"instance:db_connections_used:ratio{p.INSTANCE}"},
            "Share of the pool's connections that are in use.",
            p.RATIO,
            ctx.limits(warning="ScaleDatabasePool", critical="DBPoolExhaustion"),
        ),
        p.chart(
            "Requests waiting for the database",
            {INSTANCE_LEGEND: f"instance:db_connections_waiting:sum{p.INSTANCE}"},
            "Requests that wait for a connection of the pool.",
            thresholds=ctx.limits(warning="DBConnectionsAwaited"),
        ),
        p.chart(
            "WebSocket connections",
            {INSTANCE_LEGEND: f"instance:websocket_connections:sum{p.INSTANCE}"},
            "Open connections of each instance.",
            thresholds=ctx.limits(warning="ScaleWebSockets"),
        ),
        p.chart(
            "Cache look-ups",
            {"{{job}}": f"job:cache_lookups:rate5m{p.STACK}"},
            "Look-ups a second, over 5 minutes; how many are answered is on the overview.",
            p.OPERATIONS,
        ),
    )


def _starts(board: Board, ctx: DashboardContext) -> None:
    board.section("Starts and versions")
    started = named("process_start_time_seconds")
    board.row(
        7,
        p.chart(
            "Starts",
            {INSTANCE_LEGEND: f"max by (product, environment, job, instance) (changes({started}[15m]))"},
            "How often each process was started within 15 minutes.",
            thresholds=ctx.limits(critical="AppCrashLoop"),
        ),
        p.table(
            "Versions",
            [p.Column("Instances", f"count by (job, version) ({named('nodejs_version_info')})")],
            "The versions that run, and how many instances of each.",
            {"job": "Service", "version": "Version"},
        ),
        p.table(
            "Running for",
            [p.Column("Time", f"time() - max by (job, instance) ({started})", p.SECONDS)],
            "How long ago each process was started.",
            {"job": "Service", "instance": "Instance"},
        ),
    )
