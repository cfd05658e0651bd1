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
    STACK,
    Limits,
    Panel,
    Query,
    chart,
    stat,
    table,
)
from dashboards.shown import DashboardContext

SERVICE = f'{STACK}, service=~"$service"'
"""Selector of every query on this board, with the variable `service`."""

INVENTORY = f"container:dockyard_container_info:max{{{SERVICE}}}"
RUNNING = f"container:start_time_seconds:max{{{SERVICE}}}"


def containers(ctx: DashboardContext) -> Dashboard:
    """Build the board of the stack's own containers; others on the host are not on it."""
    board = Board(ctx, "containers", "Containers", "do they run, and have they what they need?")
    board.variable("service", f"label_values(container:dockyard_container_info:max{{{STACK}}}, service)")
    board.row(4, _now(ctx))
    board.row(8, [_share("CPU", ctx), _cpu()])
    board.row(8, [_share("Memory", ctx), _memory()])
    board.row(10, [_table(ctx)])
    board.row(7, _problems(ctx))
    return board.build()


def _now(ctx: DashboardContext) -> list[Panel]:
    return [
        stat(
            "Running",
            f"count({RUNNING}) or vector(0)",
            "Containers of this stack that have processes.",
            limits=Limits(critical=1, falling=True),
        ),
        stat(
            "Not running",
            f"count({INVENTORY} unless on (product, environment, container_id) {RUNNING}) or vector(0)",
            "Containers of this stack that should run and do not.",
            limits=Limits(critical=1),
        ),
        stat(
            "Closest to its memory limit",
            Query(f"topk(1, container:memory_limit:ratio{{{SERVICE}}})", "{{service}}"),
            "The container that uses most of the memory it may use.",
            RATIO,
            Limits(warning=ctx.limit("ContainerHighMemory")),
        ),
        stat(
            "Closest to its CPU limit",
            Query(f"topk(1, container:cpu_quota:ratio_rate5m{{{SERVICE}}})", "{{service}}"),
            "The container that uses most of the CPU time it may use, over 5 minutes.",
            RATIO,
            Limits(warning=ctx.limit("ContainerHighCpu")),
        ),
    ]


def _share(resource: str, ctx: DashboardContext) -> Panel:
    series, alert = {
        "CPU": ("container:cpu_quota:ratio_rate5m", "ContainerHighCpu"),
        "Memory": ("container:memory_limit:ratio", "ContainerHighMemory"),
    }[resource]
    return chart(
        f"{resource} of its limit",
        Query(f"{series}{{{SERVICE}}}", "{{service}}"),
        f"Share of its {resource} limit that each container uses.",
        RATIO,
        Limits(warning=ctx.limit(alert)),
    )


def _cpu() -> Panel:
    return chart(
        "CPU",
        Query(f"container:cpu_usage_cores:rate5m{{{SERVICE}}}", "{{service}}"),
        "Cores that each container uses, over 5 minutes.",
        CORES,
        stacked=True,
    )


def _memory() -> Panel:
    return chart(
        "Memory",
        Query(f"container:memory_working_set_bytes:sum{{{SERVICE}}}", "{{service}}"),
        "Memory that each container holds and the kernel cannot take back.",
        BYTES,
        stacked=True,
    )


def _table(ctx: DashboardContext) -> Panel:
    def by_container(series: str) -> str:
        return f"max by (product, environment, service, container, container_id) ({series}{{{SERVICE}}})"

    return table(
        "Containers",
        {
            "Up for": f"time() - {by_container('container:start_time_seconds:max')}",
            "CPU": by_container("container:cpu_usage_cores:rate5m"),
            "CPU of limit": by_container("container:cpu_quota:ratio_rate5m"),
            "Memory": by_container("container:memory_working_set_bytes:sum"),
            "Memory limit": by_container("container:memory_limit_bytes:max"),
            "Memory of limit": by_container("container:memory_limit:ratio"),
            "Restarts in an hour": by_container("container:restarts:increase1h"),
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
            "CPU of limit": Limits(warning=ctx.limit("ContainerHighCpu")),
            "Memory of limit": Limits(warning=ctx.limit("ContainerHighMemory")),
            "Restarts in an hour": Limits(1, ctx.limit("ContainerRestarting")),
        },
    )


def _problems(ctx: DashboardContext) -> list[Panel]:
    return [
        chart(
            "Restarts",
            Query(f"container:restarts:increase1h{{{SERVICE}}}", "{{service}}"),
            "How often each container started anew within the hour before; one that a release replaces does not count.",
            SHORT,
            Limits(warning=ctx.limit("ContainerRestarting")),
        ),
        chart(
            "Throttled",
            Query(f"container:cpu_throttled_periods:ratio_rate5m{{{SERVICE}}}", "{{service}}"),
            "Share of its slices of time in which a container had used up its CPU limit, over 5 minutes.",
            RATIO,
            Limits(warning=ctx.limit("ContainerThrottled")),
        ),
        chart(
            "Major page faults",
            Query(f"container:memory_major_faults:rate5m{{{SERVICE}}}", "{{service}}"),
            "Pages a second that had to be read from disk: the memory limit leaves no room to keep them.",
            OPERATIONS,
            Limits(warning=ctx.limit("ContainerPageFaults")),
        ),
    ]
