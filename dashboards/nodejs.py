"""Node process: the event loop, the heap, and what the product's own processes hold: handles, connections, sockets."""

from __future__ import annotations

from grafana_foundation_sdk.models.dashboard import Dashboard

from dashboards.board import Board
from dashboards.panels import (
    BYTES,
    CORES,
    FI,
    OPERATIONS,
    RATIO,
    SECONDS,
    SHORT,
    F,
    Limits,
    Panel,
    Query,
    chart,
    rows_of,
)
from dashboards.shown import Shown

OF = "sum by (product, environment, job, instance)"
ONE = "{{instance}}"


def named(metric: str) -> str:
    """Return the selector of one of the Node client's metrics, which it exports with any prefix."""
    return f'{{__name__=~"(.+_)?{metric}", tier="app", {FI}}}'


def nodejs(shown: Shown) -> Dashboard | None:
    """Make the board of the product's own processes; none where they do not run on Node."""
    if "nodejs" not in shown.boards:
        return None
    board = Board(
        shown, "nodejs", "Node process", "do its processes keep up?", instances="instance:nodejs_heap_used_bytes:max"
    )
    board.row(8, _loop(shown))
    board.row(7, _memory())
    board.row(7, _process(shown))
    board.section("Connections")
    board.row(7, _connections(shown))
    board.section("Starts and versions")
    board.row(7, _starts(shown))
    return board.build()


def _loop(shown: Shown) -> list[Panel]:
    return [
        chart(
            "Event loop lag",
            Query(f"instance:nodejs_eventloop_lag_seconds:p99{{{FI}}}", ONE),
            "99 % of the event loop's turns are less late than this; it contains the 10 ms of Node's own measurement.",
            SECONDS,
            Limits(warning=shown.limit("EventLoopLagHigh"), critical=shown.limit("EventLoopBlocked")),
        ),
        chart(
            "Heap in use",
            Query(f"instance:nodejs_heap_used:ratio{{{FI}}}", ONE),
            "Share of the heap that V8 allows the process.",
            RATIO,
            Limits(critical=shown.limit("NodeHeapNearLimit")),
        ),
        chart(
            "Garbage collection",
            Query(f"instance:nodejs_gc_duration_seconds:rate5m{{{FI}}}", ONE),
            "Share of the time that is spent on collecting garbage, over 5 minutes; all else stands still meanwhile.",
            RATIO,
            Limits(warning=shown.limit("NodeGCTimeHigh")),
        ),
    ]


def _memory() -> list[Panel]:
    return [
        chart(
            "Heap",
            [
                Query(f"instance:nodejs_heap_used_bytes:max{{{FI}}}", f"used {ONE}"),
                Query(f"{OF} ({named('nodejs_heap_size_total_bytes')})", f"taken {ONE}"),
                Query(f"instance:nodejs_heap_limit_bytes:max{{{FI}}}", f"limit {ONE}"),
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
                Query(f"{OF} ({named('process_resident_memory_bytes')})", f"resident {ONE}"),
                Query(f"{OF} ({named('nodejs_external_memory_bytes')})", f"external {ONE}"),
            ],
            "All of its memory that is resident, and what lies outside of the heap (buffers).",
            BYTES,
        ),
    ]


def _process(shown: Shown) -> list[Panel]:
    return [
        chart(
            "CPU of the process",
            Query(f"{OF} (rate({named('process_cpu_seconds_total')}[5m]))", ONE),
            "Cores in use, over 5 minutes; JavaScript itself can use one.",
            CORES,
        ),
        chart(
            "Active handles",
            Query(f"instance:nodejs_active_handles:max{{{FI}}}", ONE),
            "Sockets, timers and files that keep the process alive.",
            SHORT,
        ),
        chart(
            "File descriptors",
            Query(f"instance:process_open_fds:ratio{{{FI}}}", ONE),
            "Share of the file descriptors that it may have open.",
            RATIO,
            Limits(warning=shown.limit("AppFileDescriptorsHigh")),
        ),
    ]


def _connections(shown: Shown) -> list[Panel]:
    return [
        chart(
            "Database pool",
            Query(f"instance:db_connections_used:ratio{{{FI}}}", ONE),
            "Share of the pool's connections that are in use.",
            RATIO,
            Limits(warning=shown.limit("ScaleDatabasePool"), critical=shown.limit("DBPoolExhaustion")),
        ),
        chart(
            "Requests waiting for the database",
            Query(f"instance:db_connections_waiting:sum{{{FI}}}", ONE),
            "Requests that wait for a connection of the pool.",
            SHORT,
            Limits(warning=shown.limit("DBConnectionsAwaited")),
        ),
        chart(
            "WebSocket connections",
            Query(f"instance:websocket_connections:sum{{{FI}}}", ONE),
            "Open connections of each instance.",
            SHORT,
            Limits(warning=shown.limit("ScaleWebSockets")),
        ),
        chart(
            "Cache look-ups",
            Query(f"job:cache_lookups:rate5m{{{F}}}", "{{job}}"),
            "Look-ups a second, over 5 minutes; how many are answered is on the overview.",
            OPERATIONS,
        ),
    ]


def _starts(shown: Shown) -> list[Panel]:
    started = named("process_start_time_seconds")
    return [
        chart(
            "Starts",
            Query(f"max by (product, environment, job, instance) (changes({started}[15m]))", ONE),
            "How often each process was started within 15 minutes.",
            SHORT,
            Limits(critical=shown.limit("AppCrashLoop")),
        ),
        rows_of(
            "Versions",
            {"Instances": f"count by (job, version) ({named('nodejs_version_info')})"},
            "The versions that run, and how many instances of each.",
            {"job": "Service", "version": "Version"},
            {"Instances": SHORT},
        ),
        rows_of(
            "Running for",
            {"Time": f"time() - max by (job, instance) ({started})"},
            "How long ago each process was started.",
            {"job": "Service", "instance": "Instance"},
            {"Time": SECONDS},
        ),
    ]
