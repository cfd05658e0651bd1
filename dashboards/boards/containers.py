"""The stack's containers, under the names of their services."""

from __future__ import annotations

from grafana_foundation_sdk.models.dashboard import Dashboard

from dashboards import panels as p
from dashboards.board import Board
from dashboards.context import DashboardContext

SERVICE = f'{p.STACK}, service=~"$service"'
"""Selector of every query on this board, with the variable `service`."""

INVENTORY = f"container:dockyard_container_info:max{{{SERVICE}}}"
RUNNING = f"container:start_time_seconds:max{{{SERVICE}}}"


def containers(ctx: DashboardContext) -> Dashboard:
    """Build the board of the stack's own containers; others on the host are not on it."""
    board = Board(ctx, "containers", "Containers", "do they run, and have they what they need?")
    board.variable("service", f"label_values(container:dockyard_container_info:max{{{p.STACK}}}, service)")
    board.row(4, _now(ctx))
    board.row(8, [_share("CPU", ctx), _cpu()])
    board.row(8, [_share("Memory", ctx), _memory()])
    board.row(10, [_table(ctx)])
    board.row(7, _problems(ctx))
    return board.build()


def _now(ctx: DashboardContext) -> list[p.Panel]:
    return [
        p.stat(
            "Running",
            f"count({RUNNING}) or vector(0)",
            "Containers of this stack that have processes.",
            thresholds=p.Thresholds(critical=1, falling=True),
        ),
        p.stat(
            "Not running",
            f"count({INVENTORY} unless on (product, environment, container_id) {RUNNING}) or vector(0)",
            "Containers of this stack that should run and do not.",
            thresholds=p.Thresholds(critical=1),
        ),
        p.stat(
            "Closest to its memory limit",
            p.Query(f"topk(1, container:memory_limit:ratio{{{SERVICE}}})", "{{service}}"),
            "The container that uses most of the memory it may use.",
            p.RATIO,
            p.Thresholds(warning=ctx.limit("ContainerHighMemory")),
        ),
        p.stat(
            "Closest to its CPU limit",
            p.Query(f"topk(1, container:cpu_quota:ratio_rate5m{{{SERVICE}}})", "{{service}}"),
            "The container that uses most of the CPU time it may use, over 5 minutes.",
            p.RATIO,
            p.Thresholds(warning=ctx.limit("ContainerHighCpu")),
        ),
    ]


def _share(resource: str, ctx: DashboardContext) -> p.Panel:
    series, alert = {
        "CPU": ("container:cpu_quota:ratio_rate5m", "ContainerHighCpu"),
        "Memory": ("container:memory_limit:ratio", "ContainerHighMemory"),
    }[resource]
    return p.chart(
        f"{resource} of its limit",
        p.Query(f"{series}{{{SERVICE}}}", "{{service}}"),
        f"Share of its {resource} limit that each container uses.",
        p.RATIO,
        p.Thresholds(warning=ctx.limit(alert)),
    )


def _cpu() -> p.Panel:
    return p.chart(
        "CPU",
        p.Query(f"container:cpu_usage_cores:rate5m{{{SERVICE}}}", "{{service}}"),
        "Cores that each container uses, over 5 minutes.",
        p.CORES,
        stacked=True,
    )


def _memory() -> p.Panel:
    return p.chart(
        "Memory",
        p.Query(f"container:memory_working_set_bytes:sum{{{SERVICE}}}", "{{service}}"),
        "Memory that each container holds and the kernel cannot take back.",
        p.BYTES,
        stacked=True,
    )


def _table(ctx: DashboardContext) -> p.Panel:
    def by_container(series: str) -> str:
        return f"max by (product, environment, service, container, container_id) ({series}{{{SERVICE}}})"

    return p.table(
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
            "Up for": p.SECONDS,
            "CPU": p.CORES,
            "CPU of limit": p.RATIO,
            "Memory": p.BYTES,
            "Memory limit": p.BYTES,
            "Memory of limit": p.RATIO,
            "Restarts in an hour": p.SHORT,
        },
        {
            "CPU of limit": p.Thresholds(warning=ctx.limit("ContainerHighCpu")),
            "Memory of limit": p.Thresholds(warning=ctx.limit("ContainerHighMemory")),
            "Restarts in an hour": p.Thresholds(1, ctx.limit("ContainerRestarting")),
        },
    )


def _problems(ctx: DashboardContext) -> list[p.Panel]:
    return [
        p.chart(
            "Restarts",
            p.Query(f"container:restarts:increase1h{{{SERVICE}}}", "{{service}}"),
            "How often each container started anew within the hour before; one that a release replaces does not count.",
            p.SHORT,
            p.Thresholds(warning=ctx.limit("ContainerRestarting")),
        ),
        p.chart(
            "Throttled",
            p.Query(f"container:cpu_throttled_periods:ratio_rate5m{{{SERVICE}}}", "{{service}}"),
            "Share of its slices of time in which a container had used up its CPU limit, over 5 minutes.",
            p.RATIO,
            p.Thresholds(warning=ctx.limit("ContainerThrottled")),
        ),
        p.chart(
            "Major page faults",
            p.Query(f"container:memory_major_faults:rate5m{{{SERVICE}}}", "{{service}}"),
            "Pages a second that had to be read from disk: the memory limit leaves no room to keep them.",
            p.OPERATIONS,
            p.Thresholds(warning=ctx.limit("ContainerPageFaults")),
        ),
    ]
