"""The overview: is everything fine, on one screen."""

from __future__ import annotations

from dataclasses import replace

from grafana_foundation_sdk.models.dashboard import Dashboard

from dashboards.board import Board
from dashboards.panels import (
    AGO,
    BYTES,
    CORES,
    FI,
    PER_SECOND,
    RATIO,
    SECONDS,
    SHORT,
    F,
    Limits,
    Panel,
    Query,
    chart,
    lamp,
    number,
    rows_of,
)
from dashboards.shown import Shown

STORES = {"postgres": ("Postgres", "pg_up"), "redis": ("Redis", "redis_up")}
"""Data store → its title and the metric by which its exporter says whether it is reachable."""

FIGURES_IN_A_ROW = 4

CACHE = "Cache hit rate"

FIRING = 'alertstate="firing", severity!="info"'
"""Of the alerts those that somebody must look at: not the Watchdog, which always fires."""


def overview(shown: Shown) -> Dashboard:
    """Make the overview of one stack: lamps first, as a phone shows the panels in one column.

    Raises KeyError for a data store that is not in STORES.
    """
    board = Board(shown, "overview", "Overview", "is everything fine?", instances="node_uname_info")
    board.row(4, [*_alerts(), *_lamps(shown)])
    board.row(
        5,
        [
            rows_of(
                "What is wrong",
                {"Alerts": f"count by (alertname, severity, job) (ALERTS{{{F}, {FIRING}}})"},
                "The alerts that fire now; empty where all is well. Each has a page in the runbooks.",
                {"alertname": "Alert", "severity": "Severity", "job": "Where"},
                {"Alerts": SHORT},
            ),
            number(
                "Last change of containers",
                f'max(node_textfile_mtime_seconds{{{F}, file=~".*/containers.prom"}}) * 1000',
                "When a release or another change last replaced a container.",
                AGO,
            ),
        ],
    )
    for start in range(0, len(shown.figures), FIGURES_IN_A_ROW):
        figures = shown.figures[start : start + FIGURES_IN_A_ROW]
        board.row(
            4,
            [
                replace(
                    number(one.title, one.query, "A figure of the product's own, from its product file.", one.unit),
                    own=False,
                )
                for one in figures
            ],
        )
    if shown.services:
        board.row(7, _traffic(shown))
    board.row(7, [*_host(shown), *_cache(shown)])
    board.row(
        7,
        [
            chart(
                "Container CPU",
                Query(f"topk(10, container:cpu_usage_cores:rate5m{{{F}}})", "{{service}}"),
                "Cores in use by the ten busiest containers, over 5 minutes.",
                CORES,
            ),
            chart(
                "Container memory",
                Query(f"topk(10, container:memory_working_set_bytes:sum{{{F}}})", "{{service}}"),
                "Working set of the ten largest containers.",
                BYTES,
            ),
            *_store_charts(shown),
        ],
    )
    return board.build()


def _alerts() -> list[Panel]:
    return [
        number(
            "Targets down",
            f"count(up{{{F}}} == 0) or vector(0)",
            "Scrape targets that do not answer Prometheus.",
            limits=Limits(critical=1),
        ),
        number(
            "Firing alerts",
            f"count(ALERTS{{{F}, {FIRING}}}) or vector(0)",
            "Alerts that fire now, without those that only inform (Watchdog).",
            limits=Limits(critical=1),
        ),
    ]


def _lamps(shown: Shown) -> list[Panel]:
    lamps = [
        lamp(
            service.capitalize(),
            f'sum(up{{{F}, job="{service}"}})',
            f"At least one instance of {service} answers.",
        )
        for service in shown.services
    ]
    stores = (STORES[name] for name in shown.data_stores)
    return lamps + [lamp(title, f"min({metric}{{{F}}})", f"The exporter reaches {title}.") for title, metric in stores]


def _traffic(shown: Shown) -> list[Panel]:
    return [
        chart(
            "Request rate",
            Query(f"job:http_requests:rate5m{{{F}}}", "{{job}}"),
            "Requests a second, over 5 minutes.",
            PER_SECOND,
        ),
        chart(
            "Latency (p95)",
            Query(f"job:http_request_duration_seconds:p95_rate5m{{{F}}}", "{{job}}"),
            "95 % of the requests are faster than this.",
            SECONDS,
            Limits(critical=shown.limit("HighRequestLatency")),
        ),
        chart(
            "Error rate",
            Query(f"job:http_requests_failed:ratio_rate5m{{{F}}}", "{{job}}"),
            "Share of the requests that end in a 5xx, over 5 minutes.",
            RATIO,
            Limits(critical=shown.limit("HighErrorRate")),
        ),
    ]


def _host(shown: Shown) -> list[Panel]:
    return [
        chart(
            "CPU",
            Query(f"instance:node_cpu_utilisation:ratio_rate5m{{{FI}}}", "{{instance}}"),
            "Share of the host's CPUs in use, over 5 minutes.",
            RATIO,
            Limits(critical=shown.limit("HighCpuUsage")),
        ),
        chart(
            "Memory",
            Query(f"1 - instance:node_memory_available:ratio{{{FI}}}", "{{instance}}"),
            "Share of the host's memory that is not available.",
            RATIO,
            Limits(critical=1 - shown.limit("LowMemoryAvailable")),
        ),
        chart(
            "Disk",
            Query(f"1 - instance:node_filesystem_available:ratio{{{FI}}}", "{{instance}} {{mountpoint}}"),
            "Share of each file system that is used.",
            RATIO,
            Limits(critical=1 - shown.limit("DiskSpaceLow")),
        ),
    ]


def _cache(shown: Shown) -> list[Panel]:
    told = any(figure.title == CACHE for figure in shown.figures)
    if "redis" not in shown.data_stores or not shown.services or told:
        return []
    return [
        chart(
            CACHE,
            Query(f"job:cache_hits:ratio_rate5m{{{F}}}", "{{job}}"),
            "Share of the look-ups that the cache answered, over 5 minutes.",
            RATIO,
        )
    ]


def _store_charts(shown: Shown) -> list[Panel]:
    charts = {
        "postgres": chart(
            "Postgres connections",
            [
                Query(f"instance:pg_connections:sum{{{F}}}", "in use"),
                Query(f"max by (product, environment, job, instance) (pg_settings_max_connections{{{F}}})", "maximum"),
            ],
            "Connections of all states, and how many Postgres takes.",
            SHORT,
        ),
        "redis": chart(
            "Redis memory",
            [
                Query(f"redis_memory_used_bytes{{{F}}}", "in use"),
                Query(f"redis_memory_max_bytes{{{F}}} > 0", "maximum"),
            ],
            "Memory of the data, and the limit where one is set.",
            BYTES,
        ),
    }
    return [charts[name] for name in shown.data_stores]
