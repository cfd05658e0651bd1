"""Panels with the log store's own metrics: on the board of the logs, below the lines."""

from __future__ import annotations

from dashboards.panels import (
    BYTES,
    BYTES_PER_SECOND,
    CORES,
    LINES,
    OPERATIONS,
    SHORT,
    STACK,
    TIME_AGO,
    Limits,
    Panel,
    Query,
    chart,
    stat,
)
from dashboards.shown import DashboardContext

TAKEN_IN = {
    "loki": f"sum(rate(loki_distributor_lines_received_total{{{STACK}}}[5m]))",
    "victorialogs": f"sum(rate(vl_rows_ingested_total{{{STACK}}}[5m]))",
}
"""Log store → query of the lines per second that it ingests."""

NAMES = {"loki": "Loki", "victorialogs": "VictoriaLogs"}


def now(ctx: DashboardContext) -> list[Panel]:
    """Return the stat panels: what the store ingests, and how much it holds."""
    store = NAMES[ctx.log_store]
    return [
        stat(
            "Lines a second",
            TAKEN_IN[ctx.log_store],
            f"What {store} takes in, over 5 minutes.",
            OPERATIONS,
            sparkline=True,
        ),
        stat(
            "Lines given up",
            f"sum(increase(otelcol_receiver_refused_log_records{{{STACK}}}[1h]))"
            f" + sum(increase(otelcol_receiver_failed_log_records{{{STACK}}}[1h]))",
            f"Lines of the last hour that the collector could not get to {store}, and will not.",
            limits=Limits(critical=1),
        ),
        *(_loki_now(ctx) if ctx.log_store == "loki" else _victorialogs_now(ctx)),
        stat(
            "Open log files",
            f"sum(otelcol_fileconsumer_open_files{{{STACK}}})",
            "Files of the engine that the collector reads.",
            limits=Limits(critical=ctx.limit("CollectorFilesMany")),
        ),
    ]


def _loki_now(ctx: DashboardContext) -> list[Panel]:
    return [
        stat(
            "Last compaction and retention",
            f"max(loki_compactor_apply_retention_last_successful_run_timestamp_seconds{{{STACK}}}) * 1000",
            "When Loki last put its index in order and deleted what is older than the retention.",
            TIME_AGO,
        ),
        stat(
            "Streams",
            f"sum(loki_ingester_memory_streams{{{STACK}}})",
            "Combinations of labels in memory: one for each container. Many are a label with too many values.",
            limits=Limits(critical=ctx.limit("LokiStreamsMany")),
        ),
    ]


def _victorialogs_now(ctx: DashboardContext) -> list[Panel]:
    return [
        stat(
            "Size on disk",
            f"sum(vl_data_size_bytes{{{STACK}}})",
            "What all lines and their index take. Beyond victorialogs.retention_size the oldest days go.",
            BYTES,
        ),
        stat(
            "New streams",
            f"sum(increase(vl_streams_created_total{{{STACK}}}[1h]))",
            "Combinations of labels that came up in an hour: one for each container. Many are a label gone wrong.",
            limits=Limits(critical=ctx.limit("VictoriaLogsStreamsMany")),
        ),
    ]


def delivery(ctx: DashboardContext) -> list[Panel]:
    """Return the panels of delivery from containers to the store: throughput and CPU."""
    store = NAMES[ctx.log_store]
    programs = {"loki": "loki", "victorialogs": "victorialogs|vmalert"}[ctx.log_store]
    return [
        chart(
            "Lines read and sent",
            [
                Query(f"sum(rate(otelcol_receiver_accepted_log_records{{{STACK}}}[5m]))", "read"),
                Query(f"sum(rate(otelcol_exporter_sent_log_records{{{STACK}}}[5m]))", "sent"),
                Query(TAKEN_IN[ctx.log_store], f"taken by {store}"),
            ],
            f"The collector's lines a second, and those of {store}: they are the same where all is well.",
            OPERATIONS,
        ),
        chart(
            "Cores of the pipeline",
            [
                Query(f"sum(rate(otelcol_process_cpu_seconds{{{STACK}}}[5m]))", "collector"),
                Query(f'sum(rate(process_cpu_seconds_total{{{STACK}, job=~"{programs}"}}[5m]))', store),
            ],
            f"Cores in use by the collector and by {store}.",
            CORES,
        ),
    ]


def store(ctx: DashboardContext) -> list[Panel]:
    """Return the panels of the store's ingestion and its answers."""
    return _loki(ctx) if ctx.log_store == "loki" else _victorialogs(ctx)


def rules(ctx: DashboardContext) -> list[Panel]:
    """Return the panels of rule evaluation on log lines, and of failures inside the store."""
    return _loki_rules() if ctx.log_store == "loki" else _vmalert()


def _loki(ctx: DashboardContext) -> list[Panel]:
    return [
        chart(
            "Bytes taken in",
            Query(f"sum(rate(loki_distributor_bytes_received_total{{{STACK}}}[5m]))", "bytes a second"),
            "Bytes of lines a second, before compression: the disk is sized by them.",
            BYTES_PER_SECOND,
            Limits(critical=ctx.limit("LokiIngestHigh")),
        ),
        chart(
            "Loki's answers",
            Query(
                "sum by (route, status_code)"
                f' (rate(loki_request_duration_seconds_count{{{STACK}, method!="gRPC"}}[5m]))',
                "{{route}} {{status_code}}",
            ),
            "Requests a second by what was asked and how it ended.",
            OPERATIONS,
        ),
    ]


def _loki_rules() -> list[Panel]:
    return [
        chart(
            "Ruler",
            [
                Query(f"sum(increase(loki_prometheus_rule_evaluations_total{{{STACK}}}[5m]))", "evaluations"),
                Query(f"sum(increase(loki_prometheus_rule_evaluation_failures_total{{{STACK}}}[5m]))", "that failed"),
                Query(f"sum(increase(loki_prometheus_rule_group_iterations_missed_total{{{STACK}}}[5m]))", "left out"),
                Query(f"sum(increase(loki_prometheus_notifications_sent_total{{{STACK}}}[5m]))", "alerts sent"),
                Query(f"sum(increase(loki_prometheus_notifications_dropped_total{{{STACK}}}[5m]))", "alerts dropped"),
            ],
            "What Loki's ruler did in 5 minutes: each rule on the logs is evaluated every minute.",
            LINES,
        ),
        chart(
            "Failures inside Loki",
            [
                Query(f"sum(increase(loki_ingester_wal_disk_full_failures_total{{{STACK}}}[10m]))", "disk full"),
                Query(
                    f"sum(increase(loki_ingester_chunks_flush_failures_total{{{STACK}}}[10m]))", "chunks not written"
                ),
                Query(f"sum(increase(loki_panic_total{{{STACK}}}[10m]))", "panics"),
            ],
            "What went wrong in 10 minutes; all of it should be 0.",
            SHORT,
            Limits(critical=1),
        ),
    ]


def _victorialogs(ctx: DashboardContext) -> list[Panel]:
    return [
        chart(
            "Bytes taken in",
            Query(f"sum(rate(vl_bytes_ingested_total{{{STACK}}}[5m]))", "bytes a second"),
            "Bytes of lines and their fields a second, before compression: the disk is sized by them.",
            BYTES_PER_SECOND,
            Limits(critical=ctx.limit("VictoriaLogsIngestHigh")),
        ),
        chart(
            "VictoriaLogs' answers",
            [
                Query(f"sum by (path) (rate(vl_http_requests_total{{{STACK}}}[5m])) > 0", "{{path}}"),
                Query(f"sum by (path) (rate(vl_http_errors_total{{{STACK}}}[5m])) > 0", "{{path}} failed"),
            ],
            "Requests a second by what was asked, and those that failed.",
            OPERATIONS,
        ),
    ]


def _vmalert() -> list[Panel]:
    return [
        chart(
            "Rules on the logs",
            [
                Query(f"sum(increase(vmalert_execution_total{{{STACK}}}[5m]))", "evaluations"),
                Query(f"sum(increase(vmalert_alerting_rules_errors_total{{{STACK}}}[5m]))", "that failed"),
                Query(f"sum(increase(vmalert_iteration_missed_total{{{STACK}}}[5m]))", "left out"),
                Query(f"sum(increase(vmalert_alerts_sent_total{{{STACK}}}[5m]))", "alerts sent"),
                Query(f"sum(increase(vmalert_alerts_send_errors_total{{{STACK}}}[5m]))", "alerts not sent"),
            ],
            "What vmalert did in 5 minutes: each rule on the logs is evaluated every minute.",
            LINES,
        ),
        chart(
            "Failures inside VictoriaLogs",
            [
                Query(f"sum by (reason) (increase(vl_rows_dropped_total{{{STACK}}}[10m]))", "dropped: {{reason}}"),
                Query(f"max(vl_storage_is_read_only{{{STACK}}})", "takes no lines: disk full"),
                Query(
                    f'sum(increase(vm_log_messages_total{{{STACK}, job="victorialogs"'
                    ', level=~"error|fatal|panic"}[10m]))',
                    "errors in its log",
                ),
            ],
            "What went wrong in 10 minutes; all of it should be 0.",
            SHORT,
            Limits(critical=1),
        ),
    ]
