"""The overview: the state of the whole stack on one screen."""

from __future__ import annotations

from dataclasses import replace

from grafana_foundation_sdk.models.dashboard import Dashboard

from dashboards.board import Board
from dashboards.panels import (
    BYTES,
    CORES,
    INSTANCE,
    PER_SECOND,
    RATIO,
    SECONDS,
    SHORT,
    STACK,
    TIME_AGO,
    Limits,
    Panel,
    Query,
    chart,
    stat,
    table,
    up_down_stat,
)
from dashboards.shown import DashboardContext

STORES = {"postgres": ("Postgres", "pg_up"), "redis": ("Redis", "redis_up")}
"""Data store → its title, and its exporter's metric for whether the store is reachable."""

FIGURES_IN_A_ROW = 4

CACHE = "Cache hit rate"

FIRING = 'alertstate="firing", severity!="info"'
"""Selector of the alerts that need attention: not the Watchdog, which always fires."""


def overview(ctx: DashboardContext) -> Dashboard:
    """Build the overview of one stack: the up/down stats first, since a phone shows the panels in one column.

    Raises KeyError for a data store that is not in STORES.
    """
    board = Board(ctx, "overview", "Overview", "is everything fine?", instances="node_uname_info")
    board.row(4, [*_alerts(), *_lamps(ctx)])
    board.row(
        5,
        [
            table(
                "What is wrong",
                {"Alerts": f"count by (alertname, severity, job) (ALERTS{{{STACK}, {FIRING}}})"},
                "The alerts that fire now; empty where all is well. Each has a page in the runbooks.",
                {"alertname": "Alert", "severity": "Severity", "job": "Where"},
                {"Alerts": SHORT},
            ),
            stat(
                "Last change of containers",
                f'max(node_textfile_mtime_seconds{{{STACK}, file=~".*/containers.prom"}}) * 1000',
                "When a release or another change last replaced a container.",
                TIME_AGO,
            ),
        ],
    )
    for start in range(0, len(ctx.figures), FIGURES_IN_A_ROW):
        figures = ctx.figures[start : start + FIGURES_IN_A_ROW]
        board.row(
            4,
            [
                replace(
                    stat(
                        figure.title, figure.query, "A figure of the product's own, from its product file.", figure.unit
                    ),
                    is_builtin=False,
                )
                for figure in figures
            ],
        )
    if ctx.services:
        board.row(7, _traffic(ctx))
    board.row(7, [*_host(ctx), *_cache(ctx)])
    board.row(
        7,
        [
            chart(
                "Container CPU",
                Query(f"topk(10, container:cpu_usage_cores:rate5m{{{STACK}}})", "{{service}}"),
                "Cores in use by the ten busiest containers, over 5 minutes.",
                CORES,
            ),
            chart(
                "Container memory",
                Query(f"topk(10, container:memory_working_set_bytes:sum{{{STACK}}})", "{{service}}"),
                "Working set of the ten largest containers.",
                BYTES,
            ),
            *_store_charts(ctx),
        ],
    )
    return board.build()


def _alerts() -> list[Panel]:
    return [
        stat(
            "Targets down",
            f"count(up{{{STACK}}} == 0) or vector(0)",
            "Scrape targets that do not answer Prometheus.",
            limits=Limits(critical=1),
        ),
        stat(
            "Firing alerts",
            f"count(ALERTS{{{STACK}, {FIRING}}}) or vector(0)",
            "Alerts that fire now, without those that only inform (Watchdog).",
            limits=Limits(critical=1),
        ),
    ]


def _lamps(ctx: DashboardContext) -> list[Panel]:
    lamps = [
        up_down_stat(
            service.capitalize(),
            f'sum(up{{{STACK}, job="{service}"}})',
            f"At least one instance of {service} answers.",
        )
        for service in ctx.services
    ]
    stores = (STORES[name] for name in ctx.data_stores)
    return lamps + [
        up_down_stat(title, f"min({metric}{{{STACK}}})", f"The exporter reaches {title}.") for title, metric in stores
    ]


def _traffic(ctx: DashboardContext) -> list[Panel]:
    return [
        chart(
            "Request rate",
            Query(f"job:http_requests:rate5m{{{STACK}}}", "{{job}}"),
            "Requests a second, over 5 minutes.",
            PER_SECOND,
        ),
        chart(
            "Latency (p95)",
            Query(f"job:http_request_duration_seconds:p95_rate5m{{{STACK}}}", "{{job}}"),
            "95 % of the requests are faster than this.",
            SECONDS,
            Limits(critical=ctx.limit("HighRequestLatency")),
        ),
        chart(
            "Error rate",
            Query(f"job:http_requests_failed:ratio_rate5m{{{STACK}}}", "{{job}}"),
            "Share of the requests that end in a 5xx, over 5 minutes.",
            RATIO,
            Limits(critical=ctx.limit("HighErrorRate")),
        ),
    ]


def _host(ctx: DashboardContext) -> list[Panel]:
    return [
        chart(
            "CPU",
            Query(f"instance:node_cpu_utilisation:ratio_rate5m{{{INSTANCE}}}", "{{instance}}"),
            "Share of the host's CPUs in use, over 5 minutes.",
            RATIO,
            Limits(critical=ctx.limit("HighCpuUsage")),
        ),
        chart(
            "Memory",
            Query(f"1 - instance:node_memory_available:ratio{{{INSTANCE}}}", "{{instance}}"),
            "Share of the host's memory that is not available.",
            RATIO,
            Limits(critical=1 - ctx.limit("LowMemoryAvailable")),
        ),
        chart(
            "Disk",
            Query(f"1 - instance:node_filesystem_available:ratio{{{INSTANCE}}}", "{{instance}} {{mountpoint}}"),
            "Share of each file system that is used.",
            RATIO,
            Limits(critical=1 - ctx.limit("DiskSpaceLow")),
        ),
    ]


def _cache(ctx: DashboardContext) -> list[Panel]:
    has_own_figure = any(figure.title == CACHE for figure in ctx.figures)
    if "redis" not in ctx.data_stores or not ctx.services or has_own_figure:
        return []
    return [
        chart(
            CACHE,
            Query(f"job:cache_hits:ratio_rate5m{{{STACK}}}", "{{job}}"),
            "Share of the look-ups that the cache answered, over 5 minutes.",
            RATIO,
        )
    ]


def _store_charts(ctx: DashboardContext) -> list[Panel]:
    charts = {
        "postgres": chart(
            "Postgres connections",
            [
                Query(f"instance:pg_connections:sum{{{STACK}}}", "in use"),
                Query(
                    f"max by (product, environment, job, instance) (pg_settings_max_connections{{{STACK}}})", "maximum"
                ),
            ],
            "Connections of all states, and how many Postgres takes.",
            SHORT,
        ),
        "redis": chart(
            "Redis memory",
            [
                Query(f"redis_memory_used_bytes{{{STACK}}}", "in use"),
                Query(f"redis_memory_max_bytes{{{STACK}}} > 0", "maximum"),
            ],
            "Memory of the data, and the limit where one is set.",
            BYTES,
        ),
    }
    return [charts[name] for name in ctx.data_stores]
