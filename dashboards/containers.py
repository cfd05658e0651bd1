"""The stack's containers, under the names of their services."""

from __future__ import annotations

from grafana_foundation_sdk.models.dashboard import Dashboard

from dashboards.board import Board
from dashboards.panels import (
    BYTES,
    CORES,
    OPERATIONS,
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

FS = f'{F}, service=~"$service"'
"""What every query selects by: also the services that are chosen."""

INVENTORY = f"container:dockyard_container_info:max{{{FS}}}"
RUNNING = f"container:start_time_seconds:max{{{FS}}}"


def containers(shown: Shown) -> Dashboard:
    """Make the board of the stack's own containers; others on the host are not on it."""
    board = Board(shown, "containers", "Containers", "do they run, and have they what they need?")
    board.variable("service", f"label_values(container:dockyard_container_info:max{{{F}}}, service)")
    board.row(4, _now(shown))
    board.row(8, [_share("CPU", shown), _cpu()])
    board.row(8, [_share("Memory", shown), _memory()])
    board.row(10, [_table(shown)])
    board.row(7, _troubles(shown))
    return board.build()


def _now(shown: Shown) -> list[Panel]:
    return [
        number(
            "Running",
            f"count({RUNNING}) or vector(0)",
            "Containers of this stack that have processes.",
            limits=Limits(critical=1, falling=True),
        ),
        number(
            "Not running",
            f"count({INVENTORY} unless on (product, environment, container_id) {RUNNING}) or vector(0)",
            "Containers of this stack that should run and do not.",
            limits=Limits(critical=1),
        ),
        number(
            "Closest to its memory limit",
            Query(f"topk(1, container:memory_limit:ratio{{{FS}}})", "{{service}}"),
            "The container that uses most of the memory it may use.",
            RATIO,
            Limits(warning=shown.limit("ContainerHighMemory")),
        ),
        number(
            "Closest to its CPU limit",
            Query(f"topk(1, container:cpu_quota:ratio_rate5m{{{FS}}})", "{{service}}"),
            "The container that uses most of the CPU time it may use, over 5 minutes.",
            RATIO,
            Limits(warning=shown.limit("ContainerHighCpu")),
        ),
    ]


def _share(what: str, shown: Shown) -> Panel:
    series, alert = {
        "CPU": ("container:cpu_quota:ratio_rate5m", "ContainerHighCpu"),
        "Memory": ("container:memory_limit:ratio", "ContainerHighMemory"),
    }[what]
    return chart(
        f"{what} of its limit",
        Query(f"{series}{{{FS}}}", "{{service}}"),
        f"Share of its {what} limit that each container uses.",
        RATIO,
        Limits(warning=shown.limit(alert)),
    )


def _cpu() -> Panel:
    return chart(
        "CPU",
        Query(f"container:cpu_usage_cores:rate5m{{{FS}}}", "{{service}}"),
        "Cores that each container uses, over 5 minutes.",
        CORES,
        stacked=True,
    )


def _memory() -> Panel:
    return chart(
        "Memory",
        Query(f"container:memory_working_set_bytes:sum{{{FS}}}", "{{service}}"),
        "Memory that each container holds and the kernel cannot take back.",
        BYTES,
        stacked=True,
    )


def _table(shown: Shown) -> Panel:
    def of(series: str) -> str:
        return f"max by (product, environment, service, container, container_id) ({series}{{{FS}}})"

    return rows_of(
        "Containers",
        {
            "Up for": f"time() - {of('container:start_time_seconds:max')}",
            "CPU": of("container:cpu_usage_cores:rate5m"),
            "CPU of limit": of("container:cpu_quota:ratio_rate5m"),
            "Memory": of("container:memory_working_set_bytes:sum"),
            "Memory limit": of("container:memory_limit_bytes:max"),
            "Memory of limit": of("container:memory_limit:ratio"),
            "Restarts in an hour": of("container:restarts:increase1h"),
        },
        "Every container of this stack, with what it uses of what it may use.",
        {"service": "Service", "container": "Container", "container_id": "Id"},
        {
            "Up for": SECONDS,
            "CPU": CORES,
            "CPU of limit": RATIO,
            "Memory": BYTES,
            "Memory limit": BYTES,
            "Memory of limit": RATIO,
            "Restarts in an hour": SHORT,
        },
        {
            "CPU of limit": Limits(warning=shown.limit("ContainerHighCpu")),
            "Memory of limit": Limits(warning=shown.limit("ContainerHighMemory")),
            "Restarts in an hour": Limits(1, shown.limit("ContainerRestarting")),
        },
    )


def _troubles(shown: Shown) -> list[Panel]:
    return [
        chart(
            "Restarts",
            Query(f"container:restarts:increase1h{{{FS}}}", "{{service}}"),
            "How often each container started anew within the hour before; one that a release replaces does not count.",
            SHORT,
            Limits(warning=shown.limit("ContainerRestarting")),
        ),
        chart(
            "Throttled",
            Query(f"container:cpu_throttled_periods:ratio_rate5m{{{FS}}}", "{{service}}"),
            "Share of its slices of time in which a container had used up its CPU limit, over 5 minutes.",
            RATIO,
            Limits(warning=shown.limit("ContainerThrottled")),
        ),
        chart(
            "Major page faults",
            Query(f"container:memory_major_faults:rate5m{{{FS}}}", "{{service}}"),
            "Pages a second that had to be read from disk: the memory limit leaves no room to keep them.",
            OPERATIONS,
            Limits(warning=shown.limit("ContainerPageFaults")),
        ),
    ]
