"""SLO: what was promised of each service, how much of the error budget is left, and how fast it goes."""

from __future__ import annotations

from grafana_foundation_sdk.models.dashboard import Dashboard

from dashboards.board import Board
from dashboards.panels import PER_SECOND, RATIO, SHORT, F, Limits, Panel, Query, chart, number, rows_of
from dashboards.shown import Shown

ON = "on (product, environment, job, slo)"
EACH = "{{job}} {{slo}}"
RECORDED_EACH_SECONDS = 60
"""How often rules/slo.yml records the rates that are summed here."""


def slo(shown: Shown) -> Dashboard | None:
    """Make the board of the objectives; none where no service has any."""
    if not shown.objectives:
        return None
    board = Board(shown, "slo", "SLO and error budget", "is what was promised kept?")
    board.row(6, [_objectives(shown)])
    board.row(5, _left(shown))
    board.row(8, _burning(shown))
    board.row(8, _budget(shown))
    board.section("What it is measured by")
    board.row(7, _measured())
    return board.build()


def burn_rate(window: str) -> str:
    """Return the query of how many times the allowed rate of bad requests there were over `window`, such as 1h."""
    return f"slo:requests_bad:ratio_rate{window}{{{F}}} / {ON} (1 - slo:objective:ratio{{{F}}})"


def _objectives(shown: Shown) -> Panel:
    by = "by (job, slo)"
    return rows_of(
        "Objectives",
        {
            "Promised": f"max {by} (slo:objective:ratio{{{F}}})",
            "Kept in 30 days": f"min {by} (1 - slo:requests_bad:ratio_rate30d{{{F}}})",
            "Budget left": f"min {by} (slo:error_budget_remaining:ratio30d{{{F}}})",
            "Burn rate": f"max {by} (slo:burn_rate:rate1h{{{F}}})",
        },
        "Availability: requests that do not end in a 5xx. Latency: requests that are answered within the threshold. "
        "A burn rate of 1 uses up the budget in exactly 30 days.",
        {"job": "Service", "slo": "Objective"},
        {"Promised": RATIO, "Kept in 30 days": RATIO, "Budget left": RATIO, "Burn rate": SHORT},
        {
            "Budget left": _falling(shown),
            "Burn rate": Limits(warning=1, critical=shown.limit("SLOBurnRateFast")),
        },
    )


def _falling(shown: Shown) -> Limits:
    low, spent = shown.limit("SLOErrorBudgetLow"), shown.limit("SLOErrorBudgetSpent")
    return Limits(warning=low, critical=spent, falling=True)


def _left(shown: Shown) -> list[Panel]:
    bad = f"sum_over_time(slo:requests_bad:rate5m{{{F}}}[30d]) * {RECORDED_EACH_SECONDS}"
    every = f"sum_over_time(slo:requests:rate5m{{{F}}}[30d]) * {RECORDED_EACH_SECONDS}"
    return [
        number(
            "Error budget left",
            Query(f"slo:error_budget_remaining:ratio30d{{{F}}}", EACH),
            "Share of the bad requests that 30 days allow and that have not happened. Below 0 the objective is missed.",
            RATIO,
            _falling(shown),
        ),
        number(
            "Requests that may still fail",
            Query(f"(1 - slo:objective:ratio{{{F}}}) * {ON} {every} - {ON} {bad}", EACH),
            "What is left of the budget in requests, at the traffic of the last 30 days.",
            SHORT,
            Limits(critical=0, falling=True),
        ),
    ]


def _burning(shown: Shown) -> list[Panel]:
    def burn(title: str, windows: tuple[str, ...], description: str, limits: Limits) -> Panel:
        return chart(title, [Query(burn_rate(one), f"{EACH} {one}") for one in windows], description, SHORT, limits)

    return [
        burn(
            "Burn rate",
            ("5m", "1h", "30m", "6h"),
            "How many times faster than in 30 days the budget goes. Alerts: 1h and 5m above the upper line, 6h and 30m "
            "above the lower one.",
            Limits(warning=shown.limit("SLOBurnRateMedium"), critical=shown.limit("SLOBurnRateFast")),
        ),
        burn(
            "Burn rate over days",
            ("2h", "1d", "6h", "3d"),
            "The slow leaks. Alerts: 1d and 2h above the upper line, 3d and 6h above the lower one.",
            Limits(warning=shown.limit("SLOBurnRateTrickle"), critical=shown.limit("SLOBurnRateSlow")),
        ),
    ]


def _budget(shown: Shown) -> list[Panel]:
    return [
        chart(
            "Error budget over time",
            # The axis begins at 0: what is below is spent.
            Query(f"clamp_min(slo:error_budget_remaining:ratio30d{{{F}}}, 0)", EACH),
            "Share of the budget of 30 days that is left. It comes back as bad days fall out of the 30.",
            RATIO,
            _falling(shown),
        ),
        chart(
            "Share of bad requests",
            [
                Query(f"slo:requests_bad:ratio_rate5m{{{F}}}", f"{EACH} 5m"),
                Query(f"slo:requests_bad:ratio_rate1h{{{F}}}", f"{EACH} 1h"),
            ],
            "Share of the requests that do not count as good, over 5 minutes and an hour.",
            RATIO,
        ),
    ]


def _measured() -> list[Panel]:
    return [
        chart(
            "Requests measured",
            Query(f"slo:requests:rate5m{{{F}}}", EACH),
            "Requests a second that the objectives are measured against. An objective without a line is not measured.",
            PER_SECOND,
        ),
        chart(
            "Bad requests",
            Query(f"slo:requests_bad:rate5m{{{F}}}", EACH),
            "Requests a second that use up budget.",
            PER_SECOND,
        ),
    ]
