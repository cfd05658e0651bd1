"""Edge proxy: answers to visitors, upstream servers, certificates, and the proxy's own process."""

from __future__ import annotations

from grafana_foundation_sdk.models.dashboard import Dashboard

from dashboards.board import Board
from dashboards.panels import (
    BYTES,
    BYTES_PER_SECOND,
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
    up_down_stat,
)
from dashboards.shown import DashboardContext

TRAEFIK = f'{STACK}, job="traefik"'
"""Selector of the proxy's own process; in the series of rules/edge.yml, `job` is the service behind the proxy."""


def edge(ctx: DashboardContext) -> Dashboard | None:
    """Build the board of Traefik; None where the stack has no edge proxy."""
    if not ctx.edge:
        return None
    board = Board(ctx, "edge", "Edge proxy", "do visitors get in, and to healthy services?")
    board.row(4, _now(ctx))
    board.row(8, _visitors(ctx))
    board.row(8, _services(ctx))
    board.row(7, _entry_points(ctx))
    board.section("The proxy itself")
    board.row(7, _process(ctx))
    return board.build()


def _now(ctx: DashboardContext) -> list[Panel]:
    return [
        up_down_stat("Edge up", f"sum(up{{{TRAEFIK}}})", "The edge proxy answers Prometheus."),
        stat(
            "Services without a server",
            f"count(job:edge_servers_up:sum{{{STACK}}} == 0) or vector(0)",
            "Services of which no server passes the edge's health check: visitors get a 503.",
            limits=Limits(critical=1),
        ),
        stat(
            "Failing at the edge now",
            f"max(job:edge_requests_failed:ratio_rate5m{{{STACK}}})",
            "Share of 5xx of the service that fails most, as visitors see it.",
            RATIO,
            Limits(critical=ctx.limit("EdgeHighErrorRate")),
        ),
        stat(
            "Last change of routes",
            f"max(traefik_config_last_reload_success{{{STACK}}}) * 1000",
            "When the edge last took a changed configuration: with each release of a service.",
            TIME_AGO,
        ),
    ]


def _visitors(ctx: DashboardContext) -> list[Panel]:
    return [
        chart(
            "Requests at the edge",
            Query(f"job:edge_requests:rate5m{{{STACK}}}", "{{job}}"),
            "Requests a second by what they were led to: services and published tools.",
            PER_SECOND,
        ),
        chart(
            "Error rate at the edge",
            Query(f"job:edge_requests_failed:ratio_rate5m{{{STACK}}}", "{{job}}"),
            "Share of answers with 5xx, with those that the edge itself gave (502, 503, 504).",
            RATIO,
            Limits(critical=ctx.limit("EdgeHighErrorRate")),
        ),
        chart(
            "Latency at the edge (p95)",
            Query(f"job:edge_request_duration_seconds:p95_rate5m{{{STACK}}}", "{{job}}"),
            "95 % of the requests are answered within this time, seen from outside; without WebSockets.",
            SECONDS,
            Limits(warning=ctx.limit("EdgeSlow")),
        ),
    ]


def _services(ctx: DashboardContext) -> list[Panel]:
    return [
        chart(
            "Answers at the edge by code",
            Query(f"sum by (product, environment, code) (job_code:edge_requests:rate5m{{{STACK}}})", "{{code}}"),
            "Requests a second by HTTP status. 502, 504: the service gave no answer, 503: none of its servers is up.",
            PER_SECOND,
            stacked=True,
        ),
        chart(
            "Servers up",
            Query(f"job:edge_servers_up:sum{{{STACK}}}", "{{job}}"),
            "Servers of each service that pass the edge's health check.",
            SHORT,
        ),
        chart(
            "Tries a request",
            Query(f"job:edge_tries:ratio_rate5m{{{STACK}}}", "{{job}}"),
            "How often the edge asks a service for one answer: 1 where nothing refuses, 4 at most.",
            SHORT,
            Limits(warning=ctx.limit("EdgeRetriesHigh")),
        ),
    ]


def _entry_points(ctx: DashboardContext) -> list[Panel]:
    sent = f"rate(traefik_router_responses_bytes_total{{{STACK}}}[5m])"
    return [
        chart(
            "Open connections",
            Query(f"sum by (product, environment, entrypoint) (traefik_open_connections{{{STACK}}})", "{{entrypoint}}"),
            "Connections that are open, by the door they came in through; WebSockets stay.",
            SHORT,
            Limits(warning=ctx.limit("EdgeOpenConnectionsHigh")),
            stacked=True,
        ),
        chart(
            "Sent to visitors",
            Query(f"sum by (product, environment, exported_service) ({sent})", "{{exported_service}}"),
            "Bytes a second of answers, by service.",
            BYTES_PER_SECOND,
            stacked=True,
        ),
        *_certificates(ctx),
    ]


def _certificates(ctx: DashboardContext) -> list[Panel]:
    soon, now = ctx.limit("EdgeCertificateExpiresSoon"), ctx.limit("EdgeCertificateExpires")
    if not ctx.certificates:
        return []
    return [
        stat(
            "Certificates expire in",
            Query(
                f"max by (product, environment, cn, sans) (traefik_tls_certs_not_after{{{STACK}}}) - time()",
                "{{sans}}",
            ),
            "Time until each certificate ends. ACME renews 30 days before.",
            SECONDS,
            Limits(warning=soon, critical=now, falling=True),
        ),
    ]


def _process(ctx: DashboardContext) -> list[Panel]:
    return [
        chart(
            "File descriptors",
            Query(f"process_open_fds{{{TRAEFIK}}} / process_max_fds{{{TRAEFIK}}}", "{{instance}}"),
            "Share of the descriptors in use: two for each request that is under way.",
            RATIO,
            Limits(critical=ctx.limit("EdgeFileDescriptorsHigh")),
        ),
        chart(
            "Memory of the edge",
            Query(f"process_resident_memory_bytes{{{TRAEFIK}}}", "{{instance}}"),
            "Memory that the proxy holds.",
            BYTES,
        ),
        chart(
            "Changes of routes",
            Query(f"increase(traefik_config_reloads_total{{{STACK}}}[1h])", "{{instance}}"),
            "How often within an hour the edge took a changed configuration.",
            SHORT,
        ),
    ]
