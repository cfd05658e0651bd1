"""Alerts: firing now, fired recently, and the notifications sent for them."""

from __future__ import annotations

from dashboards import panels as p
from dashboards.board import Board
from dashboards.context import DashboardContext

WEEK = "[7d:5m]"
"""Subquery range of 7 days; a resolution of 5 minutes is enough for durations of hours."""

FIRING = f'ALERTS{{{p.STACK_LABELS}, alertstate="firing"}}'
NO_NOTIFICATIONS = f"vector(0) unless on() increase(alertmanager_notifications_total{p.STACK}[1h])"
"""0 where no notification is counted: Alertmanager without receivers exposes no such series."""

BY_RECEIVER = "sum by (receiver_name)"


def alerts(ctx: DashboardContext) -> Board:
    """Build the board of the alerts."""
    board = Board(ctx, "alerts", "Alerts", "what fires, what fired, and who was told?")

    def firing(severity: str, colour: p.Thresholds) -> p.Panel:
        return p.stat(
            f"Firing: {severity}",
            f'count(ALERTS{{{p.STACK_LABELS}, alertstate="firing", severity="{severity}"}}) or vector(0)',
            f"Alerts of severity {severity} that fire now.",
            thresholds=colour,
        )

    board.row(
        4,
        firing("critical", p.CRITICAL_FROM_1),
        firing("warning", p.WARNING_FROM_1),
        p.stat(
            "Silenced or inhibited",
            f'sum(alertmanager_alerts{{{p.STACK_LABELS}, state="suppressed"}})',
            "Alerts that fire and that nobody is told of: silenced by a person, or following from another alert.",
            thresholds=p.WARNING_FROM_1,
        ),
        p.stat(
            "Silences",
            f'sum(alertmanager_silences{{{p.STACK_LABELS}, state="active"}})',
            "Silences that hold now; one that is forgotten hides the next trouble.",
            thresholds=p.WARNING_FROM_1,
        ),
        p.stat(
            "Receivers",
            f"sum(alertmanager_integrations{p.STACK})",
            "Ways by which Alertmanager tells people.",
            thresholds=p.Thresholds(warning=1, falling=True),
        ),
    )
    total = "sum by (alertname, severity)"
    board.row(
        9,
        p.table(
            "Firing now",
            [p.Column("Series", f"count by (alertname, severity, scope, job, instance) ({FIRING})")],
            "Every alert that fires, the Watchdog among them. Each has a page in the runbooks.",
            {"severity": "Severity", "alertname": "Alert", "scope": "Of", "job": "Job", "instance": "Instance"},
        ),
        p.table(
            "Longest in 7 days",
            [p.Column("Time", f"topk(15, {total} (sum_over_time({FIRING}{WEEK})) * 300)", p.SECONDS)],
            "For how long each alert fired in the last 7 days, all its series taken together.",
            {"alertname": "Alert", "severity": "Severity"},
        ),
    )
    _history(board)
    return board


def _history(board: Board) -> None:
    board.row(
        7,
        p.chart(
            "Firing by severity",
            {"{{severity}}": f"count by (severity) ({FIRING})"},
            "Alerts that fire; the one for information that is always there is the Watchdog.",
            stacked=True,
        ),
        p.chart(
            "Pending",
            {"pending": f'count(ALERTS{{{p.STACK_LABELS}, alertstate="pending"}}) or vector(0)'},
            "Alerts whose condition holds, but not yet for long enough.",
        ),
        p.chart(
            "Firing by alert",
            {"{{alertname}}": f"count by (alertname) ({FIRING})"},
            "Which alerts fired when.",
            stacked=True,
        ),
    )
    board.row(
        7,
        p.chart(
            "Alerts received",
            {
                "{{status}}": f"sum by (status) (rate(alertmanager_alerts_received_total{p.STACK}[5m]))",
                "refused": f"sum(rate(alertmanager_alerts_invalid_total{p.STACK}[5m]))",
            },
            "Alerts a second that Alertmanager hears of; the Watchdog alone is one a minute.",
            p.OPERATIONS,
        ),
        p.chart(
            "Notifications sent",
            {
                "{{receiver_name}}": f"{BY_RECEIVER} (increase(alertmanager_notifications_total{p.STACK}[1h]))",
                "nobody is told": NO_NOTIFICATIONS,
            },
            "Notifications in an hour, by the way they went.",
        ),
        p.chart(
            "Notifications failed",
            {
                "{{receiver_name}}": f"{BY_RECEIVER} (increase(alertmanager_notifications_failed_total{p.STACK}[15m]))",
                "single attempts": f"sum(increase(alertmanager_notification_requests_failed_total{p.STACK}[15m]))",
                "nobody is told": NO_NOTIFICATIONS,
            },
            "Notifications that reached nobody after all attempts, and attempts that failed, in 15 minutes.",
            thresholds=p.CRITICAL_FROM_1,
        ),
    )
