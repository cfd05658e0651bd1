"""Logs: what the containers say, and whether it gets to where it is kept."""

from __future__ import annotations

from grafana_foundation_sdk.models.dashboard import Dashboard

from dashboards.board import Board
from dashboards.panels import (
    AGO,
    BYTES_PER_SECOND,
    CORES,
    LINES,
    LOKI,
    OPERATIONS,
    RATIO,
    SHORT,
    F,
    Limits,
    Panel,
    Query,
    chart,
    lines,
    number,
)
from dashboards.shown import Shown

LEVELS = ("trace", "debug", "info", "warn", "error", "fatal", "critical", "unknown")

ANY = f'{F}, container=~".+"'
"""Loki asks for a label that must be there; each variable may stand for everything."""

S = f'{ANY}, service=~"$service"'
"""Selects lines by the board's variables."""

ERRORS = 'detected_level=~"error|critical|fatal"'
FAILED_LOGINS = "(?i)password authentication failed|WRONGPASS|log-?in failed|failed log-?in|invalid credentials"
CALLBACKS = "(?i)(?:payment|invoice|checkout).{0,80}(?:callback|webhook|notification)"
"""What the rules of the logs look for as well, see rules/loki."""

FOUND = f'{{{S}}} | detected_level=~"$level" |~ `(?i)$search`'
"""The lines that the board was asked for."""


def logs(shown: Shown) -> Dashboard | None:
    """Make the board of the logs; none where the stack keeps none."""
    if not shown.logs_uid:
        return None
    board = Board(shown, "logs", "Logs", "what do the containers say?", logs=True)
    board.variable("service", f"label_values({{{ANY}}}, service)", LOKI)
    board.choice("level", LEVELS)
    board.text_variable("search")
    board.row(4, _now(shown))
    board.row(8, _volume(shown))
    board.row(
        12,
        [
            lines(
                "Lines", FOUND, "The lines of the chosen services and levels that hold the searched text, newest first."
            )
        ],
    )
    board.section("What is looked for in them")
    board.row(7, [*_trouble(shown), *_stores(shown)])
    board.row(8, [_of_rules()])
    board.section("How they get here")
    board.row(7, [*_way(), *_loki(shown)])
    board.row(7, _ruler(shown))
    return board.build()


def _now(shown: Shown) -> list[Panel]:
    return [
        number(
            "Lines a second",
            f"sum(rate(loki_distributor_lines_received_total{{{F}}}[5m]))",
            "What Loki takes in, over 5 minutes.",
            OPERATIONS,
            course=True,
        ),
        number(
            "Lines given up",
            f"sum(increase(otelcol_receiver_refused_log_records{{{F}}}[1h]))"
            f" + sum(increase(otelcol_receiver_failed_log_records{{{F}}}[1h]))",
            "Lines of the last hour that the collector could not get to Loki, and will not.",
            limits=Limits(critical=1),
        ),
        number(
            "Last compaction and retention",
            f"max(loki_compactor_apply_retention_last_successful_run_timestamp_seconds{{{F}}}) * 1000",
            "When Loki last put its index in order and deleted what is older than the retention.",
            AGO,
        ),
        number(
            "Streams",
            f"sum(loki_ingester_memory_streams{{{F}}})",
            "Combinations of labels in memory: one for each container. Many are a label with too many values.",
            limits=Limits(critical=shown.limit("LokiStreamsMany")),
        ),
        number(
            "Open log files",
            f"sum(otelcol_fileconsumer_open_files{{{F}}})",
            "Files of the engine that the collector reads.",
            limits=Limits(critical=shown.limit("CollectorFilesMany")),
        ),
    ]


def _volume(shown: Shown) -> list[Panel]:
    return [
        _of_lines(
            "Lines by level",
            f"sum by (detected_level) (count_over_time({FOUND} [$__interval]))",
            "{{detected_level}}",
            "How many of the lines that are asked for have which level.",
            stacked=True,
        ),
        _of_lines(
            "Lines by service",
            f"sum by (service) (count_over_time({FOUND} [$__interval]))",
            "{{service}}",
            "Which service writes how many of the lines that are asked for.",
            stacked=True,
        ),
        _of_lines(
            "Errors by service",
            f"sum by (service) (count_over_time({{{S}}} | {ERRORS} [5m]))",
            "{{service}}",
            "Lines of level error and worse, in 5 minutes.",
            Limits(critical=shown.limit("LogErrorBurst")),
        ),
    ]


def _trouble(shown: Shown) -> list[Panel]:
    return [
        _of_lines(
            "Share of errors",
            f"sum by (service) (rate({{{S}}} | {ERRORS} [15m])) / sum by (service) (rate({{{S}}} [15m]))",
            "{{service}}",
            "Share of a service's lines that are errors, over 15 minutes.",
            unit=RATIO,
        ),
        chart(
            "Failed log-ins and payment callbacks",
            [
                Query(
                    f"sum by (service) (count_over_time({{{S}}} |~ `{FAILED_LOGINS}` [5m])) or vector(0)",
                    "log-ins {{service}}",
                ),
                Query(
                    f"sum by (service) (count_over_time({{{S}}} |~ `{CALLBACKS}` | {ERRORS} [5m])) or vector(0)",
                    "payment callbacks {{service}}",
                ),
            ],
            "Log-ins and calls of the payment provider that failed, by what lines of 5 minutes tell; 0 where none did.",
            LINES,
            Limits(critical=shown.limit("FailedLogins")),
            source=LOKI,
        ),
    ]


def _stores(shown: Shown) -> list[Panel]:
    panels = [
        _of_lines(
            "Slow queries",
            f'sum by (service) (count_over_time({{{S}}} | kind="slow_query" [5m])) or vector(0)',
            "{{service}}",
            "Statements that took longer than Postgres was told to write down, in 5 minutes; 0 where there is none.",
            Limits(critical=shown.limit("SlowQueries")),
        ),
    ]
    if shown.edge:
        panels.append(
            _of_lines(
                "Answers at the edge",
                f'sum by (status) (count_over_time({{{S}}} | kind="access" [$__interval]))',
                "{{status}}",
                "Requests in the edge proxy's access log, by the status that visitors got.",
                stacked=True,
            )
        )
    return panels


def _of_rules() -> Panel:
    words = (
        "panic: |fatal error: |PANIC:  |[Uu]ncaught ?Exception|[Oo]ut of memory|OutOfMemoryError|MemoryError"
        "|No space left|ENOSPC|too many clients already|invalid page in block|MISCONF |OOM command not allowed"
        "|not properly shut down|terminated by signal|obtain ACME certificate"
    )
    return lines(
        "Panics and trouble in the stores",
        f'{{{ANY}, service!~"loki|collector|prometheus|alertmanager|grafana"}} |~ `{words}`',
        "Lines that alerts of rules/loki look for: panics, memory, full disks, refused connections and writes. "
        "Empty where all is well.",
    )


def _way() -> list[Panel]:
    return [
        chart(
            "Lines read and sent",
            [
                Query(f"sum(rate(otelcol_receiver_accepted_log_records{{{F}}}[5m]))", "read"),
                Query(f"sum(rate(otelcol_exporter_sent_log_records{{{F}}}[5m]))", "sent"),
                Query(f"sum(rate(loki_distributor_lines_received_total{{{F}}}[5m]))", "taken by Loki"),
            ],
            "The collector's lines a second, and Loki's: they are the same where all is well.",
            OPERATIONS,
        ),
        chart(
            "Cores of the pipeline",
            [
                Query(f"sum(rate(otelcol_process_cpu_seconds{{{F}}}[5m]))", "collector"),
                Query(f'sum(rate(process_cpu_seconds_total{{{F}, job="loki"}}[5m]))', "Loki"),
            ],
            "Cores in use by the collector and by Loki.",
            CORES,
        ),
    ]


def _loki(shown: Shown) -> list[Panel]:
    return [
        chart(
            "Bytes taken in",
            Query(f"sum(rate(loki_distributor_bytes_received_total{{{F}}}[5m]))", "bytes a second"),
            "Bytes of lines a second, before compression: the disk is sized by them.",
            BYTES_PER_SECOND,
            Limits(critical=shown.limit("LokiIngestHigh")),
        ),
        chart(
            "Loki's answers",
            Query(
                f'sum by (route, status_code) (rate(loki_request_duration_seconds_count{{{F}, method!="gRPC"}}[5m]))',
                "{{route}} {{status_code}}",
            ),
            "Requests a second by what was asked and how it ended.",
            OPERATIONS,
        ),
    ]


def _ruler(shown: Shown) -> list[Panel]:
    return [
        chart(
            "Ruler",
            [
                Query(f"sum(increase(loki_prometheus_rule_evaluations_total{{{F}}}[5m]))", "evaluations"),
                Query(f"sum(increase(loki_prometheus_rule_evaluation_failures_total{{{F}}}[5m]))", "that failed"),
                Query(f"sum(increase(loki_prometheus_rule_group_iterations_missed_total{{{F}}}[5m]))", "left out"),
                Query(f"sum(increase(loki_prometheus_notifications_sent_total{{{F}}}[5m]))", "alerts sent"),
                Query(f"sum(increase(loki_prometheus_notifications_dropped_total{{{F}}}[5m]))", "alerts dropped"),
            ],
            "What Loki's ruler did in 5 minutes: each rule on the logs is evaluated every minute.",
            LINES,
        ),
        chart(
            "Failures inside Loki",
            [
                Query(f"sum(increase(loki_ingester_wal_disk_full_failures_total{{{F}}}[10m]))", "disk full"),
                Query(f"sum(increase(loki_ingester_chunks_flush_failures_total{{{F}}}[10m]))", "chunks not written"),
                Query(f"sum(increase(loki_panic_total{{{F}}}[10m]))", "panics"),
            ],
            "What went wrong in 10 minutes; all of it should be 0.",
            SHORT,
            Limits(critical=1),
        ),
    ]


def _of_lines(
    title: str,
    expr: str,
    legend: str,
    description: str,
    limits: Limits | None = None,
    *,
    unit: str = LINES,
    stacked: bool = False,
) -> Panel:
    return chart(title, Query(expr, legend), description, unit, limits, stacked=stacked, source=LOKI)
