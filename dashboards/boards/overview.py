"""The overview: the state of the whole stack on one screen."""

from __future__ import annotations

from dataclasses import replace

from dashboards import panels as p
from dashboards.board import Board
from dashboards.context import DashboardContext

STORES = {"postgres": ("Postgres", "pg_up"), "redis": ("Redis", "redis_up")}
"""Data store → its title, and its exporter's metric for whether the store is reachable."""

KPIS_IN_A_ROW = 4

CACHE = "Cache hit rate"

FIRING = f'ALERTS{{{p.STACK_LABELS}, alertstate="firing", severity!="info"}}'
"""The alerts that need attention: not the Watchdog, which always fires."""


def overview(ctx: DashboardContext) -> Board:
    """Build the overview of one stack: the up/down stats first, since a phone shows the panels in one column.

    Raises KeyError for a data store that is not in STORES.
    """
    board = Board(ctx, "overview", "Overview", "is everything fine?", instances="node_uname_info")
    services = [
        p.up_down_stat(
            service.capitalize(),
            f'sum(up{{{p.STACK_LABELS}, job="{service}"}})',
            f"At least one instance of {service} answers.",
        )
        for service in ctx.services
    ]
    stores = [
        p.up_down_stat(title, f"min({metric}{p.STACK})", f"The exporter reaches {title}.")
        for title, metric in (STORES[name] for name in ctx.data_stores)
    ]
    board.row(
        4,
        p.stat(
            "Targets down",
            f"count(up{p.STACK} == 0) or vector(0)",
            "Scrape targets that do not answer Prometheus.",
            thresholds=p.CRITICAL_FROM_1,
        ),
        p.stat(
            "Firing alerts",
            f"count({FIRING}) or vector(0)",
            "Alerts that fire now, without those that only inform (Watchdog).",
            thresholds=p.CRITICAL_FROM_1,
        ),
        *services,
        *stores,
    )
    board.row(
        5,
        p.table(
            "What is wrong",
            [p.Column("Alerts", f"count by (alertname, severity, job) ({FIRING})")],
            "The alerts that fire now; empty where all is well. Each has a page in the runbooks.",
            {"alertname": "Alert", "severity": "Severity", "job": "Where"},
        ),
        p.stat(
            "Last change of containers",
            f'max(node_textfile_mtime_seconds{{{p.STACK_LABELS}, file=~".*/containers.prom"}}) * 1000',
            "When a release or another change last replaced a container.",
            p.TIME_AGO,
        ),
    )
    description = "A figure of the product's own, from its product file."
    kpis = [replace(p.stat(kpi.title, kpi.query, description, kpi.unit), is_builtin=False) for kpi in ctx.kpis]
    board.grid(4, KPIS_IN_A_ROW, kpis)
    if ctx.services:
        board.row(7, *_traffic(ctx))
    board.row(7, *_host(ctx), _cache(ctx))
    board.row(
        7,
        p.chart(
            "Container CPU",
            {"{{service}}": f"topk(10, container:cpu_usage_cores:rate5m{p.STACK})"},
            "Cores in use by the ten busiest containers, over 5 minutes.",
            p.CORES,
        ),
        p.chart(
            "Container memory",
            {"{{service}}": f"topk(10, container:memory_working_set_bytes:sum{p.STACK})"},
            "Working set of the ten largest containers.",
            p.BYTES,
        ),
        *_store_charts(ctx),
    )
    return board


def _traffic(ctx: DashboardContext) -> list[p.Panel]:
    return [
        p.chart(
            "Request rate",
            {"{{job}}": f"job:http_requests:rate5m{p.STACK}"},
            "Requests a second, over 5 minutes.",
            p.PER_SECOND,
        ),
        p.chart(
            "Latency (p95)",
            {"{{job}}": f"job:http_request_duration_seconds:p95_rate5m{p.STACK}"},
            "95 % of the requests are faster than this.",
            p.SECONDS,
            ctx.limits(critical="HighRequestLatency"),
        ),
        p.chart(
            "Error rate",
            {"{{job}}": f"job:http_requests_failed:ratio_rate5m{p.STACK}"},
            "Share of the requests that end in a 5xx, over 5 minutes.",
            p.RATIO,
            ctx.limits(critical="HighErrorRate"),
        ),
    ]


def _host(ctx: DashboardContext) -> list[p.Panel]:
    return [
        p.chart(
            "CPU",
            {"{{instance}}": f"instance:node_cpu_utilisation:ratio_rate5m{p.INSTANCE}"},
            "Share of the host's CPUs in use, over 5 minutes.",
            p.RATIO,
            ctx.limits(critical="HighCpuUsage"),
        ),
        p.chart(
            "Memory",
            {"{{instance}}": f"1 - instance:node_memory_available:ratio{p.INSTANCE}"},
            "Share of the host's memory that is not available.",
            p.RATIO,
            p.Thresholds(critical=1 - ctx.limit("LowMemoryAvailable")),
        ),
        p.chart(
            "Disk",
            {"{{instance}} {{mountpoint}}": f"1 - instance:node_filesystem_available:ratio{p.INSTANCE}"},
            "Share of each file system that is used.",
            p.RATIO,
            p.Thresholds(critical=1 - ctx.limit("DiskSpaceLow")),
        ),
    ]


def _cache(ctx: DashboardContext) -> p.Panel | None:
    """Return the chart of the cache; None where the product has none, or a KPI of its own for it."""
    if "redis" not in ctx.data_stores or not ctx.services or CACHE in {kpi.title for kpi in ctx.kpis}:
        return None
    return p.chart(
        CACHE,
        {"{{job}}": f"job:cache_hits:ratio_rate5m{p.STACK}"},
        "Share of the look-ups that the cache answered, over 5 minutes.",
        p.RATIO,
    )


def _store_charts(ctx: DashboardContext) -> list[p.Panel]:
    charts = {
        "postgres": p.chart(
            "Postgres connections",
            {
                "in use": f"instance:pg_connections:sum{p.STACK}",
                "maximum": f"max by (product, environment, job, instance) (pg_settings_max_connections{p.STACK})",
            },
            "Connections of all states, and how many Postgres takes.",
        ),
        "redis": p.chart(
            "Redis memory",
            {
                "in use": f"redis_memory_used_bytes{p.STACK}",
                "maximum": f"redis_memory_max_bytes{p.STACK} > 0",
            },
            "Memory of the data, and the limit where one is set.",
            p.BYTES,
        ),
    }
    return [charts[name] for name in ctx.data_stores]
