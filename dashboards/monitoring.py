"""The monitoring itself: scrapes, rules, storage and notifications, and their cost."""

from __future__ import annotations

from grafana_foundation_sdk.models.dashboard import Dashboard

from dashboards.board import Board
from dashboards.log_stores import NAMES, TAKEN_IN
from dashboards.panels import (
    BYTES,
    CORES,
    OPERATIONS,
    PER_SECOND,
    RATIO,
    SECONDS,
    SHORT,
    STACK,
    Limits,
    Panel,
    Query,
    chart,
    stat,
    up_down_stat,
)
from dashboards.shown import DashboardContext

PARTS = "|".join(
    (
        *(
            "prometheus",
            "alertmanager",
            "grafana",
            "loki",
            "victorialogs",
            "vmalert",
            "collector",
            "cadvisor",
            "node-exporter",
        ),
        *("postgres-exporter", "redis-exporter", "blackbox-exporter"),
    )
)
"""Containers that watch the others."""


def monitoring(ctx: DashboardContext) -> Dashboard:
    """Build the board of the monitoring itself."""
    board = Board(ctx, "monitoring", "Monitoring itself", "does what watches do its work, and at what cost?")
    board.row(4, _lamps(ctx))
    board.section("Scrapes")
    board.row(7, _scrapes(ctx))
    board.section("Rules and queries")
    board.row(7, _rules(ctx))
    board.section("Storage")
    board.row(7, _storage(ctx))
    if ctx.remote_write:
        board.row(7, _remote_write(ctx))
    board.section("From alert to notification")
    board.row(7, _notifications(ctx))
    if ctx.logs_uid:
        board.section("Logs")
        board.row(7, _logs(ctx))
    board.section("Grafana")
    board.row(7, _grafana(ctx))
    board.section("What it costs")
    board.row(7, _cost())
    return board.build()


def _lamps(ctx: DashboardContext) -> list[Panel]:
    return [
        up_down_stat(
            "Watchdog",
            f'count(ALERTS{{{STACK}, alertname="Watchdog", alertstate="firing"}}) or vector(0)',
            "The alert that always fires: rules are evaluated.",
        ),
        up_down_stat(
            "Configuration loaded",
            f"min(prometheus_config_last_reload_successful{{{STACK}}} "
            f"or alertmanager_config_last_reload_successful{{{STACK}}})",
            "Prometheus and Alertmanager took their last configuration; else they go on with the one before.",
        ),
        stat(
            "Oldest rule evaluation",
            f"max((time() - (prometheus_rule_group_last_evaluation_timestamp_seconds{{{STACK}}} > 0))"
            f" / prometheus_rule_group_interval_seconds{{{STACK}}})",
            "How many of its intervals ago the group of rules was evaluated that waits longest.",
            SHORT,
            Limits(critical=ctx.limit("RulesStandStill")),
        ),
        stat(
            "Targets that answer",
            f"avg(up{{{STACK}}})",
            "Share of the scrape targets that give their metrics.",
            RATIO,
            Limits(critical=1, falling=True),
        ),
    ]


def _scrapes(ctx: DashboardContext) -> list[Panel]:
    return [
        chart(
            "Scrape duration",
            Query(f"max by (job) (scrape_duration_seconds{{{STACK}}})", "{{job}}"),
            "How long the slowest instance of each job takes to give its metrics; after 10 s it counts as down.",
            SECONDS,
            Limits(warning=ctx.limit("ScrapeSlow")),
        ),
        chart(
            "Samples a scrape",
            Query(f"max by (job) (scrape_samples_post_metric_relabeling{{{STACK}}})", "{{job}}"),
            "Series of the largest instance of each job.",
            SHORT,
            Limits(warning=ctx.limit("ScrapeSamplesHigh")),
        ),
        chart(
            "Samples refused",
            [
                Query(
                    f"sum(increase(prometheus_target_scrapes_sample_duplicate_timestamp_total{{{STACK}}}[10m]))",
                    "doubled",
                ),
                Query(f"sum(increase(prometheus_target_scrapes_sample_out_of_order_total{{{STACK}}}[10m]))", "too old"),
                Query(
                    f"sum(increase(prometheus_target_scrapes_sample_out_of_bounds_total{{{STACK}}}[10m]))",
                    "too far ahead",
                ),
            ],
            "Samples of 10 minutes that were thrown away.",
            SHORT,
            Limits(warning=1),
        ),
    ]


def _rules(ctx: DashboardContext) -> list[Panel]:
    group = '"group", "$1", "rule_group", ".*/(.+)"'
    return [
        chart(
            "Rule evaluation time",
            Query(
                f"topk(5, label_replace(prometheus_rule_group_last_duration_seconds{{{STACK}}}"
                f" / prometheus_rule_group_interval_seconds{{{STACK}}}, {group}))",
                "{{group}}",
            ),
            "Share of their interval that the five slowest groups need for one evaluation.",
            RATIO,
            Limits(warning=ctx.limit("PrometheusRulesSlow")),
        ),
        chart(
            "Rule failures",
            [
                Query(f"sum(increase(prometheus_rule_evaluation_failures_total{{{STACK}}}[5m]))", "failed"),
                Query(f"sum(increase(prometheus_rule_group_iterations_missed_total{{{STACK}}}[5m]))", "left out"),
            ],
            "Rules that failed, and evaluations that were left out, in 5 minutes.",
            SHORT,
            Limits(critical=1),
        ),
        chart(
            "Query time",
            # Without a query the quantile is no number.
            Query(
                "(histogram_quantile(0.9, sum by (le) (rate(prometheus_http_request_duration_seconds_bucket"
                f'{{{STACK}, handler=~"/api/v1/query(_range)?"}}[10m]))) >= 0) or vector(0)',
                "slowest tenth",
            ),
            "90 % of the queries by people and Grafana are faster than this; 0 where nobody asks. Rules do not count.",
            SECONDS,
            Limits(warning=ctx.limit("PrometheusQueriesSlow")),
        ),
    ]


def _storage(ctx: DashboardContext) -> list[Panel]:
    failures = {
        "compaction": ("compactions_failed", "reloads_failures", "head_truncations_failed"),
        "log of changes": ("wal_writes_failed", "wal_truncations_failed", "checkpoint_creations_failed"),
        "broken data": ("wal_corruptions", "mmap_chunk_corruptions"),
    }
    return [
        chart(
            "Series in memory",
            [
                Query(f"sum(prometheus_tsdb_head_series{{{STACK}}})", "series"),
                Query(f"sum(rate(prometheus_tsdb_head_samples_appended_total{{{STACK}}}[5m]))", "samples a second"),
            ],
            "Series of the last two hours, and the samples a second that are stored for them.",
            SHORT,
            Limits(warning=ctx.limit("PrometheusSeriesTooMany")),
        ),
        chart(
            "Storage",
            [
                Query(f"sum(prometheus_tsdb_storage_blocks_bytes{{{STACK}}})", "blocks"),
                Query(f"sum(prometheus_tsdb_wal_storage_size_bytes{{{STACK}}})", "log of changes"),
                Query(f"sum(prometheus_tsdb_head_chunks_storage_size_bytes{{{STACK}}})", "newest data"),
            ],
            "What Prometheus needs of its disk.",
            BYTES,
            stacked=True,
        ),
        chart(
            "Storage failures",
            [
                Query(
                    " + ".join(f"sum(increase(prometheus_tsdb_{name}_total{{{STACK}}}[1h]))" for name in names),
                    legend,
                )
                for legend, names in failures.items()
            ],
            "Compactions and writes that failed, and data found broken, in an hour.",
            SHORT,
            Limits(critical=1),
        ),
    ]


def _remote_write(ctx: DashboardContext) -> list[Panel]:
    return [
        chart(
            "Remote write",
            [
                Query(
                    f"sum by (remote_name) (rate(prometheus_remote_storage_samples_total{{{STACK}}}[5m]))",
                    "{{remote_name}}",
                ),
                Query(
                    f"sum by (remote_name) (rate(prometheus_remote_storage_samples_failed_total{{{STACK}}}[5m]))",
                    "{{remote_name}} refused",
                ),
                Query(
                    f"sum by (remote_name) (rate(prometheus_remote_storage_samples_retried_total{{{STACK}}}[5m]))",
                    "{{remote_name}} again",
                ),
            ],
            "Samples a second that go to the stores for the long term.",
            OPERATIONS,
        ),
        chart(
            "Remote write delay",
            Query(
                f"max_over_time(prometheus_remote_storage_highest_timestamp_in_seconds{{{STACK}}}[5m])"
                " - ignoring (remote_name, url) group_right () "
                f"max_over_time(prometheus_remote_storage_queue_highest_sent_timestamp_seconds{{{STACK}}}[5m])",
                "{{remote_name}}",
            ),
            "How far the stores for the long term are behind.",
            SECONDS,
            Limits(warning=ctx.limit("RemoteWriteBehind")),
        ),
    ]


def _notifications(ctx: DashboardContext) -> list[Panel]:
    latency = f"alertmanager_notification_latency_seconds_bucket{{{STACK}}}"
    return [
        chart(
            "Alerts to Alertmanager",
            [
                Query(f"sum(rate(prometheus_notifications_sent_total{{{STACK}}}[5m]))", "sent"),
                Query(f"sum(rate(prometheus_notifications_dropped_total{{{STACK}}}[5m]))", "lost"),
                Query(f"sum(prometheus_notifications_queue_length{{{STACK}}})", "waiting"),
                Query(f"sum(prometheus_notifications_alertmanagers_discovered{{{STACK}}})", "Alertmanagers"),
            ],
            "Alerts a second that Prometheus sends, those that were lost, and how many wait.",
            SHORT,
        ),
        chart(
            "Notifications",
            [
                # Without receivers Alertmanager counts nothing at all.
                Query(f"sum(rate(alertmanager_notifications_total{{{STACK}}}[15m])) or vector(0)", "sent"),
                Query(f"sum(rate(alertmanager_notifications_failed_total{{{STACK}}}[15m])) or vector(0)", "failed"),
            ],
            "Notifications a second that Alertmanager sends to people, over 15 minutes.",
            OPERATIONS,
        ),
        chart(
            "Notification time",
            # Without a notification the quantile is no number.
            Query(
                f"(histogram_quantile(0.9, sum by (le) (rate({latency}[30m]))) >= 0) or vector(0)",
                "slowest tenth",
            ),
            "90 % of the notifications are accepted faster than this; 0 where there were none in 30 minutes.",
            SECONDS,
            Limits(warning=ctx.limit("NotificationsSlow")),
        ),
    ]


def _logs(ctx: DashboardContext) -> list[Panel]:
    return [
        chart(
            "Log lines stored",
            [
                Query(f"sum(rate(otelcol_receiver_accepted_log_records{{{STACK}}}[5m]))", "read by the collector"),
                Query(TAKEN_IN[ctx.log_store], f"received by {NAMES[ctx.log_store]}"),
            ],
            "Log lines a second.",
            OPERATIONS,
        ),
        chart(
            "Collector queue",
            [
                Query(f"sum by (exporter) (otelcol_exporter_queue_size{{{STACK}}})", "{{exporter}} waiting"),
                Query(f"sum by (exporter) (otelcol_exporter_queue_capacity{{{STACK}}})", "{{exporter}} room"),
            ],
            "Log lines that wait to be stored, and the room there is for them: what is more stays in Docker's files.",
            BYTES,
        ),
    ]


def _grafana(ctx: DashboardContext) -> list[Panel]:
    return [
        chart(
            "Grafana requests",
            Query(
                f"sum by (status_code) (rate(grafana_http_request_duration_seconds_count{{{STACK}}}[5m]))",
                "{{status_code}}",
            ),
            "Requests a second to Grafana, by status.",
            PER_SECOND,
            stacked=True,
        ),
        chart(
            "Grafana response time",
            Query(
                "histogram_quantile(0.95, sum by (le)"
                f" (rate(grafana_http_request_duration_seconds_bucket{{{STACK}}}[10m])))",
                "p95",
            ),
            "95 % of the requests to Grafana are faster than this.",
            SECONDS,
            Limits(warning=ctx.limit("GrafanaSlow")),
        ),
        chart(
            "Grafana queries",
            Query(
                "sum by (plugin_id, status)"
                f' (rate(grafana_plugin_request_total{{{STACK}, endpoint="queryData"}}[10m]))',
                "{{plugin_id}} {{status}}",
            ),
            "Queries a second that Grafana asks its data sources, by result.",
            OPERATIONS,
        ),
        chart(
            "Grafana log-ins",
            Query(f"sum(increase(grafana_authn_authn_failed_login_total{{{STACK}}}[15m])) or vector(0)", "failed"),
            "Log-ins by the form that failed, in 15 minutes.",
            SHORT,
            Limits(warning=ctx.limit("GrafanaLoginsFailing")),
        ),
    ]


def _cost() -> list[Panel]:
    return [
        chart(
            "CPU of monitoring",
            Query(f'sum by (service) (container:cpu_usage_cores:rate5m{{{STACK}, service=~"{PARTS}"}})', "{{service}}"),
            "Cores that the containers of the monitoring use.",
            CORES,
            stacked=True,
        ),
        chart(
            "Memory of monitoring",
            Query(
                f'sum by (service) (container:memory_working_set_bytes:sum{{{STACK}, service=~"{PARTS}"}})',
                "{{service}}",
            ),
            "Working set of the containers of the monitoring.",
            BYTES,
            stacked=True,
        ),
    ]
