"""The monitoring itself: scrapes, rules, storage and notifications, and their cost."""

from __future__ import annotations

from dashboards import panels as p
from dashboards.board import Board
from dashboards.boards.log_stores import NAMES, TAKEN_IN
from dashboards.context import DashboardContext

SERVICES = (
    "prometheus|alertmanager|grafana|loki|victorialogs|vmalert|collector"
    "|cadvisor|node-exporter|postgres-exporter|redis-exporter|blackbox-exporter"
)
PARTS = f'{{{p.STACK_LABELS}, service=~"{SERVICES}"}}'
"""Selector of the containers that watch the others."""


def monitoring(ctx: DashboardContext) -> Board:
    """Build the board of the monitoring itself."""
    board = Board(ctx, "monitoring", "Monitoring itself", "does what watches do its work, and at what cost?")
    board.row(
        4,
        p.up_down_stat(
            "Watchdog",
            f'count(ALERTS{{{p.STACK_LABELS}, alertname="Watchdog", alertstate="firing"}}) or vector(0)',
            "The alert that always fires: rules are evaluated.",
        ),
        p.up_down_stat(
            "Configuration loaded",
            f"min(prometheus_config_last_reload_successful{p.STACK} "
            f"or alertmanager_config_last_reload_successful{p.STACK})",
            "Prometheus and Alertmanager took their last configuration; else they go on with the one before.",
        ),
        p.stat(
            "Oldest rule evaluation",
            f"max((time() - (prometheus_rule_group_last_evaluation_timestamp_seconds{p.STACK} > 0))"
            f" / prometheus_rule_group_interval_seconds{p.STACK})",
            "How many of its intervals ago the group of rules was evaluated that waits longest.",
            thresholds=ctx.limits(critical="RulesStandStill"),
        ),
        p.stat(
            "Targets that answer",
            f"avg(up{p.STACK})",
            "Share of the scrape targets that give their metrics.",
            p.RATIO,
            p.CRITICAL_BELOW_1,
        ),
    )
    _scrapes_and_rules(board, ctx)
    _storage(board, ctx)
    _notifications(board, ctx)
    _grafana_and_cost(board, ctx)
    return board


def _scrapes_and_rules(board: Board, ctx: DashboardContext) -> None:
    board.section("Scrapes")
    board.row(
        7,
        p.chart(
            "Scrape duration",
            {"{{job}}": f"max by (job) (scrape_duration_seconds{p.STACK})"},
            "How long the slowest instance of each job takes to give its metrics; after 10 s it counts as down.",
            p.SECONDS,
            ctx.limits(warning="ScrapeSlow"),
        ),
        p.chart(
            "Samples a scrape",
            {"{{job}}": f"max by (job) (scrape_samples_post_metric_relabeling{p.STACK})"},
            "Series of the largest instance of each job.",
            thresholds=ctx.limits(warning="ScrapeSamplesHigh"),
        ),
        p.chart(
            "Samples refused",
            {
                "doubled": f"sum(increase(prometheus_target_scrapes_sample_duplicate_timestamp_total{p.STACK}[10m]))",
                "too old": f"sum(increase(prometheus_target_scrapes_sample_out_of_order_total{p.STACK}[10m]))",
                "too far ahead": f"sum(increase(prometheus_target_scrapes_sample_out_of_bounds_total{p.STACK}[10m]))",
            },
            "Samples of 10 minutes that were thrown away.",
            thresholds=p.WARNING_FROM_1,
        ),
    )
    board.section("Rules and queries")
    group = '"group", "$1", "rule_group", ".*/(.+)"'
    evaluation = (
        f"prometheus_rule_group_last_duration_seconds{p.STACK} / prometheus_rule_group_interval_seconds{p.STACK}"
    )
    queries = f'{{{p.STACK_LABELS}, handler=~"/api/v1/query(_range)?"}}'
    durations = f"sum by (le) (rate(prometheus_http_request_duration_seconds_bucket{queries}[10m]))"
    board.row(
        7,
        p.chart(
            "Rule evaluation time",
            {"{{group}}": f"topk(5, label_replace({evaluation}, {group}))"},
            "Share of their interval that the five slowest groups need for one evaluation.",
            p.RATIO,
            ctx.limits(warning="PrometheusRulesSlow"),
        ),
        p.chart(
            "Rule failures",
            {
                "failed": f"sum(increase(prometheus_rule_evaluation_failures_total{p.STACK}[5m]))",
                "left out": f"sum(increase(prometheus_rule_group_iterations_missed_total{p.STACK}[5m]))",
            },
            "Rules that failed, and evaluations that were left out, in 5 minutes.",
            thresholds=p.CRITICAL_FROM_1,
        ),
        p.chart(
            "Query time",
            # Without a query the quantile is no number.
            {"slowest tenth": f"(histogram_quantile(0.9, {durations}) >= 0) or vector(0)"},
            "90 % of the queries by people and Grafana are faster than this; 0 where nobody asks. Rules do not count.",
            p.SECONDS,
            ctx.limits(warning="PrometheusQueriesSlow"),
        ),
    )


def _storage(board: Board, ctx: DashboardContext) -> None:
    board.section("Storage")
    failures = {
        "compaction": ("compactions_failed", "reloads_failures", "head_truncations_failed"),
        "log of changes": ("wal_writes_failed", "wal_truncations_failed", "checkpoint_creations_failed"),
        "broken data": ("wal_corruptions", "mmap_chunk_corruptions"),
    }
    board.row(
        7,
        p.chart(
            "Series in memory",
            {
                "series": f"sum(prometheus_tsdb_head_series{p.STACK})",
                "samples a second": f"sum(rate(prometheus_tsdb_head_samples_appended_total{p.STACK}[5m]))",
            },
            "Series of the last two hours, and the samples a second that are stored for them.",
            thresholds=ctx.limits(warning="PrometheusSeriesTooMany"),
        ),
        p.chart(
            "Storage",
            {
                "blocks": f"sum(prometheus_tsdb_storage_blocks_bytes{p.STACK})",
                "log of changes": f"sum(prometheus_tsdb_wal_storage_size_bytes{p.STACK})",
                "newest data": f"sum(prometheus_tsdb_head_chunks_storage_size_bytes{p.STACK})",
            },
            "What Prometheus needs of its disk.",
            p.BYTES,
            stacked=True,
        ),
        p.chart(
            "Storage failures",
            {
                legend: " + ".join(f"sum(increase(prometheus_tsdb_{name}_total{p.STACK}[1h]))" for name in names)
                for legend, names in failures.items()
            },
            "Compactions and writes that failed, and data found broken, in an hour.",
            thresholds=p.CRITICAL_FROM_1,
        ),
    )
    if ctx.remote_write:
        remote, by_store = "prometheus_remote_storage", "sum by (remote_name)"
        newest = f"max_over_time({remote}_highest_timestamp_in_seconds{p.STACK}[5m])"
        sent = f"max_over_time({remote}_queue_highest_sent_timestamp_seconds{p.STACK}[5m])"
        board.row(
            7,
            p.chart(
                "Remote write",
                {
                    "{{remote_name}}": f"{by_store} (rate({remote}_samples_total{p.STACK}[5m]))",
                    "{{remote_name}} refused": f"{by_store} (rate({remote}_samples_failed_total{p.STACK}[5m]))",
                    "{{remote_name}} again": f"{by_store} (rate({remote}_samples_retried_total{p.STACK}[5m]))",
                },
                "Samples a second that go to the stores for the long term.",
                p.OPERATIONS,
            ),
            p.chart(
                "Remote write delay",
                {"{{remote_name}}": f"{newest} - ignoring (remote_name, url) group_right () {sent}"},
                "How far the stores for the long term are behind.",
                p.SECONDS,
                ctx.limits(warning="RemoteWriteBehind"),
            ),
        )


def _notifications(board: Board, ctx: DashboardContext) -> None:
    board.section("From alert to notification")
    latency = f"alertmanager_notification_latency_seconds_bucket{p.STACK}"
    board.row(
        7,
        p.chart(
            "Alerts to Alertmanager",
            {
                "sent": f"sum(rate(prometheus_notifications_sent_total{p.STACK}[5m]))",
                "lost": f"sum(rate(prometheus_notifications_dropped_total{p.STACK}[5m]))",
                "waiting": f"sum(prometheus_notifications_queue_length{p.STACK})",
                "Alertmanagers": f"sum(prometheus_notifications_alertmanagers_discovered{p.STACK})",
            },
            "Alerts a second that Prometheus sends, those that were lost, and how many wait.",
        ),
        p.chart(
            "Notifications",
            {
                # Without receivers Alertmanager counts nothing at all.
                "sent": f"sum(rate(alertmanager_notifications_total{p.STACK}[15m])) or vector(0)",
                "failed": f"sum(rate(alertmanager_notifications_failed_total{p.STACK}[15m])) or vector(0)",
            },
            "Notifications a second that Alertmanager sends to people, over 15 minutes.",
            p.OPERATIONS,
        ),
        p.chart(
            "Notification time",
            # Without a notification the quantile is no number.
            {"slowest tenth": f"(histogram_quantile(0.9, sum by (le) (rate({latency}[30m]))) >= 0) or vector(0)"},
            "90 % of the notifications are accepted faster than this; 0 where there were none in 30 minutes.",
            p.SECONDS,
            ctx.limits(warning="NotificationsSlow"),
        ),
    )
    if ctx.logs_uid:
        board.section("Logs")
        board.row(
            7,
            p.chart(
                "Log lines stored",
                {
                    "read by the collector": f"sum(rate(otelcol_receiver_accepted_log_records{p.STACK}[5m]))",
                    f"received by {NAMES[ctx.log_store]}": TAKEN_IN[ctx.log_store],
                },
                "Log lines a second.",
                p.OPERATIONS,
            ),
            p.chart(
                "Collector queue",
                {
                    "{{exporter}} waiting": f"sum by (exporter) (otelcol_exporter_queue_size{p.STACK})",
                    "{{exporter}} room": f"sum by (exporter) (otelcol_exporter_queue_capacity{p.STACK})",
                },
                "Log lines that wait to be stored, and the room there is for them:"
                " what is more stays in Docker's files.",
                p.BYTES,
            ),
        )


def _grafana_and_cost(board: Board, ctx: DashboardContext) -> None:
    board.section("Grafana")
    requests = "grafana_http_request_duration_seconds"
    queries = f'rate(grafana_plugin_request_total{{{p.STACK_LABELS}, endpoint="queryData"}}[10m])'
    board.row(
        7,
        p.chart(
            "Grafana requests",
            {"{{status_code}}": f"sum by (status_code) (rate({requests}_count{p.STACK}[5m]))"},
            "Requests a second to Grafana, by status.",
            p.PER_SECOND,
            stacked=True,
        ),
        p.chart(
            "Grafana response time",
            {"p95": f"histogram_quantile(0.95, sum by (le) (rate({requests}_bucket{p.STACK}[10m])))"},
            "95 % of the requests to Grafana are faster than this.",
            p.SECONDS,
            ctx.limits(warning="GrafanaSlow"),
        ),
        p.chart(
            "Grafana queries",
            {"{{plugin_id}} {{status}}": f"sum by (plugin_id, status) ({queries})"},
            "Queries a second that Grafana asks its data sources, by result.",
            p.OPERATIONS,
        ),
        p.chart(
            "Grafana log-ins",
            {"failed": f"sum(increase(grafana_authn_authn_failed_login_total{p.STACK}[15m])) or vector(0)"},
            "Log-ins by the form that failed, in 15 minutes.",
            thresholds=ctx.limits(warning="GrafanaLoginsFailing"),
        ),
    )
    board.section("What it costs")
    board.row(
        7,
        p.chart(
            "CPU of monitoring",
            {"{{service}}": f"sum by (service) (container:cpu_usage_cores:rate5m{PARTS})"},
            "Cores that the containers of the monitoring use.",
            p.CORES,
            stacked=True,
        ),
        p.chart(
            "Memory of monitoring",
            {"{{service}}": f"sum by (service) (container:memory_working_set_bytes:sum{PARTS})"},
            "Working set of the containers of the monitoring.",
            p.BYTES,
            stacked=True,
        ),
    )
