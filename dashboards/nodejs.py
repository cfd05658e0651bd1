"""Node process: the event loop, the heap, and what the product's own processes hold: handles, connections, sockets."""

from __future__ import annotations

from grafana_foundation_sdk.models.dashboard import Dashboard

from dashboards.board import Board
from dashboards.panels import (
    BYTES,
    CORES,
    INSTANCE,
    OPERATIONS,
    RATIO,
    SECONDS,
    SHORT,
    STACK,
    Limits,
    Panel,
    Query,
    chart,
    table,
)
from dashboards.shown import DashboardContext

SUM_BY_INSTANCE = "sum by (product, environment, job, instance)"
INSTANCE_LEGEND = "{{instance}}"


def named(metric: str) -> str:
    """Return the selector of one of the Node client's metrics, with any prefix in its name."""
    return f'{{__name__=~"(.+_)?{metric}", tier="app", {INSTANCE}}}'


def nodejs(ctx: DashboardContext) -> Dashboard | None:
    """Build the board of the product's own processes; None where they do not run on Node."""
    if "nodejs" not in ctx.boards:
        return None
    board = Board(
        ctx, "nodejs", "Node process", "do its processes keep up?", instances="instance:nodejs_heap_used_bytes:max"
    )
    board.row(8, _loop(ctx))
    board.row(7, _memory())
    board.row(7, _process(ctx))
    board.section("Connections")
    board.row(7, _connections(ctx))
    board.section("Starts and versions")
    board.row(7, _starts(ctx))
    return board.build()


def _loop(ctx: DashboardContext) -> list[Panel]:
    return [
        chart(
            "Event loop lag",
            Query(f"instance:nodejs_eventloop_lag_seconds:p99{{{INSTANCE}}}", INSTANCE_LEGEND),
            "99 % of the event loop's turns are less late than this; it contains the 10 ms of Node's own measurement.",
            SECONDS,
            Limits(warning=ctx.limit("EventLoopLagHigh"), critical=ctx.limit("EventLoopBlocked")),
        ),
        chart(
            "Heap in use",
            Query(f"instance:nodejs_heap_used:ratio{{{INSTANCE}}}", INSTANCE_LEGEND),
            "Share of the heap that V8 allows the process.",
            RATIO,
            Limits(critical=ctx.limit("NodeHeapNearLimit")),
        ),
        chart(
            "Garbage collection",
            Query(f"instance:nodejs_gc_duration_seconds:rate5m{{{INSTANCE}}}", INSTANCE_LEGEND),
            "Share of the time that is spent on collecting garbage, over 5 minutes; all else stands still meanwhile.",
            RATIO,
            Limits(warning=ctx.limit("NodeGCTimeHigh")),
        ),
    ]


def _memory() -> list[Panel]:
    return [
        chart(
            "Heap",
            [
                Query(f"instance:nodejs_heap_used_bytes:max{{{INSTANCE}}}", f"used {INSTANCE_LEGEND}"),
                Query(f"{SUM_BY_INSTANCE} ({named('nodejs_heap_size_total_bytes')})", f"taken {INSTANCE_LEGEND}"),
                Query(f"instance:nodejs_heap_limit_bytes:max{{{INSTANCE}}}", f"limit {INSTANCE_LEGEND}"),
            ],
            "What is in use, what the process has taken for it, and how much it may take. A slope is a leak.",
            BYTES,
        ),
        chart(
            "Heap by space",
            Query(
                f"sum by (product, environment, space) ({named('nodejs_heap_space_size_used_bytes')})",
                "{{space}}",
            ),
            "What is in use, by V8's spaces, of all processes.",
            BYTES,
            stacked=True,
        ),
        chart(
            "Memory of the process",
            [
                Query(f"{SUM_BY_INSTANCE} ({named('process_resident_memory_bytes')})", f"resident {INSTANCE_LEGEND}"),
                Query(f"{SUM_BY_INSTANCE} ({named('nodejs_external_memory_bytes')})", f"external {INSTANCE_LEGEND}"),
            ],
            "All of its memory that is resident, and what lies outside of the heap (buffers).",
            BYTES,
        ),
    ]


def _process(ctx: DashboardContext) -> list[Panel]:
    return [
        chart(
            "CPU of the process",
            Query(f"{SUM_BY_INSTANCE} (rate({named('process_cpu_seconds_total')}[5m]))", INSTANCE_LEGEND),
            "Cores in use, over 5 minutes; JavaScript itself can use one.",
            CORES,
        ),
        chart(
            "Active handles",
            Query(f"instance:nodejs_active_handles:max{{{INSTANCE}}}", INSTANCE_LEGEND),
            "Sockets, timers and files that keep the process alive.",
            SHORT,
        ),
        chart(
            "File descriptors",
            Query(f"instance:process_open_fds:ratio{{{INSTANCE}}}", INSTANCE_LEGEND),
            "Share of the file descriptors that it may have open.",
            RATIO,
            Limits(warning=ctx.limit("AppFileDescriptorsHigh")),
        ),
    ]


def _connections(ctx: DashboardContext) -> list[Panel]:
    return [
        chart(
            "Database pool",
            Query(f"instance:db_connections_used:ratio{{{INSTANCE}}}", INSTANCE_LEGEND),
            "Share of the pool's connections that are in use.",
            RATIO,
            Limits(warning=ctx.limit("ScaleDatabasePool"), critical=ctx.limit("DBPoolExhaustion")),
        ),
        chart(
            "Requests waiting for the database",
            Query(f"instance:db_connections_waiting:sum{{{INSTANCE}}}", INSTANCE_LEGEND),
            "Requests that wait for a connection of the pool.",
            SHORT,
            Limits(warning=ctx.limit("DBConnectionsAwaited")),
        ),
        chart(
            "WebSocket connections",
            Query(f"instance:websocket_connections:sum{{{INSTANCE}}}", INSTANCE_LEGEND),
            "Open connections of each instance.",
            SHORT,
            Limits(warning=ctx.limit("ScaleWebSockets")),
        ),
        chart(
            "Cache look-ups",
            Query(f"job:cache_lookups:rate5m{{{STACK}}}", "{{job}}"),
            "Look-ups a second, over 5 minutes; how many are answered is on the overview.",
            OPERATIONS,
        ),
    ]


def _starts(ctx: DashboardContext) -> list[Panel]:
    started = named("process_start_time_seconds")
    return [
        chart(
            "Starts",
            Query(f"max by (product, environment, job, instance) (changes({started}[15m]))", INSTANCE_LEGEND),
            "How often each process was started within 15 minutes.",
            SHORT,
            Limits(critical=ctx.limit("AppCrashLoop")),
        ),
        table(
            "Versions",
            {"Instances": f"count by (job, version) ({named('nodejs_version_info')})"},
            "The versions that run, and how many instances of each.",
            {"job": "Service", "version": "Version"},
            {"Instances": SHORT},
        ),
        table(
            "Running for",
            {"Time": f"time() - max by (job, instance) ({started})"},
            "How long ago each process was started.",
            {"job": "Service", "instance": "Instance"},
            {"Time": SECONDS},
        ),
    ]
