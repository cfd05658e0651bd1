"""Panels with the log store's own metrics: on the board of the logs, below the lines."""

from __future__ import annotations

from dashboards import panels as p
from dashboards.context import DashboardContext

TAKEN_IN = {
    "loki": f"sum(rate(loki_distributor_lines_received_total{p.STACK}[5m]))",
    "victorialogs": f"sum(rate(vl_rows_ingested_total{p.STACK}[5m]))",
}
"""Log store → query of the lines per second that it ingests."""

NAMES = {"loki": "Loki", "victorialogs": "VictoriaLogs"}


def now(ctx: DashboardContext) -> list[p.Panel]:
    """Return the stat panels: what the store ingests, and how much it holds."""
    store = NAMES[ctx.log_store]
    return [
        p.stat(
            "Lines a second",
            TAKEN_IN[ctx.log_store],
            f"What {store} takes in, over 5 minutes.",
            p.OPERATIONS,
            sparkline=True,
        ),
        p.stat(
            "Lines given up",
            f"sum(increase(otelcol_receiver_refused_log_records{p.STACK}[1h]))"
            f" + sum(increase(otelcol_receiver_failed_log_records{p.STACK}[1h]))",
            f"Lines of the last hour that the collector could not get to {store}, and will not.",
            thresholds=p.CRITICAL_FROM_1,
        ),
        *(_loki_now(ctx) if ctx.log_store == "loki" else _victorialogs_now(ctx)),
        p.stat(
            "Open log files",
            f"sum(otelcol_fileconsumer_open_files{p.STACK})",
            "Files of the engine that the collector reads.",
            thresholds=ctx.limits(critical="CollectorFilesMany"),
        ),
    ]


def _loki_now(ctx: DashboardContext) -> list[p.Panel]:
    return [
        p.stat(
            "Last compaction and retention",
            f"max(loki_compactor_apply_retention_last_successful_run_timestamp_seconds{p.STACK}) * 1000",
            "When Loki last put its index in order and deleted what is older than the retention.",
            p.TIME_AGO,
        ),
        p.stat(
            "Streams",
            f"sum(loki_ingester_memory_streams{p.STACK})",
            "Combinations of labels in memory: one for each container. Many are a label with too many values.",
            thresholds=ctx.limits(critical="LokiStreamsMany"),
        ),
    ]


def _victorialogs_now(ctx: DashboardContext) -> list[p.Panel]:
    return [
        p.stat(
            "Size on disk",
            f"sum(vl_data_size_bytes{p.STACK})",
            "What all lines and their index take. Beyond victorialogs.retention_size the oldest days go.",
            p.BYTES,
        ),
        p.stat(
            "New streams",
            f"sum(increase(vl_streams_created_total{p.STACK}[1h]))",
            "Combinations of labels that came up in an hour: one for each container. Many are a label gone wrong.",
            thresholds=ctx.limits(critical="VictoriaLogsStreamsMany"),
        ),
    ]


def delivery(ctx: DashboardContext) -> list[p.Panel]:
    """Return the panels of delivery from containers to the store: throughput and CPU."""
    store = NAMES[ctx.log_store]
    programs = {"loki": "loki", "victorialogs": "victorialogs|vmalert"}[ctx.log_store]
    return [
        p.chart(
            "Lines read and sent",
            {
                "read": f"sum(rate(otelcol_receiver_accepted_log_records{p.STACK}[5m]))",
                "sent": f"sum(rate(otelcol_exporter_sent_log_records{p.STACK}[5m]))",
                f"taken by {store}": TAKEN_IN[ctx.log_store],
            },
            f"The collector's lines a second, and those of {store}: they are the same where all is well.",
            p.OPERATIONS,
        ),
        p.chart(
            "Cores of the pipeline",
            {
                "collector": f"sum(rate(otelcol_process_cpu_seconds{p.STACK}[5m]))",
                store: f'sum(rate(process_cpu_seconds_total{{{p.STACK_LABELS}, job=~"{programs}"}}[5m]))',
            },
            f"Cores in use by the collector and by {store}.",
            p.CORES,
        ),
    ]


def store(ctx: DashboardContext) -> list[p.Panel]:
    """Return the panels of the store's ingestion and its answers."""
    return _loki(ctx) if ctx.log_store == "loki" else _victorialogs(ctx)


def rules(ctx: DashboardContext) -> list[p.Panel]:
    """Return the panels of rule evaluation on log lines, and of failures inside the store."""
    return _loki_rules() if ctx.log_store == "loki" else _vmalert()


def _loki(ctx: DashboardContext) -> list[p.Panel]:
    return [
        p.chart(
            "Bytes taken in",
            {"bytes a second": f"sum(rate(loki_distributor_bytes_received_total{p.STACK}[5m]))"},
            "Bytes of lines a second, before compression: the disk is sized by them.",
            p.BYTES_PER_SECOND,
            ctx.limits(critical="LokiIngestHigh"),
        ),
        p.chart(
            "Loki's answers",
            {
                "{{route}} {{status_code}}": "sum by (route, status_code)"
                f' (rate(loki_request_duration_seconds_count{{{p.STACK_LABELS}, method!="gRPC"}}[5m]))'
            },
            "Requests a second by what was asked and how it ended.",
            p.OPERATIONS,
        ),
    ]


def _loki_rules() -> list[p.Panel]:
    return [
        p.chart(
            "Ruler",
            {
                "evaluations": f"sum(increase(loki_prometheus_rule_evaluations_total{p.STACK}[5m]))",
                "that failed": f"sum(increase(loki_prometheus_rule_evaluation_failures_total{p.STACK}[5m]))",
                "left out": f"sum(increase(loki_prometheus_rule_group_iterations_missed_total{p.STACK}[5m]))",
                "alerts sent": f"sum(increase(loki_prometheus_notifications_sent_total{p.STACK}[5m]))",
                "alerts dropped": f"sum(increase(loki_prometheus_notifications_dropped_total{p.STACK}[5m]))",
            },
            "What Loki's ruler did in 5 minutes: each rule on the logs is evaluated every minute.",
        ),
        p.chart(
            "Failures inside Loki",
            {
                "disk full": f"sum(increase(loki_ingester_wal_disk_full_failures_total{p.STACK}[10m]))",
                "chunks not written": f"sum(increase(loki_ingester_chunks_flush_failures_total{p.STACK}[10m]))",
                "panics": f"sum(increase(loki_panic_total{p.STACK}[10m]))",
            },
            "What went wrong in 10 minutes; all of it should be 0.",
            thresholds=p.CRITICAL_FROM_1,
        ),
    ]


def _victorialogs(ctx: DashboardContext) -> list[p.Panel]:
    return [
        p.chart(
            "Bytes taken in",
            {"bytes a second": f"sum(rate(vl_bytes_ingested_total{p.STACK}[5m]))"},
            "Bytes of lines and their fields a second, before compression: the disk is sized by them.",
            p.BYTES_PER_SECOND,
            ctx.limits(critical="VictoriaLogsIngestHigh"),
        ),
        p.chart(
            "VictoriaLogs' answers",
            {
                "{{path}}": f"sum by (path) (rate(vl_http_requests_total{p.STACK}[5m])) > 0",
                "{{path}} failed": f"sum by (path) (rate(vl_http_errors_total{p.STACK}[5m])) > 0",
            },
            "Requests a second by what was asked, and those that failed.",
            p.OPERATIONS,
        ),
    ]


def _vmalert() -> list[p.Panel]:
    return [
        p.chart(
            "Rules on the logs",
            {
                "evaluations": f"sum(increase(vmalert_execution_total{p.STACK}[5m]))",
                "that failed": f"sum(increase(vmalert_alerting_rules_errors_total{p.STACK}[5m]))",
                "left out": f"sum(increase(vmalert_iteration_missed_total{p.STACK}[5m]))",
                "alerts sent": f"sum(increase(vmalert_alerts_sent_total{p.STACK}[5m]))",
                "alerts not sent": f"sum(increase(vmalert_alerts_send_errors_total{p.STACK}[5m]))",
            },
            "What vmalert did in 5 minutes: each rule on the logs is evaluated every minute.",
        ),
        p.chart(
            "Failures inside VictoriaLogs",
            {
                "dropped: {{reason}}": f"sum by (reason) (increase(vl_rows_dropped_total{p.STACK}[10m]))",
                "takes no lines: disk full": f"max(vl_storage_is_read_only{p.STACK})",
                "errors in its log": f'sum(increase(vm_log_messages_total{{{p.STACK_LABELS}, job="victorialogs"'
                ', level=~"error|fatal|panic"}[10m]))',
            },
            "What went wrong in 10 minutes; all of it should be 0.",
            thresholds=p.CRITICAL_FROM_1,
        ),
    ]
