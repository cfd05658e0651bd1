"""Alerts: firing now, fired recently, and the notifications sent for them."""

from __future__ import annotations

from grafana_foundation_sdk.models.dashboard import Dashboard

from dashboards.board import Board
from dashboards.panels import OPERATIONS, SECONDS, SHORT, STACK, Limits, Panel, Query, chart, stat, table
from dashboards.shown import DashboardContext

WEEK = "[7d:5m]"
"""Subquery range of 7 days; a resolution of 5 minutes is enough for durations of hours."""


def alerts(ctx: DashboardContext) -> Dashboard:
    """Build the board of the alerts."""
    board = Board(ctx, "alerts", "Alerts", "what fires, what fired, and who was told?")
    board.row(4, _stats())
    firing = f'ALERTS{{{STACK}, alertstate="firing"}}'
    board.row(
        9,
        [
            table(
                "Firing now",
                {"Series": f"count by (alertname, severity, scope, job, instance) ({firing})"},
                "Every alert that fires, the Watchdog among them. Each has a page in the runbooks.",
                {"severity": "Severity", "alertname": "Alert", "scope": "Of", "job": "Job", "instance": "Instance"},
                {"Series": SHORT},
            ),
            table(
                "Longest in 7 days",
                {"Time": f"topk(15, sum by (alertname, severity) (sum_over_time({firing}{WEEK})) * 300)"},
                "For how long each alert fired in the last 7 days, all its series taken together.",
                {"alertname": "Alert", "severity": "Severity"},
                {"Time": SECONDS},
            ),
        ],
    )
    board.row(
        7,
        [
            chart(
                "Firing by severity",
                Query(f"count by (severity) ({firing})", "{{severity}}"),
                "Alerts that fire; the one for information that is always there is the Watchdog.",
                SHORT,
                stacked=True,
            ),
            chart(
                "Pending",
                Query(f'count(ALERTS{{{STACK}, alertstate="pending"}}) or vector(0)', "pending"),
                "Alerts whose condition holds, but not yet for long enough.",
                SHORT,
            ),
            chart(
                "Firing by alert",
                Query(f"count by (alertname) ({firing})", "{{alertname}}"),
                "Which alerts fired when.",
                SHORT,
                stacked=True,
            ),
        ],
    )
    board.row(7, _delivery())
    return board.build()


def _stats() -> list[Panel]:
    def firing(severity: str, colour: Limits) -> Panel:
        return stat(
            f"Firing: {severity}",
            f'count(ALERTS{{{STACK}, alertstate="firing", severity="{severity}"}}) or vector(0)',
            f"Alerts of severity {severity} that fire now.",
            limits=colour,
        )

    return [
        firing("critical", Limits(critical=1)),
        firing("warning", Limits(warning=1)),
        stat(
            "Silenced or inhibited",
            f'sum(alertmanager_alerts{{{STACK}, state="suppressed"}})',
            "Alerts that fire and that nobody is told of: silenced by a person, or following from another alert.",
            limits=Limits(warning=1),
        ),
        stat(
            "Silences",
            f'sum(alertmanager_silences{{{STACK}, state="active"}})',
            "Silences that hold now; one that is forgotten hides the next trouble.",
            limits=Limits(warning=1),
        ),
        stat(
            "Receivers",
            f"sum(alertmanager_integrations{{{STACK}}})",
            "Ways by which Alertmanager tells people.",
            limits=Limits(warning=1, falling=True),
        ),
    ]


NO_NOTIFICATIONS = f"vector(0) unless on() increase(alertmanager_notifications_total{{{STACK}}}[1h])"
"""0 where no notification is counted: Alertmanager without receivers exposes no such series."""


def _delivery() -> list[Panel]:
    return [
        chart(
            "Alerts received",
            [
                Query(f"sum by (status) (rate(alertmanager_alerts_received_total{{{STACK}}}[5m]))", "{{status}}"),
                Query(f"sum(rate(alertmanager_alerts_invalid_total{{{STACK}}}[5m]))", "refused"),
            ],
            "Alerts a second that Alertmanager hears of; the Watchdog alone is one a minute.",
            OPERATIONS,
        ),
        chart(
            "Notifications sent",
            [
                Query(
                    f"sum by (receiver_name) (increase(alertmanager_notifications_total{{{STACK}}}[1h]))",
                    "{{receiver_name}}",
                ),
                Query(NO_NOTIFICATIONS, "nobody is told"),
            ],
            "Notifications in an hour, by the way they went.",
            SHORT,
        ),
        chart(
            "Notifications failed",
            [
                Query(
                    f"sum by (receiver_name) (increase(alertmanager_notifications_failed_total{{{STACK}}}[15m]))",
                    "{{receiver_name}}",
                ),
                Query(
                    f"sum(increase(alertmanager_notification_requests_failed_total{{{STACK}}}[15m]))", "single attempts"
                ),
                Query(NO_NOTIFICATIONS, "nobody is told"),
            ],
            "Notifications that reached nobody after all attempts, and attempts that failed, in 15 minutes.",
            SHORT,
            Limits(critical=1),
        ),
    ]
