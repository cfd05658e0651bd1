"""The overview: is everything fine, on one screen."""

from __future__ import annotations

from collections.abc import Sequence

from grafana_foundation_sdk.builders import timeseries
from grafana_foundation_sdk.models.dashboard import Dashboard

from dashboards.panels import (
    BYTES,
    CORES,
    PER_SECOND,
    RATIO,
    SECONDS,
    SHORT,
    Board,
    Limits,
    Query,
    chart,
    lamp,
    number,
)

UID = "dockyard-overview"

STORES = {"postgres": ("Postgres", "pg_up"), "redis": ("Redis", "redis_up")}
"""Data store → its title and the metric by which its exporter says whether it is reachable."""


KPIS_IN_A_ROW = 4


def overview(
    product: str,
    environment: str,
    datasource_uid: str,
    services: Sequence[str],
    data_stores: Sequence[str],
    kpis: Sequence[tuple[str, Query, str]] = (),
) -> Dashboard:
    """Make the overview of one stack.

    `services` are the scrape jobs of the product's own services, `data_stores` names of STORES; each gets a lamp.
    `kpis` are the figures of the product's own business: title, query, unit.
    The figures of the limits are those of rules/, and most queries read series that are recorded there.
    Raises KeyError for a data store that is not in STORES.
    """
    board = Board(
        uid=UID,
        title="Overview",
        description=f"{product} · {environment}: is everything fine?",
        tags=["dockyard", product, environment],
        datasource_uid=datasource_uid,
    )
    lamps = [
        lamp(
            service.capitalize(),
            f'sum(up{{job="{service}"}})',
            f"At least one instance of {service} answers.",
        )
        for service in services
    ]
    lamps += [
        lamp(title, f"min({metric})", f"The exporter reaches {title}.")
        for title, metric in (STORES[name] for name in data_stores)
    ]
    board.row(
        4,
        [
            number(
                "Targets down",
                Query("count(up == 0) or vector(0)"),
                "Scrape targets that do not answer Prometheus.",
                limits=Limits(critical=1),
            ),
            number(
                "Firing alerts",
                Query('count(ALERTS{alertstate="firing", severity!="info"}) or vector(0)'),
                "Alerts that fire now, without those that only inform (Watchdog).",
                limits=Limits(critical=1),
            ),
            *lamps,
        ],
    )
    for start in range(0, len(kpis), KPIS_IN_A_ROW):
        board.row(
            4,
            [
                number(title, query, "A figure of the product's own, from its product file.", unit)
                for title, query, unit in kpis[start : start + KPIS_IN_A_ROW]
            ],
        )
    board.row(
        7,
        [
            chart(
                "Request rate",
                [Query("job:http_requests:rate5m", "{{job}}")],
                "Requests a second, over 5 minutes.",
                PER_SECOND,
            ),
            chart(
                "Latency (p95)",
                [Query("job:http_request_duration_seconds:p95_rate5m", "{{job}}")],
                "95 % of the requests are faster than this.",
                SECONDS,
                Limits(warning=0.5, critical=1),
            ),
            chart(
                "Error rate",
                [Query("job:http_requests_failed:ratio_rate5m", "{{job}}")],
                "Share of the requests that end in a 5xx, over 5 minutes.",
                RATIO,
                Limits(critical=0.05),
            ),
        ],
    )
    board.row(
        7,
        [
            chart(
                "CPU",
                [Query("instance:node_cpu_utilisation:ratio_rate5m", "{{instance}}")],
                "Share of the host's CPUs in use, over 5 minutes.",
                RATIO,
                Limits(critical=0.80),
            ),
            chart(
                "Memory",
                [Query("1 - instance:node_memory_available:ratio", "{{instance}}")],
                "Share of the host's memory that is not available.",
                RATIO,
                Limits(warning=0.80, critical=0.90),
            ),
            chart(
                "Disk",
                [Query("1 - instance:node_filesystem_available:ratio", "{{instance}} {{mountpoint}}")],
                "Share of each file system that is used.",
                RATIO,
                Limits(critical=0.85),
            ),
            chart(
                "Cache hit rate",
                [Query("job:cache_hits:ratio_rate5m", "{{job}}")],
                "Share of the look-ups that the cache answered, over 5 minutes.",
                RATIO,
            ),
        ],
    )
    board.row(
        7,
        [
            chart(
                "Container CPU",
                [Query("topk(10, container:cpu_usage_cores:rate5m)", "{{container}}")],
                "Cores in use by the ten busiest containers, over 5 minutes.",
                CORES,
            ),
            chart(
                "Container memory",
                [Query("topk(10, container:memory_working_set_bytes:sum)", "{{container}}")],
                "Working set of the ten largest containers.",
                BYTES,
            ),
            *_store_charts(data_stores),
        ],
    )
    return board.build()


def _store_charts(data_stores: Sequence[str]) -> list[timeseries.Panel]:
    charts = {
        "postgres": chart(
            "Postgres connections",
            [
                Query("instance:pg_connections:sum", "in use"),
                Query("max by (job, instance) (pg_settings_max_connections)", "maximum"),
            ],
            "Connections of all states, and how many Postgres takes.",
            SHORT,
        ),
        "redis": chart(
            "Redis memory",
            [
                Query("redis_memory_used_bytes", "in use"),
                Query("redis_memory_max_bytes > 0", "maximum"),
            ],
            "Memory of the data, and the limit where one is set.",
            BYTES,
        ),
    }
    return [charts[name] for name in data_stores]
