"""The stack's containers, under the names of their services."""

from __future__ import annotations

from dashboards import panels as p
from dashboards.board import Board
from dashboards.context import DashboardContext

SERVICE = f'{{{p.STACK_LABELS}, service=~"$service"}}'
"""Selector of every query on this board, with the variable `service`."""

INVENTORY = f"container:dockyard_container_info:max{SERVICE}"
RUNNING = f"container:start_time_seconds:max{SERVICE}"


def containers(ctx: DashboardContext) -> Board:
    """Build the board of the stack's own containers; others on the host are not on it."""
    board = Board(ctx, "containers", "Containers", "do they run, and have they what they need?")
    board.variable("service", f"label_values(container:dockyard_container_info:max{p.STACK}, service)")
    board.row(
        4,
        p.stat(
            "Running",
            f"count({RUNNING}) or vector(0)",
            "Containers of this stack that have processes.",
            thresholds=p.CRITICAL_BELOW_1,
        ),
        p.stat(
            "Not running",
            f"count({INVENTORY} unless on (product, environment, container_id) {RUNNING}) or vector(0)",
            "Containers of this stack that should run and do not.",
            thresholds=p.CRITICAL_FROM_1,
        ),
        p.stat(
            "Closest to its memory limit",
            {"{{service}}": f"topk(1, container:memory_limit:ratio{SERVICE})"},
            "The container that uses most of the memory it may use.",
            p.RATIO,
            ctx.limits(warning="ContainerHighMemory"),
        ),
        p.stat(
            "Closest to its CPU limit",
            {"{{service}}": f"topk(1, container:cpu_quota:ratio_rate5m{SERVICE})"},
            "The container that uses most of the CPU time it may use, over 5 minutes.",
            p.RATIO,
            ctx.limits(warning="ContainerHighCpu"),
        ),
    )
    board.row(
        8,
        _share("CPU", "container:cpu_quota:ratio_rate5m", ctx.limits(warning="ContainerHighCpu")),
        p.chart(
            "CPU",
            {"{{service}}": f"container:cpu_usage_cores:rate5m{SERVICE}"},
            "Cores that each container uses, over 5 minutes.",
            p.CORES,
            stacked=True,
        ),
    )
    board.row(
        8,
        _share("Memory", "container:memory_limit:ratio", ctx.limits(warning="ContainerHighMemory")),
        p.chart(
            "Memory",
            {"{{service}}": f"container:memory_working_set_bytes:sum{SERVICE}"},
            "Memory that each container holds and the kernel cannot take back.",
            p.BYTES,
            stacked=True,
        ),
    )
    _details(board, ctx)
    return board


def _details(board: Board, ctx: DashboardContext) -> None:
    def by_container(series: str) -> str:
        return f"max by (product, environment, service, container, container_id) ({series}{SERVICE})"

    cpu_limits, memory_limits = (ctx.limits(f"ContainerHigh{resource}") for resource in ("Cpu", "Memory"))
    board.row(
        10,
        p.table(
            "Containers",
            [
                p.Column("Up for", f"time() - {by_container('container:start_time_seconds:max')}", p.SECONDS),
                p.Column("CPU", by_container("container:cpu_usage_cores:rate5m"), p.CORES),
                p.Column("CPU of limit", by_container("container:cpu_quota:ratio_rate5m"), p.RATIO, cpu_limits),
                p.Column("Memory", by_container("container:memory_working_set_bytes:sum"), p.BYTES),
                p.Column("Memory limit", by_container("container:memory_limit_bytes:max"), p.BYTES),
                p.Column("Memory of limit", by_container("container:memory_limit:ratio"), p.RATIO, memory_limits),
                p.Column(
                    "Restarts in an hour",
                    by_container("container:restarts:increase1h"),
                    thresholds=p.Thresholds(1, ctx.limit("ContainerRestarting")),
                ),
            ],
            "Every container of this stack, with what it uses of what it may use.",
            {"service": "Service", "container": "Container", "container_id": "Id"},
        ),
    )
    board.row(
        7,
        p.chart(
            "Restarts",
            {"{{service}}": f"container:restarts:increase1h{SERVICE}"},
            "How often each container started anew within the hour before; one that a release replaces does not count.",
            thresholds=ctx.limits(warning="ContainerRestarting"),
        ),
        p.chart(
            "Throttled",
            {"{{service}}": f"container:cpu_throttled_periods:ratio_rate5m{SERVICE}"},
            "Share of its slices of time in which a container had used up its CPU limit, over 5 minutes.",
            p.RATIO,
            ctx.limits(warning="ContainerThrottled"),
        ),
        p.chart(
            "Major page faults",
            {"{{service}}": f"container:memory_major_faults:rate5m{SERVICE}"},
            "Pages a second that had to be read from disk: the memory limit leaves no room to keep them.",
            p.OPERATIONS,
            ctx.limits(warning="ContainerPageFaults"),
        ),
    )


def _share(resource: str, series: str, thresholds: p.Thresholds) -> p.Panel:
    return p.chart(
        f"{resource} of its limit",
        {"{{service}}": f"{series}{SERVICE}"},
        f"Share of its {resource} limit that each container uses.",
        p.RATIO,
        thresholds,
    )
