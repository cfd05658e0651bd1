"""HTTP API: rate, errors and latency of requests, by service and by route."""

from __future__ import annotations

from dashboards import panels as p
from dashboards.board import Board
from dashboards.context import DashboardContext

JOB_LABELS = f'{p.STACK_LABELS}, job=~"$job"'
JOB = f"{{{JOB_LABELS}}}"
"""Selector of every query on this board; the variable `job` is the service."""

APP = f'{{{JOB_LABELS}, tier="app"}}'
"""Selector of the services' own processes."""

BY_JOB = "by (product, environment, job)"
ROUTE = "{{job}} {{route}}"
BUSIEST = 10
"""Number of routes in a chart; the table has all of them."""


def http(ctx: DashboardContext) -> Board | None:
    """Build the board of the HTTP services; None where the product has no service that is scraped.

    Love Parser's "Backend Observability" and Pivotal Flow's "API Health": request rates, error rates and latency (p50,
    p95, p99) by service and route, and the memory, connections and load beneath them.
    """
    if not ctx.services:
        return None
    board = Board(ctx, "http", "HTTP API", "are visitors answered, fast and without errors?")
    board.variable("job", f'label_values(up{{{p.STACK_LABELS}, tier="app"}}, job)')
    board.row(
        8,
        p.chart(
            "Request rate",
            {"{{job}}": f"job:http_requests:rate5m{JOB}"},
            "Requests a second, over 5 minutes. None at all after an hour with some is an alert.",
            p.PER_SECOND,
        ),
        p.chart(
            "Error rate",
            {"{{job}}": f"job:http_requests_failed:ratio_rate5m{JOB}"},
            "Share of the requests that end in a 5xx, over 5 minutes.",
            p.RATIO,
            ctx.limits(critical="HighErrorRate"),
        ),
        p.chart(
            "Latency (p95)",
            {"{{job}}": f"job:http_request_duration_seconds:p95_rate5m{JOB}"},
            "95 % of the requests are answered within this time. From the first line on: optimise or scale.",
            p.SECONDS,
            ctx.limits(warning="ScaleLatencyWarning", critical="HighRequestLatency"),
        ),
    )
    by_status = "sum by (product, environment, status_code)"
    board.row(
        8,
        p.chart(
            "Latency",
            {
                f"{{{{job}}}} {quantile}": f"job:http_request_duration_seconds:{quantile}_rate5m{JOB}"
                for quantile in ("p50", "p95", "p99")
            },
            "Half, 95 % and 99 % of the requests are answered within these times. The line is the limit for the last.",
            p.SECONDS,
            ctx.limits(warning="HighTailLatency"),
        ),
        p.chart(
            "Answers by status",
            {"{{status_code}}": f"{by_status} (job_route_status:http_requests:rate5m{JOB})"},
            "Requests a second by HTTP status. 4xx: refused, 429: too many from one visitor, 5xx: failed.",
            p.PER_SECOND,
            stacked=True,
        ),
    )
    _routes(board, ctx)
    _traffic(board, ctx)
    return board


def _routes(board: Board, ctx: DashboardContext) -> None:
    board.section("Routes")
    board.row(
        8,
        p.chart(
            "Request rate by route",
            {ROUTE: f"topk({BUSIEST}, job_route:http_requests:rate5m{JOB})"},
            f"Requests a second for the {BUSIEST} busiest routes.",
            p.PER_SECOND,
        ),
        p.chart(
            "Errors by route",
            {ROUTE: f"topk({BUSIEST}, job_route:http_requests_failed:ratio_rate5m{JOB})"},
            f"Share of 5xx of the {BUSIEST} routes that fail most.",
            p.RATIO,
            ctx.limits(warning="RouteFailing"),
        ),
        p.chart(
            "Slowest routes",
            {ROUTE: f"topk({BUSIEST}, job_route:http_request_duration_seconds:p95_rate5m{JOB} > 0)"},
            f"95th percentile of the {BUSIEST} slowest routes.",
            p.SECONDS,
            ctx.limits(warning="RouteSlow"),
        ),
    )
    by = "by (job, route)"
    failed = f"max {by} (job_route:http_requests_failed:ratio_rate5m{JOB})"
    slowest = f"max {by} (job_route:http_request_duration_seconds:p95_rate5m{JOB} > 0)"
    board.row(
        9,
        p.table(
            "Routes now",
            [
                p.Column("Requests", f"sum {by} (job_route:http_requests:rate5m{JOB})", p.PER_SECOND),
                p.Column("Failed", failed, p.RATIO, ctx.limits(warning="RouteFailing")),
                p.Column("p95", slowest, p.SECONDS, ctx.limits(warning="RouteSlow")),
            ],
            "Every route with its rate, its share of 5xx and its 95th percentile over the last 5 minutes.",
            {"job": "Service", "route": "Route"},
        ),
    )


def _traffic(board: Board, ctx: DashboardContext) -> None:
    board.section("Traffic and instances")
    rate = f"avg_over_time(job:http_requests:rate5m{JOB}[30m]"
    board.row(
        7,
        p.chart(
            "Traffic against yesterday",
            {
                "{{job}}": f"{rate})",
                # A stack younger than a day has no such series yet.
                "{{job}} yesterday": f"{rate} offset 1d) or {rate}) * 0",
            },
            "Requests a second over half an hour, today and at the same time yesterday.",
            p.PER_SECOND,
        ),
        p.chart(
            "Instances up",
            {"{{job}}": f"sum {BY_JOB} (up{APP})"},
            "Instances of each service that answer Prometheus. 0 is an outage.",
        ),
        p.chart(
            "Open WebSockets",
            {"{{job}}": f"sum {BY_JOB} (job:websocket_connections:sum{JOB}) or sum {BY_JOB} (up{APP}) * 0"},
            "Connections that stay open, by service; 0 for one that has none.",
        ),
    )
    board.section("Beneath")
    cpus = f'node_cpu_seconds_total{{{p.STACK_LABELS}, mode="idle"}}'
    board.row(
        7,
        p.chart(
            "Memory of the processes",
            {"{{instance}}": f"process_resident_memory_bytes{APP}"},
            "Memory that the main process of each instance holds.",
            p.BYTES,
        ),
        _connections(ctx),
        p.chart(
            "System load",
            {
                "{{instance}}": f"node_load1{p.STACK}",
                "{{instance}} CPUs": f"count by (product, environment, instance) ({cpus})",
            },
            "Processes that run or wait for a CPU or disk, over a minute, and how many CPUs there are.",
        ),
    )


def _connections(ctx: DashboardContext) -> p.Panel | None:
    metrics = {"postgres": ("Postgres", "pg_stat_activity_count"), "redis": ("Redis", "redis_connected_clients")}
    stores = [metrics[store] for store in ctx.data_stores]
    queries = {title: f"sum by (product, environment) ({metric}{p.STACK})" for title, metric in stores}
    description = "Connections that Postgres and Redis have open."
    return p.chart("Connections to the stores", queries, description) if queries else None
