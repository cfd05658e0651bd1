"""HTTP API: what visitors ask of the services, by service and by route: rate, errors, latency."""

from __future__ import annotations

from grafana_foundation_sdk.models.dashboard import Dashboard

from dashboards.board import Board
from dashboards.panels import BYTES, PER_SECOND, RATIO, SECONDS, SHORT, F, Limits, Panel, Query, chart, rows_of
from dashboards.shown import Shown

J = f'{F}, job=~"$job"'
"""What every query here selects by: $job is the service."""

BY_JOB = "by (product, environment, job)"
ROUTE = "{{job}} {{route}}"
BUSIEST = 10
"""Routes that a panel shows at most; the table has them all."""


def http(shown: Shown) -> Dashboard | None:
    """Make the board of the HTTP services; none where the product has no service that is scraped.

    Love Parser's "Backend Observability" and Pivotal Flow's "API Health": request rates, error rates and latency (p50,
    p95, p99) by service and route, and the memory, connections and load beneath them.
    """
    if not shown.services:
        return None
    board = Board(shown, "http", "HTTP API", "are visitors answered, fast and without errors?")
    board.variable("job", f'label_values(up{{{F}, tier="app"}}, job)')
    board.row(8, _course(shown))
    board.row(8, _detail(shown))
    board.section("Routes")
    board.row(8, _routes(shown))
    board.row(9, [_table(shown)])
    board.section("Traffic and instances")
    board.row(7, _traffic())
    board.section("Beneath")
    board.row(7, _beneath(shown))
    return board.build()


def _course(shown: Shown) -> list[Panel]:
    return [
        chart(
            "Request rate",
            Query(f"job:http_requests:rate5m{{{J}}}", "{{job}}"),
            "Requests a second, over 5 minutes. None at all after an hour with some is an alert.",
            PER_SECOND,
        ),
        chart(
            "Error rate",
            Query(f"job:http_requests_failed:ratio_rate5m{{{J}}}", "{{job}}"),
            "Share of the requests that end in a 5xx, over 5 minutes.",
            RATIO,
            Limits(critical=shown.limit("HighErrorRate")),
        ),
        chart(
            "Latency (p95)",
            Query(f"job:http_request_duration_seconds:p95_rate5m{{{J}}}", "{{job}}"),
            "95 % of the requests are answered within this time. From the first line on: optimise or scale.",
            SECONDS,
            Limits(warning=shown.limit("ScaleLatencyWarning"), critical=shown.limit("HighRequestLatency")),
        ),
    ]


def _detail(shown: Shown) -> list[Panel]:
    quantiles = ("p50", "p95", "p99")
    return [
        chart(
            "Latency",
            [
                Query(f"job:http_request_duration_seconds:{one}_rate5m{{{J}}}", f"{{{{job}}}} {one}")
                for one in quantiles
            ],
            "Half, 95 % and 99 % of the requests are answered within these times. The line is the limit for the last.",
            SECONDS,
            Limits(warning=shown.limit("HighTailLatency")),
        ),
        chart(
            "Answers by status",
            Query(
                f"sum by (product, environment, status_code) (job_route_status:http_requests:rate5m{{{J}}})",
                "{{status_code}}",
            ),
            "Requests a second by HTTP status. 4xx: refused, 429: too many from one visitor, 5xx: failed.",
            PER_SECOND,
            stacked=True,
        ),
    ]


def _routes(shown: Shown) -> list[Panel]:
    return [
        chart(
            "Request rate by route",
            Query(f"topk({BUSIEST}, job_route:http_requests:rate5m{{{J}}})", ROUTE),
            f"Requests a second for the {BUSIEST} busiest routes.",
            PER_SECOND,
        ),
        chart(
            "Errors by route",
            Query(f"topk({BUSIEST}, job_route:http_requests_failed:ratio_rate5m{{{J}}})", ROUTE),
            f"Share of 5xx of the {BUSIEST} routes that fail most.",
            RATIO,
            Limits(warning=shown.limit("RouteFailing")),
        ),
        chart(
            "Slowest routes",
            Query(f"topk({BUSIEST}, job_route:http_request_duration_seconds:p95_rate5m{{{J}}} > 0)", ROUTE),
            f"95th percentile of the {BUSIEST} slowest routes.",
            SECONDS,
            Limits(warning=shown.limit("RouteSlow")),
        ),
    ]


def _table(shown: Shown) -> Panel:
    by = "by (job, route)"
    return rows_of(
        "Routes now",
        {
            "Requests": f"sum {by} (job_route:http_requests:rate5m{{{J}}})",
            "Failed": f"max {by} (job_route:http_requests_failed:ratio_rate5m{{{J}}})",
            "p95": f"max {by} (job_route:http_request_duration_seconds:p95_rate5m{{{J}}} > 0)",
        },
        "Every route with its rate, its share of 5xx and its 95th percentile over the last 5 minutes.",
        {"job": "Service", "route": "Route"},
        {"Requests": PER_SECOND, "Failed": RATIO, "p95": SECONDS},
        {
            "Failed": Limits(warning=shown.limit("RouteFailing")),
            "p95": Limits(warning=shown.limit("RouteSlow")),
        },
    )


def _traffic() -> list[Panel]:
    rate = f"avg_over_time(job:http_requests:rate5m{{{J}}}[30m]"
    return [
        chart(
            "Traffic against yesterday",
            [
                Query(f"{rate})", "{{job}}"),
                # A stack that is younger has none yet.
                Query(f"{rate} offset 1d) or {rate}) * 0", "{{job}} yesterday"),
            ],
            "Requests a second over half an hour, today and at the same time yesterday.",
            PER_SECOND,
        ),
        chart(
            "Instances up",
            Query(f'sum {BY_JOB} (up{{{J}, tier="app"}})', "{{job}}"),
            "Instances of each service that answer Prometheus. 0 is an outage.",
            SHORT,
        ),
        chart(
            "Open WebSockets",
            Query(
                f'sum {BY_JOB} (job:websocket_connections:sum{{{J}}}) or sum {BY_JOB} (up{{{J}, tier="app"}}) * 0',
                "{{job}}",
            ),
            "Connections that stay open, by service; 0 for one that has none.",
            SHORT,
        ),
    ]


def _beneath(shown: Shown) -> list[Panel]:
    panels = [
        chart(
            "Memory of the processes",
            Query(f'process_resident_memory_bytes{{{J}, tier="app"}}', "{{instance}}"),
            "Memory that the main process of each instance holds.",
            BYTES,
        )
    ]
    connections = {
        "postgres": Query(f"sum by (product, environment) (pg_stat_activity_count{{{F}}})", "Postgres"),
        "redis": Query(f"sum by (product, environment) (redis_connected_clients{{{F}}})", "Redis"),
    }
    if queries := [connections[store] for store in shown.data_stores]:
        panels.append(
            chart("Connections to the stores", queries, "Connections that Postgres and Redis have open.", SHORT)
        )
    return [
        *panels,
        chart(
            "System load",
            [
                Query(f"node_load1{{{F}}}", "{{instance}}"),
                Query(
                    f'count by (product, environment, instance) (node_cpu_seconds_total{{{F}, mode="idle"}})',
                    "{{instance}} CPUs",
                ),
            ],
            "Processes that run or wait for a CPU or disk, over a minute, and how many CPUs there are.",
            SHORT,
        ),
    ]
