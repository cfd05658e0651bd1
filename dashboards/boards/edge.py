"""Edge proxy: answers to visitors, upstream servers, certificates, and the proxy's own process."""

from __future__ import annotations

from dashboards import panels as p
from dashboards.board import Board
from dashboards.context import DashboardContext

TRAEFIK = f'{{{p.STACK_LABELS}, job="traefik"}}'
"""Selector of the proxy's own process; in the series of rules/edge.yml, `job` is the service behind the proxy."""


def edge(ctx: DashboardContext) -> Board | None:
    """Build the board of Traefik; None where the stack has no edge proxy."""
    if not ctx.edge:
        return None
    board = Board(ctx, "edge", "Edge proxy", "do visitors get in, and to healthy services?")
    board.row(
        4,
        p.up_down_stat("Edge up", f"sum(up{TRAEFIK})", "The edge proxy answers Prometheus."),
        p.stat(
            "Services without a server",
            f"count(job:edge_servers_up:sum{p.STACK} == 0) or vector(0)",
            "Services of which no server passes the edge's health check: visitors get a 503.",
            thresholds=p.CRITICAL_FROM_1,
        ),
        p.stat(
            "Failing at the edge now",
            f"max(job:edge_requests_failed:ratio_rate5m{p.STACK})",
            "Share of 5xx of the service that fails most, as visitors see it.",
            p.RATIO,
            ctx.limits(critical="EdgeHighErrorRate"),
        ),
        p.stat(
            "Last change of routes",
            f"max(traefik_config_last_reload_success{p.STACK}) * 1000",
            "When the edge last took a changed configuration: with each release of a service.",
            p.TIME_AGO,
        ),
    )
    _requests(board, ctx)
    _process(board, ctx)
    return board


def _requests(board: Board, ctx: DashboardContext) -> None:
    board.row(
        8,
        p.chart(
            "Requests at the edge",
            {"{{job}}": f"job:edge_requests:rate5m{p.STACK}"},
            "Requests a second by what they were led to: services and published tools.",
            p.PER_SECOND,
        ),
        p.chart(
            "Error rate at the edge",
            {"{{job}}": f"job:edge_requests_failed:ratio_rate5m{p.STACK}"},
            "Share of answers with 5xx, with those that the edge itself gave (502, 503, 504).",
            p.RATIO,
            ctx.limits(critical="EdgeHighErrorRate"),
        ),
        p.chart(
            "Latency at the edge (p95)",
            {"{{job}}": f"job:edge_request_duration_seconds:p95_rate5m{p.STACK}"},
            "95 % of the requests are answered within this time, seen from outside; without WebSockets.",
            p.SECONDS,
            ctx.limits(warning="EdgeSlow"),
        ),
    )
    board.row(
        8,
        p.chart(
            "Answers at the edge by code",
            {"{{code}}": f"sum by (product, environment, code) (job_code:edge_requests:rate5m{p.STACK})"},
            "Requests a second by HTTP status. 502, 504: the service gave no answer, 503: none of its servers is up.",
            p.PER_SECOND,
            stacked=True,
        ),
        p.chart(
            "Servers up",
            {"{{job}}": f"job:edge_servers_up:sum{p.STACK}"},
            "Servers of each service that pass the edge's health check.",
        ),
        p.chart(
            "Tries a request",
            {"{{job}}": f"job:edge_tries:ratio_rate5m{p.STACK}"},
            "How often the edge asks a service for one answer: 1 where nothing refuses, 4 at most.",
            thresholds=ctx.limits(warning="EdgeRetriesHigh"),
        ),
    )
    sent = f"rate(traefik_router_responses_bytes_total{p.STACK}[5m])"
    board.row(
        7,
        p.chart(
            "Open connections",
            {"{{entrypoint}}": f"sum by (product, environment, entrypoint) (traefik_open_connections{p.STACK})"},
            "Connections that are open, by the door they came in through; WebSockets stay.",
            thresholds=ctx.limits(warning="EdgeOpenConnectionsHigh"),
            stacked=True,
        ),
        p.chart(
            "Sent to visitors",
            {"{{exported_service}}": f"sum by (product, environment, exported_service) ({sent})"},
            "Bytes a second of answers, by service.",
            p.BYTES_PER_SECOND,
            stacked=True,
        ),
        _certificates(ctx),
    )


def _process(board: Board, ctx: DashboardContext) -> None:
    board.section("The proxy itself")
    board.row(
        7,
        p.chart(
            "File descriptors",
            {"{{instance}}": f"process_open_fds{TRAEFIK} / process_max_fds{TRAEFIK}"},
            "Share of the descriptors in use: two for each request that is under way.",
            p.RATIO,
            ctx.limits(critical="EdgeFileDescriptorsHigh"),
        ),
        p.chart(
            "Memory of the edge",
            {"{{instance}}": f"process_resident_memory_bytes{TRAEFIK}"},
            "Memory that the proxy holds.",
            p.BYTES,
        ),
        p.chart(
            "Changes of routes",
            {"{{instance}}": f"increase(traefik_config_reloads_total{p.STACK}[1h])"},
            "How often within an hour the edge took a changed configuration.",
        ),
    )


def _certificates(ctx: DashboardContext) -> p.Panel | None:
    if not ctx.certificates:
        return None
    return p.stat(
        "Certificates expire in",
        {"{{sans}}": f"max by (product, environment, cn, sans) (traefik_tls_certs_not_after{p.STACK}) - time()"},
        "Time until each certificate ends. ACME renews 30 days before.",
        p.SECONDS,
        ctx.limits("EdgeCertificateExpiresSoon", "EdgeCertificateExpires", falling=True),
    )
