"""Monitoring itself: what it gathers, judges, keeps and passes on, and what it costs."""

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
    F,
    Limits,
    Panel,
    Query,
    chart,
    lamp,
    number,
)
from dashboards.shown import Shown

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


def monitoring(shown: Shown) -> Dashboard:
    """Make the board of the monitoring itself."""
    board = Board(shown, "monitoring", "Monitoring itself", "does what watches do its work, and at what cost?")
    board.row(4, _lamps(shown))
    board.section("Scrapes")
    board.row(7, _scrapes(shown))
    board.section("Rules and queries")
    board.row(7, _rules(shown))
    board.section("Storage")
    board.row(7, _storage(shown))
    if shown.remote_write:
        board.row(7, _remote_write(shown))
    board.section("From alert to notification")
    board.row(7, _notifications(shown))
    if shown.logs_uid:
        board.section("Logs")
        board.row(7, _logs(shown))
    board.section("Grafana")
    board.row(7, _grafana(shown))
    board.section("What it costs")
    board.row(7, _cost())
    return board.build()


def _lamps(shown: Shown) -> list[Panel]:
    return [
        lamp(
            "Watchdog",
            f'count(ALERTS{{{F}, alertname="Watchdog", alertstate="firing"}}) or vector(0)',
            "The alert that always fires: rules are evaluated.",
        ),
        lamp(
            "Configuration loaded",
            f"min(prometheus_config_last_reload_successful{{{F}}} "
            f"or alertmanager_config_last_reload_successful{{{F}}})",
            "Prometheus and Alertmanager took their last configuration; else they go on with the one before.",
        ),
        number(
            "Oldest rule evaluation",
            f"max((time() - (prometheus_rule_group_last_evaluation_timestamp_seconds{{{F}}} > 0))"
            f" / prometheus_rule_group_interval_seconds{{{F}}})",
            "How many of its intervals ago the group of rules was evaluated that waits longest.",
            SHORT,
            Limits(critical=shown.limit("RulesStandStill")),
        ),
        number(
            "Targets that answer",
            f"avg(up{{{F}}})",
            "Share of the scrape targets that give their metrics.",
            RATIO,
            Limits(critical=1, falling=True),
        ),
    ]


def _scrapes(shown: Shown) -> list[Panel]:
    return [
        chart(
            "Scrape duration",
            Query(f"max by (job) (scrape_duration_seconds{{{F}}})", "{{job}}"),
            "How long the slowest instance of each job takes to give its metrics; after 10 s it counts as down.",
            SECONDS,
            Limits(warning=shown.limit("ScrapeSlow")),
        ),
        chart(
            "Samples a scrape",
            Query(f"max by (job) (scrape_samples_post_metric_relabeling{{{F}}})", "{{job}}"),
            "Series of the largest instance of each job.",
            SHORT,
            Limits(warning=shown.limit("ScrapeSamplesHigh")),
        ),
        chart(
            "Samples refused",
            [
                Query(
                    f"sum(increase(prometheus_target_scrapes_sample_duplicate_timestamp_total{{{F}}}[10m]))", "doubled"
                ),
                Query(f"sum(increase(prometheus_target_scrapes_sample_out_of_order_total{{{F}}}[10m]))", "too old"),
                Query(
                    f"sum(increase(prometheus_target_scrapes_sample_out_of_bounds_total{{{F}}}[10m]))", "too far ahead"
                ),
            ],
            "Samples of 10 minutes that were thrown away.",
            SHORT,
            Limits(warning=1),
        ),
    ]


def _rules(shown: Shown) -> list[Panel]:
    group = '"group", "$1", "rule_group", ".*/(.+)"'
    return [
        chart(
            "Rule evaluation time",
            Query(
                f"topk(5, label_replace(prometheus_rule_group_last_duration_seconds{{{F}}}"
                f" / prometheus_rule_group_interval_seconds{{{F}}}, {group}))",
                "{{group}}",
            ),
            "Share of their interval that the five slowest groups need for one evaluation.",
            RATIO,
            Limits(warning=shown.limit("PrometheusRulesSlow")),
        ),
        chart(
            "Rule failures",
            [
                Query(f"sum(increase(prometheus_rule_evaluation_failures_total{{{F}}}[5m]))", "failed"),
                Query(f"sum(increase(prometheus_rule_group_iterations_missed_total{{{F}}}[5m]))", "left out"),
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
                f'{{{F}, handler=~"/api/v1/query(_range)?"}}[10m]))) >= 0) or vector(0)',
                "slowest tenth",
            ),
            "90 % of the queries by people and Grafana are faster than this; 0 where nobody asks. Rules do not count.",
            SECONDS,
            Limits(warning=shown.limit("PrometheusQueriesSlow")),
        ),
    ]


def _storage(shown: Shown) -> list[Panel]:
    failures = {
        "compaction": ("compactions_failed", "reloads_failures", "head_truncations_failed"),
        "log of changes": ("wal_writes_failed", "wal_truncations_failed", "checkpoint_creations_failed"),
        "broken data": ("wal_corruptions", "mmap_chunk_corruptions"),
    }
    return [
        chart(
            "Series in memory",
            [
                Query(f"sum(prometheus_tsdb_head_series{{{F}}})", "series"),
                Query(f"sum(rate(prometheus_tsdb_head_samples_appended_total{{{F}}}[5m]))", "samples a second"),
            ],
            "Series of the last two hours, and the samples a second that are stored for them.",
            SHORT,
            Limits(warning=shown.limit("PrometheusSeriesTooMany")),
        ),
        chart(
            "Storage",
            [
                Query(f"sum(prometheus_tsdb_storage_blocks_bytes{{{F}}})", "blocks"),
                Query(f"sum(prometheus_tsdb_wal_storage_size_bytes{{{F}}})", "log of changes"),
                Query(f"sum(prometheus_tsdb_head_chunks_storage_size_bytes{{{F}}})", "newest data"),
            ],
            "What Prometheus needs of its disk.",
            BYTES,
            stacked=True,
        ),
        chart(
            "Storage failures",
            [
                Query(
                    " + ".join(f"sum(increase(prometheus_tsdb_{name}_total{{{F}}}[1h]))" for name in names),
                    legend,
                )
                for legend, names in failures.items()
            ],
            "Compactions and writes that failed, and data found broken, in an hour.",
            SHORT,
            Limits(critical=1),
        ),
    ]


def _remote_write(shown: Shown) -> list[Panel]:
    return [
        chart(
            "Remote write",
            [
                Query(
                    f"sum by (remote_name) (rate(prometheus_remote_storage_samples_total{{{F}}}[5m]))",
                    "{{remote_name}}",
                ),
                Query(
                    f"sum by (remote_name) (rate(prometheus_remote_storage_samples_failed_total{{{F}}}[5m]))",
                    "{{remote_name}} refused",
                ),
                Query(
                    f"sum by (remote_name) (rate(prometheus_remote_storage_samples_retried_total{{{F}}}[5m]))",
                    "{{remote_name}} again",
                ),
            ],
            "Samples a second that go to the stores for the long term.",
            OPERATIONS,
        ),
        chart(
            "Remote write delay",
            Query(
                f"max_over_time(prometheus_remote_storage_highest_timestamp_in_seconds{{{F}}}[5m])"
                " - ignoring (remote_name, url) group_right () "
                f"max_over_time(prometheus_remote_storage_queue_highest_sent_timestamp_seconds{{{F}}}[5m])",
                "{{remote_name}}",
            ),
            "How far the stores for the long term are behind.",
            SECONDS,
            Limits(warning=shown.limit("RemoteWriteBehind")),
        ),
    ]


def _notifications(shown: Shown) -> list[Panel]:
    latency = f"alertmanager_notification_latency_seconds_bucket{{{F}}}"
    return [
        chart(
            "Alerts to Alertmanager",
            [
                Query(f"sum(rate(prometheus_notifications_sent_total{{{F}}}[5m]))", "sent"),
                Query(f"sum(rate(prometheus_notifications_dropped_total{{{F}}}[5m]))", "lost"),
                Query(f"sum(prometheus_notifications_queue_length{{{F}}})", "waiting"),
                Query(f"sum(prometheus_notifications_alertmanagers_discovered{{{F}}})", "Alertmanagers"),
            ],
            "Alerts a second that Prometheus sends, those that were lost, and how many wait.",
            SHORT,
        ),
        chart(
            "Notifications",
            [
                # Without receivers Alertmanager counts nothing at all.
                Query(f"sum(rate(alertmanager_notifications_total{{{F}}}[15m])) or vector(0)", "sent"),
                Query(f"sum(rate(alertmanager_notifications_failed_total{{{F}}}[15m])) or vector(0)", "failed"),
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
            Limits(warning=shown.limit("NotificationsSlow")),
        ),
    ]


def _logs(shown: Shown) -> list[Panel]:
    return [
        chart(
            "Log lines stored",
            [
                Query(f"sum(rate(otelcol_receiver_accepted_log_records{{{F}}}[5m]))", "read by the collector"),
                Query(TAKEN_IN[shown.log_store], f"received by {NAMES[shown.log_store]}"),
            ],
            "Log lines a second.",
            OPERATIONS,
        ),
        chart(
            "Collector queue",
            [
                Query(f"sum by (exporter) (otelcol_exporter_queue_size{{{F}}})", "{{exporter}} waiting"),
                Query(f"sum by (exporter) (otelcol_exporter_queue_capacity{{{F}}})", "{{exporter}} room"),
            ],
            "Log lines that wait to be stored, and the room there is for them: what is more stays in Docker's files.",
            BYTES,
        ),
    ]


def _grafana(shown: Shown) -> list[Panel]:
    return [
        chart(
            "Grafana requests",
            Query(
                f"sum by (status_code) (rate(grafana_http_request_duration_seconds_count{{{F}}}[5m]))",
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
                f" (rate(grafana_http_request_duration_seconds_bucket{{{F}}}[10m])))",
                "p95",
            ),
            "95 % of the requests to Grafana are faster than this.",
            SECONDS,
            Limits(warning=shown.limit("GrafanaSlow")),
        ),
        chart(
            "Grafana queries",
            Query(
                f'sum by (plugin_id, status) (rate(grafana_plugin_request_total{{{F}, endpoint="queryData"}}[10m]))',
                "{{plugin_id}} {{status}}",
            ),
            "Queries a second that Grafana asks its data sources, by result.",
            OPERATIONS,
        ),
        chart(
            "Grafana log-ins",
            Query(f"sum(increase(grafana_authn_authn_failed_login_total{{{F}}}[15m])) or vector(0)", "failed"),
            "Log-ins by the form that failed, in 15 minutes.",
            SHORT,
            Limits(warning=shown.limit("GrafanaLoginsFailing")),
        ),
    ]


def _cost() -> list[Panel]:
    return [
        chart(
            "CPU of monitoring",
            Query(f'sum by (service) (container:cpu_usage_cores:rate5m{{{F}, service=~"{PARTS}"}})', "{{service}}"),
            "Cores that the containers of the monitoring use.",
            CORES,
            stacked=True,
        ),
        chart(
            "Memory of monitoring",
            Query(
                f'sum by (service) (container:memory_working_set_bytes:sum{{{F}, service=~"{PARTS}"}})', "{{service}}"
            ),
            "Working set of the containers of the monitoring.",
            BYTES,
            stacked=True,
        ),
    ]
