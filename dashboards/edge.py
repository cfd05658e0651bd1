"""Edge proxy: what visitors get at the door, where it leads, and how long its certificates last."""

from __future__ import annotations

from grafana_foundation_sdk.models.dashboard import Dashboard

from dashboards.board import Board
from dashboards.panels import (
    AGO,
    BYTES,
    BYTES_PER_SECOND,
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
)
from dashboards.shown import Shown

T = f'{F}, job="traefik"'
"""Selects the proxy's own process; in what rules/edge.yml records, job is the service behind it."""


def edge(shown: Shown) -> Dashboard | None:
    """Make the board of Traefik; none where the stack has no edge proxy."""
    if not shown.edge:
        return None
    board = Board(shown, "edge", "Edge proxy", "do visitors get in, and to healthy services?")
    board.row(4, _now(shown))
    board.row(8, _visitors(shown))
    board.row(8, _services(shown))
    board.row(7, _doors(shown))
    board.section("The proxy itself")
    board.row(7, _process(shown))
    return board.build()


def _now(shown: Shown) -> list[Panel]:
    return [
        lamp("Edge up", f"sum(up{{{T}}})", "The edge proxy answers Prometheus."),
        number(
            "Services without a server",
            f"count(job:edge_servers_up:sum{{{F}}} == 0) or vector(0)",
            "Services of which no server passes the edge's health check: visitors get a 503.",
            limits=Limits(critical=1),
        ),
        number(
            "Failing at the edge now",
            f"max(job:edge_requests_failed:ratio_rate5m{{{F}}})",
            "Share of 5xx of the service that fails most, as visitors see it.",
            RATIO,
            Limits(critical=shown.limit("EdgeHighErrorRate")),
        ),
        number(
            "Last change of routes",
            f"max(traefik_config_last_reload_success{{{F}}}) * 1000",
            "When the edge last took a changed configuration: with each release of a service.",
            AGO,
        ),
    ]


def _visitors(shown: Shown) -> list[Panel]:
    return [
        chart(
            "Requests at the edge",
            Query(f"job:edge_requests:rate5m{{{F}}}", "{{job}}"),
            "Requests a second by what they were led to: services and published tools.",
            PER_SECOND,
        ),
        chart(
            "Error rate at the edge",
            Query(f"job:edge_requests_failed:ratio_rate5m{{{F}}}", "{{job}}"),
            "Share of answers with 5xx, with those that the edge itself gave (502, 503, 504).",
            RATIO,
            Limits(critical=shown.limit("EdgeHighErrorRate")),
        ),
        chart(
            "Latency at the edge (p95)",
            Query(f"job:edge_request_duration_seconds:p95_rate5m{{{F}}}", "{{job}}"),
            "95 % of the requests are answered within this time, seen from outside; without WebSockets.",
            SECONDS,
            Limits(warning=shown.limit("EdgeSlow")),
        ),
    ]


def _services(shown: Shown) -> list[Panel]:
    return [
        chart(
            "Answers at the edge by code",
            Query(f"sum by (product, environment, code) (job_code:edge_requests:rate5m{{{F}}})", "{{code}}"),
            "Requests a second by HTTP status. 502, 504: the service gave no answer, 503: none of its servers is up.",
            PER_SECOND,
            stacked=True,
        ),
        chart(
            "Servers up",
            Query(f"job:edge_servers_up:sum{{{F}}}", "{{job}}"),
            "Servers of each service that pass the edge's health check.",
            SHORT,
        ),
        chart(
            "Tries a request",
            Query(f"job:edge_tries:ratio_rate5m{{{F}}}", "{{job}}"),
            "How often the edge asks a service for one answer: 1 where nothing refuses, 4 at most.",
            SHORT,
            Limits(warning=shown.limit("EdgeRetriesHigh")),
        ),
    ]


def _doors(shown: Shown) -> list[Panel]:
    sent = f"rate(traefik_router_responses_bytes_total{{{F}}}[5m])"
    return [
        chart(
            "Open connections",
            Query(f"sum by (product, environment, entrypoint) (traefik_open_connections{{{F}}})", "{{entrypoint}}"),
            "Connections that are open, by the door they came in through; WebSockets stay.",
            SHORT,
            Limits(warning=shown.limit("EdgeOpenConnectionsHigh")),
            stacked=True,
        ),
        chart(
            "Sent to visitors",
            Query(f"sum by (product, environment, exported_service) ({sent})", "{{exported_service}}"),
            "Bytes a second of answers, by service.",
            BYTES_PER_SECOND,
            stacked=True,
        ),
        *_certificates(shown),
    ]


def _certificates(shown: Shown) -> list[Panel]:
    soon, now = shown.limit("EdgeCertificateExpiresSoon"), shown.limit("EdgeCertificateExpires")
    if not shown.certificates:
        return []
    return [
        number(
            "Certificates expire in",
            Query(
                f"max by (product, environment, cn, sans) (traefik_tls_certs_not_after{{{F}}}) - time()",
                "{{sans}}",
            ),
            "Time until each certificate ends. ACME renews 30 days before.",
            SECONDS,
            Limits(warning=soon, critical=now, falling=True),
        ),
    ]


def _process(shown: Shown) -> list[Panel]:
    return [
        chart(
            "File descriptors",
            Query(f"process_open_fds{{{T}}} / process_max_fds{{{T}}}", "{{instance}}"),
            "Share of the descriptors in use: two for each request that is under way.",
            RATIO,
            Limits(critical=shown.limit("EdgeFileDescriptorsHigh")),
        ),
        chart(
            "Memory of the edge",
            Query(f"process_resident_memory_bytes{{{T}}}", "{{instance}}"),
            "Memory that the proxy holds.",
            BYTES,
        ),
        chart(
            "Changes of routes",
            Query(f"increase(traefik_config_reloads_total{{{F}}}[1h])", "{{instance}}"),
            "How often within an hour the edge took a changed configuration.",
            SHORT,
        ),
    ]
