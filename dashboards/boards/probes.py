"""Probes and certificates: the public addresses, checked as a visitor would reach them."""

from __future__ import annotations

from grafana_foundation_sdk.models.dashboard import Dashboard

from dashboards import panels as p
from dashboards.board import Board
from dashboards.context import DashboardContext

PROBE_LEGEND = "{{service}} {{probe}} {{instance}}"
SERVICE = f'{p.STACK}, service=~"$service"'


def probes(ctx: DashboardContext) -> Dashboard | None:
    """Build the board of the probes; None where there are none."""
    if not ctx.probes:
        return None
    board = Board(ctx, "probes", "Probes and certificates", "what do visitors get?")
    board.variable("service", f"label_values(probe_success{{{p.STACK}}}, service)")
    board.row(4, _now(ctx))
    board.row(9, [_state(ctx)])
    board.row(8, _over_time(ctx))
    board.row(8, _answers(ctx))
    if ctx.certificates:
        board.section("Certificates and TLS")
        board.row(7, _tls(ctx))
    return board.build()


def _now(ctx: DashboardContext) -> list[p.Panel]:
    return [
        p.stat(
            "Probes that fail",
            f"count(probe_success{{{SERVICE}}} == 0) or vector(0)",
            "Addresses that do not answer as they should.",
            thresholds=p.Thresholds(critical=1),
        ),
        p.stat(
            "Answered in the last day",
            f"avg(avg_over_time(probe_success{{{SERVICE}}}[1d]))",
            "Share of all questions of the last day that were answered well.",
            p.RATIO,
            p.Thresholds(0.999, 0.99, falling=True),
        ),
        p.stat(
            "Slowest answer",
            f"max(probe_duration_seconds{{{SERVICE}}})",
            "Time that the slowest of the last answers took, with name, connection and TLS.",
            p.SECONDS,
            p.Thresholds(warning=ctx.limit("ProbeSlow")),
        ),
    ]


def _state(ctx: DashboardContext) -> p.Panel:
    by = "max by (service, probe, instance)"
    return p.table(
        "Probes",
        {
            "Well": f"{by} (probe_success{{{SERVICE}}})",
            "In the last day": f"{by} (avg_over_time(probe_success{{{SERVICE}}}[1d]))",
            "Duration": f"{by} (probe_duration_seconds{{{SERVICE}}})",
            "Status": f"{by} (probe_http_status_code{{{SERVICE}}})",
        },
        "health: a service's health address; route: what visitors ask for; redirect: from HTTP to HTTPS;"
        " public: Grafana's public name; url: further addresses of the settings.",
        {"service": "Service", "probe": "Kind", "instance": "Address"},
        {"Well": p.SHORT, "In the last day": p.RATIO, "Duration": p.SECONDS, "Status": p.SHORT},
        {
            "Well": p.Thresholds(critical=1, falling=True),
            "In the last day": p.Thresholds(0.999, 0.99, falling=True),
            "Duration": p.Thresholds(warning=ctx.limit("ProbeSlow")),
        },
    )


def _over_time(ctx: DashboardContext) -> list[p.Panel]:
    return [
        p.chart(
            "Answers",
            p.Query(f"probe_success{{{SERVICE}}}", PROBE_LEGEND),
            "1 for a good answer, 0 for none or a bad one.",
            p.SHORT,
        ),
        p.chart(
            "Duration",
            p.Query(f"probe_duration_seconds{{{SERVICE}}}", PROBE_LEGEND),
            "Time that a question takes, with name, connection and TLS.",
            p.SECONDS,
            p.Thresholds(warning=ctx.limit("ProbeSlow")),
        ),
    ]


def _answers(ctx: DashboardContext) -> list[p.Panel]:
    return [
        p.chart(
            "Status codes",
            p.Query(f"probe_http_status_code{{{SERVICE}}}", PROBE_LEGEND),
            "HTTP status of the last answer; 0 where there was none.",
            p.SHORT,
        ),
        p.chart(
            "Phases",
            p.Query(f"max by (phase) (probe_http_duration_seconds{{{SERVICE}}})", "{{phase}}"),
            "Where the time goes; of each phase the slowest address.",
            p.SECONDS,
        ),
        p.chart(
            "Name look-ups",
            p.Query(f"probe_dns_lookup_time_seconds{{{SERVICE}}}", PROBE_LEGEND),
            "Time that looking up the name takes: by Docker for names of the stack, by the host for all others.",
            p.SECONDS,
            p.Thresholds(warning=ctx.limit("ProbeDnsSlow")),
        ),
    ]


def _tls(ctx: DashboardContext) -> list[p.Panel]:
    return [
        p.table(
            "Certificates",
            {"Valid for": f"min by (service, instance) (probe_ssl_earliest_cert_expiry{{{SERVICE}}}) - time()"},
            "Time until the first certificate of each chain expires. Of the edge's own, which nobody vouches for, no"
            " alert is made.",
            {"service": "Service", "instance": "Address"},
            {"Valid for": p.SECONDS},
            {
                "Valid for": p.Thresholds(
                    ctx.limit("CertificateExpiresSoon"), ctx.limit("CertificateExpiresWithinDays"), falling=True
                )
            },
        ),
        p.table(
            "TLS versions",
            {"Seen": f"max by (service, instance, version) (probe_tls_version_info{{{SERVICE}}})"},
            "The TLS version that each address and the probe agree on: the best that both speak.",
            {"service": "Service", "instance": "Address", "version": "Version"},
            {"Seen": p.SHORT},
        ),
    ]
