"""Probes and certificates: what visitors meet, asked from outside."""

from __future__ import annotations

from grafana_foundation_sdk.models.dashboard import Dashboard

from dashboards.board import Board
from dashboards.panels import RATIO, SECONDS, SHORT, F, Limits, Panel, Query, chart, number, rows_of
from dashboards.shown import Shown

WHAT = "{{service}} {{probe}} {{instance}}"
OF = f'{F}, service=~"$service"'


def probes(shown: Shown) -> Dashboard | None:
    """Make the board of what is probed; none where nothing is."""
    if not shown.probes:
        return None
    board = Board(shown, "probes", "Probes and certificates", "what do visitors get?")
    board.variable("service", f"label_values(probe_success{{{F}}}, service)")
    board.row(4, _now(shown))
    board.row(9, [_state(shown)])
    board.row(8, _course(shown))
    board.row(8, _answers(shown))
    if shown.certificates:
        board.section("Certificates and TLS")
        board.row(7, _tls(shown))
    return board.build()


def _now(shown: Shown) -> list[Panel]:
    return [
        number(
            "Probes that fail",
            f"count(probe_success{{{OF}}} == 0) or vector(0)",
            "Addresses that do not answer as they should.",
            limits=Limits(critical=1),
        ),
        number(
            "Answered in the last day",
            f"avg(avg_over_time(probe_success{{{OF}}}[1d]))",
            "Share of all questions of the last day that were answered well.",
            RATIO,
            Limits(0.999, 0.99, falling=True),
        ),
        number(
            "Slowest answer",
            f"max(probe_duration_seconds{{{OF}}})",
            "Time that the slowest of the last answers took, with name, connection and TLS.",
            SECONDS,
            Limits(warning=shown.limit("ProbeSlow")),
        ),
    ]


def _state(shown: Shown) -> Panel:
    by = "max by (service, probe, instance)"
    return rows_of(
        "Probes",
        {
            "Well": f"{by} (probe_success{{{OF}}})",
            "In the last day": f"{by} (avg_over_time(probe_success{{{OF}}}[1d]))",
            "Duration": f"{by} (probe_duration_seconds{{{OF}}})",
            "Status": f"{by} (probe_http_status_code{{{OF}}})",
        },
        "health: a service's health address; route: what visitors ask for; redirect: from HTTP to HTTPS;"
        " public: Grafana's public name; url: further addresses of the settings.",
        {"service": "Service", "probe": "Kind", "instance": "Address"},
        {"Well": SHORT, "In the last day": RATIO, "Duration": SECONDS, "Status": SHORT},
        {
            "Well": Limits(critical=1, falling=True),
            "In the last day": Limits(0.999, 0.99, falling=True),
            "Duration": Limits(warning=shown.limit("ProbeSlow")),
        },
    )


def _course(shown: Shown) -> list[Panel]:
    return [
        chart(
            "Answers",
            Query(f"probe_success{{{OF}}}", WHAT),
            "1 for a good answer, 0 for none or a bad one.",
            SHORT,
        ),
        chart(
            "Duration",
            Query(f"probe_duration_seconds{{{OF}}}", WHAT),
            "Time that a question takes, with name, connection and TLS.",
            SECONDS,
            Limits(warning=shown.limit("ProbeSlow")),
        ),
    ]


def _answers(shown: Shown) -> list[Panel]:
    return [
        chart(
            "Status codes",
            Query(f"probe_http_status_code{{{OF}}}", WHAT),
            "HTTP status of the last answer; 0 where there was none.",
            SHORT,
        ),
        chart(
            "Phases",
            Query(f"max by (phase) (probe_http_duration_seconds{{{OF}}})", "{{phase}}"),
            "Where the time goes; of each phase the slowest address.",
            SECONDS,
        ),
        chart(
            "Name look-ups",
            Query(f"probe_dns_lookup_time_seconds{{{OF}}}", WHAT),
            "Time that looking up the name takes: by Docker for names of the stack, by the host for all others.",
            SECONDS,
            Limits(warning=shown.limit("ProbeDnsSlow")),
        ),
    ]


def _tls(shown: Shown) -> list[Panel]:
    return [
        rows_of(
            "Certificates",
            {"Valid for": f"min by (service, instance) (probe_ssl_earliest_cert_expiry{{{OF}}}) - time()"},
            "Time until the first certificate of each chain expires. Of the edge's own, which nobody vouches for, no"
            " alert is made.",
            {"service": "Service", "instance": "Address"},
            {"Valid for": SECONDS},
            {
                "Valid for": Limits(
                    shown.limit("CertificateExpiresSoon"), shown.limit("CertificateExpiresWithinDays"), falling=True
                )
            },
        ),
        rows_of(
            "TLS versions",
            {"Seen": f"max by (service, instance, version) (probe_tls_version_info{{{OF}}})"},
            "The TLS version that each address and the probe agree on: the best that both speak.",
            {"service": "Service", "instance": "Address", "version": "Version"},
            {"Seen": SHORT},
        ),
    ]
