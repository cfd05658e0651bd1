"""HTTP API: rate, errors and latency of requests, by service and by route."""

from __future__ import annotations

from grafana_foundation_sdk.models.dashboard import Dashboard

from dashboards.board import Board
from dashboards.panels import BYTES, PER_SECOND, RATIO, SECONDS, SHORT, STACK, Limits, Panel, Query, chart, table
from dashboards.shown import DashboardContext

JOB = f'{STACK}, job=~"$job"'
"""Selector of every query on this board; the variable `job` is the service."""

BY_JOB = "by (product, environment, job)"
ROUTE = "{{job}} {{route}}"
BUSIEST = 10
"""Number of routes in a chart; the table has all of them."""


def http(ctx: DashboardContext) -> Dashboard | None:
    """Build the board of the HTTP services; None where the product has no service that is scraped.

    Love Parser's "Backend Observability" and Pivotal Flow's "API Health": request rates, error rates and latency (p50,
    p95, p99) by service and route, and the memory, connections and load beneath them.
    """
    if not ctx.services:
        return None
    board = Board(ctx, "http", "HTTP API", "are visitors answered, fast and without errors?")
    board.variable("job", f'label_values(up{{{STACK}, tier="app"}}, job)')
    board.row(8, _overview(ctx))
    board.row(8, _details(ctx))
    board.section("Routes")
    board.row(8, _routes(ctx))
    board.row(9, [_table(ctx)])
    board.section("Traffic and instances")
    board.row(7, _traffic())
    board.section("Beneath")
    board.row(7, _resources(ctx))
    return board.build()


def _overview(ctx: DashboardContext) -> list[Panel]:
    return [
        chart(
            "Request rate",
            Query(f"job:http_requests:rate5m{{{JOB}}}", "{{job}}"),
            "Requests a second, over 5 minutes. None at all after an hour with some is an alert.",
            PER_SECOND,
        ),
        chart(
            "Error rate",
            Query(f"job:http_requests_failed:ratio_rate5m{{{JOB}}}", "{{job}}"),
            "Share of the requests that end in a 5xx, over 5 minutes.",
            RATIO,
            Limits(critical=ctx.limit("HighErrorRate")),
        ),
        chart(
            "Latency (p95)",
            Query(f"job:http_request_duration_seconds:p95_rate5m{{{JOB}}}", "{{job}}"),
            "95 % of the requests are answered within this time. From the first line on: optimise or scale.",
            SECONDS,
            Limits(warning=ctx.limit("ScaleLatencyWarning"), critical=ctx.limit("HighRequestLatency")),
        ),
    ]


def _details(ctx: DashboardContext) -> list[Panel]:
    quantiles = ("p50", "p95", "p99")
    return [
        chart(
            "Latency",
            [
                Query(f"job:http_request_duration_seconds:{quantile}_rate5m{{{JOB}}}", f"{{{{job}}}} {quantile}")
                for quantile in quantiles
            ],
            "Half, 95 % and 99 % of the requests are answered within these times. The line is the limit for the last.",
            SECONDS,
            Limits(warning=ctx.limit("HighTailLatency")),
        ),
        chart(
            "Answers by status",
            Query(
                f"sum by (product, environment, status_code) (job_route_status:http_requests:rate5m{{{JOB}}})",
                "{{status_code}}",
            ),
            "Requests a second by HTTP status. 4xx: refused, 429: too many from one visitor, 5xx: failed.",
            PER_SECOND,
            stacked=True,
        ),
    ]


def _routes(ctx: DashboardContext) -> list[Panel]:
    return [
        chart(
            "Request rate by route",
            Query(f"topk({BUSIEST}, job_route:http_requests:rate5m{{{JOB}}})", ROUTE),
            f"Requests a second for the {BUSIEST} busiest routes.",
            PER_SECOND,
        ),
        chart(
            "Errors by route",
            Query(f"topk({BUSIEST}, job_route:http_requests_failed:ratio_rate5m{{{JOB}}})", ROUTE),
            f"Share of 5xx of the {BUSIEST} routes that fail most.",
            RATIO,
            Limits(warning=ctx.limit("RouteFailing")),
        ),
        chart(
            "Slowest routes",
            Query(f"topk({BUSIEST}, job_route:http_request_duration_seconds:p95_rate5m{{{JOB}}} > 0)", ROUTE),
            f"95th percentile of the {BUSIEST} slowest routes.",
            SECONDS,
            Limits(warning=ctx.limit("RouteSlow")),
        ),
    ]


def _table(ctx: DashboardContext) -> Panel:
    by = "by (job, route)"
    return table(
        "Routes now",
        {
            "Requests": f"sum {by} (job_route:http_requests:rate5m{{{JOB}}})",
            "Failed": f"max {by} (job_route:http_requests_failed:ratio_rate5m{{{JOB}}})",
            "p95": f"max {by} (job_route:http_request_duration_seconds:p95_rate5m{{{JOB}}} > 0)",
        },
        "Every route with its rate, its share of 5xx and its 95th percentile over the last 5 minutes.",
        {"job": "Service", "route": "Route"},
        {"Requests": PER_SECOND, "Failed": RATIO, "p95": SECONDS},
        {
            "Failed": Limits(warning=ctx.limit("RouteFailing")),
            "p95": Limits(warning=ctx.limit("RouteSlow")),
        },
    )


def _traffic() -> list[Panel]:
    rate = f"avg_over_time(job:http_requests:rate5m{{{JOB}}}[30m]"
    return [
        chart(
            "Traffic against yesterday",
            [
                Query(f"{rate})", "{{job}}"),
                # A stack younger than a day has no such series yet.
                Query(f"{rate} offset 1d) or {rate}) * 0", "{{job}} yesterday"),
            ],
            "Requests a second over half an hour, today and at the same time yesterday.",
            PER_SECOND,
        ),
        chart(
            "Instances up",
            Query(f'sum {BY_JOB} (up{{{JOB}, tier="app"}})', "{{job}}"),
            "Instances of each service that answer Prometheus. 0 is an outage.",
            SHORT,
        ),
        chart(
            "Open WebSockets",
            Query(
                f'sum {BY_JOB} (job:websocket_connections:sum{{{JOB}}}) or sum {BY_JOB} (up{{{JOB}, tier="app"}}) * 0',
                "{{job}}",
            ),
            "Connections that stay open, by service; 0 for one that has none.",
            SHORT,
        ),
    ]


def _resources(ctx: DashboardContext) -> list[Panel]:
    panels = [
        chart(
            "Memory of the processes",
            Query(f'process_resident_memory_bytes{{{JOB}, tier="app"}}', "{{instance}}"),
            "Memory that the main process of each instance holds.",
            BYTES,
        )
    ]
    connections = {
        "postgres": Query(f"sum by (product, environment) (pg_stat_activity_count{{{STACK}}})", "Postgres"),
        "redis": Query(f"sum by (product, environment) (redis_connected_clients{{{STACK}}})", "Redis"),
    }
    if queries := [connections[store] for store in ctx.data_stores]:
        panels.append(
            chart("Connections to the stores", queries, "Connections that Postgres and Redis have open.", SHORT)
        )
    return [
        *panels,
        chart(
            "System load",
            [
                Query(f"node_load1{{{STACK}}}", "{{instance}}"),
                Query(
                    f'count by (product, environment, instance) (node_cpu_seconds_total{{{STACK}, mode="idle"}})',
                    "{{instance}} CPUs",
                ),
            ],
            "Processes that run or wait for a CPU or disk, over a minute, and how many CPUs there are.",
            SHORT,
        ),
    ]
