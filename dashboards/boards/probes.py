"""Probes and certificates: the public addresses, checked as a visitor would reach them."""

from __future__ import annotations

from dashboards import panels as p
from dashboards.board import Board
from dashboards.context import DashboardContext

PROBE_LEGEND = "{{service}} {{probe}} {{instance}}"
SERVICE = f'{{{p.STACK_LABELS}, service=~"$service"}}'
GOOD_SHARE = p.Thresholds(0.999, 0.99, falling=True)


def probes(ctx: DashboardContext) -> Board | None:
    """Build the board of the probes; None where there are none."""
    if not ctx.probes:
        return None
    board = Board(ctx, "probes", "Probes and certificates", "what do visitors get?")
    board.variable("service", f"label_values(probe_success{p.STACK}, service)")
    slow = ctx.limits(warning="ProbeSlow")
    board.row(
        4,
        p.stat(
            "Probes that fail",
            f"count(probe_success{SERVICE} == 0) or vector(0)",
            "Addresses that do not answer as they should.",
            thresholds=p.CRITICAL_FROM_1,
        ),
        p.stat(
            "Answered in the last day",
            f"avg(avg_over_time(probe_success{SERVICE}[1d]))",
            "Share of all questions of the last day that were answered well.",
            p.RATIO,
            GOOD_SHARE,
        ),
        p.stat(
            "Slowest answer",
            f"max(probe_duration_seconds{SERVICE})",
            "Time that the slowest of the last answers took, with name, connection and TLS.",
            p.SECONDS,
            slow,
        ),
    )
    by = "max by (service, probe, instance)"
    board.row(
        9,
        p.table(
            "Probes",
            [
                p.Column("Well", f"{by} (probe_success{SERVICE})", thresholds=p.CRITICAL_BELOW_1),
                p.Column("In the last day", f"{by} (avg_over_time(probe_success{SERVICE}[1d]))", p.RATIO, GOOD_SHARE),
                p.Column("Duration", f"{by} (probe_duration_seconds{SERVICE})", p.SECONDS, slow),
                p.Column("Status", f"{by} (probe_http_status_code{SERVICE})"),
            ],
            "health: a service's health address; route: what visitors ask for; redirect: from HTTP to HTTPS;"
            " public: Grafana's public name; url: further addresses of the settings.",
            {"service": "Service", "probe": "Kind", "instance": "Address"},
        ),
    )
    board.row(
        8,
        p.chart("Answers", {PROBE_LEGEND: f"probe_success{SERVICE}"}, "1 for a good answer, 0 for none or a bad one."),
        p.chart(
            "Duration",
            {PROBE_LEGEND: f"probe_duration_seconds{SERVICE}"},
            "Time that a question takes, with name, connection and TLS.",
            p.SECONDS,
            slow,
        ),
    )
    board.row(
        8,
        p.chart(
            "Status codes",
            {PROBE_LEGEND: f"probe_http_status_code{SERVICE}"},
            "HTTP status of the last answer; 0 where there was none.",
        ),
        p.chart(
            "Phases",
            {"{{phase}}": f"max by (phase) (probe_http_duration_seconds{SERVICE})"},
            "Where the time goes; of each phase the slowest address.",
            p.SECONDS,
        ),
        p.chart(
            "Name look-ups",
            {PROBE_LEGEND: f"probe_dns_lookup_time_seconds{SERVICE}"},
            "Time that looking up the name takes: by Docker for names of the stack, by the host for all others.",
            p.SECONDS,
            ctx.limits(warning="ProbeDnsSlow"),
        ),
    )
    if ctx.certificates:
        _certificates(board, ctx)
    return board


def _certificates(board: Board, ctx: DashboardContext) -> None:
    board.section("Certificates and TLS")
    valid_for = f"min by (service, instance) (probe_ssl_earliest_cert_expiry{SERVICE}) - time()"
    limits = ctx.limits("CertificateExpiresSoon", "CertificateExpiresWithinDays", falling=True)
    board.row(
        7,
        p.table(
            "Certificates",
            [p.Column("Valid for", valid_for, p.SECONDS, limits)],
            "Time until the first certificate of each chain expires. Of the edge's own, which nobody vouches for, no"
            " alert is made.",
            {"service": "Service", "instance": "Address"},
        ),
        p.table(
            "TLS versions",
            [p.Column("Seen", f"max by (service, instance, version) (probe_tls_version_info{SERVICE})")],
            "The TLS version that each address and the probe agree on: the best that both speak.",
            {"service": "Service", "instance": "Address", "version": "Version"},
        ),
    )
