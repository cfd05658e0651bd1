"""SLO: the objectives of each service, the remaining error budget, and the burn rates."""

from __future__ import annotations

from dashboards import panels as p
from dashboards.board import Board
from dashboards.context import DashboardContext

ON_OBJECTIVE = "on (product, environment, job, slo)"
OBJECTIVE_LEGEND = "{{job}} {{slo}}"
ALLOWED = f"(1 - slo:objective:ratio{p.STACK})"
"""Share of the requests that may be bad."""
BUDGET_LEFT = f"slo:error_budget_remaining:ratio30d{p.STACK}"
RECORDED_EACH_SECONDS = 60
"""Interval at which rules/slo.yml records the rates that are summed here."""


def slo(ctx: DashboardContext) -> Board | None:
    """Build the board of the objectives; None where no service has any."""
    if not ctx.objectives:
        return None
    board = Board(ctx, "slo", "SLO and error budget", "is what was promised kept?")
    by = "by (job, slo)"
    burn_limits = p.Thresholds(warning=1, critical=ctx.limit("SLOBurnRateFast"))
    board.row(
        6,
        p.table(
            "Objectives",
            [
                p.Column("Promised", f"max {by} (slo:objective:ratio{p.STACK})", p.RATIO),
                p.Column("Kept in 30 days", f"min {by} (1 - slo:requests_bad:ratio_rate30d{p.STACK})", p.RATIO),
                p.Column("Budget left", f"min {by} ({BUDGET_LEFT})", p.RATIO, _budget_limits(ctx)),
                p.Column("Burn rate", f"max {by} (slo:burn_rate:rate1h{p.STACK})", thresholds=burn_limits),
            ],
            "Availability: requests that do not end in a 5xx. Latency: requests that are answered within the threshold."
            " A burn rate of 1 uses up the budget in exactly 30 days.",
            {"job": "Service", "slo": "Objective"},
        ),
    )
    bad_requests = f"sum_over_time(slo:requests_bad:rate5m{p.STACK}[30d]) * {RECORDED_EACH_SECONDS}"
    all_requests = f"sum_over_time(slo:requests:rate5m{p.STACK}[30d]) * {RECORDED_EACH_SECONDS}"
    allowed = f"{ALLOWED} * {ON_OBJECTIVE} {all_requests}"
    board.row(
        5,
        p.stat(
            "Error budget left",
            {OBJECTIVE_LEGEND: BUDGET_LEFT},
            "Share of the bad requests that 30 days allow and that have not happened. Below 0 the objective is missed.",
            p.RATIO,
            _budget_limits(ctx),
        ),
        p.stat(
            "Requests that may still fail",
            {OBJECTIVE_LEGEND: f"{allowed} - {ON_OBJECTIVE} {bad_requests}"},
            "What is left of the budget in requests, at the traffic of the last 30 days.",
            thresholds=p.Thresholds(critical=0, falling=True),
        ),
    )
    _burn_rates(board, ctx)
    _requests(board)
    return board


def _burn_rates(board: Board, ctx: DashboardContext) -> None:
    def burn(title: str, windows: tuple[str, ...], description: str, thresholds: p.Thresholds) -> p.Panel:
        return p.chart(
            title,
            {f"{OBJECTIVE_LEGEND} {window}": burn_rate(window) for window in windows},
            description,
            thresholds=thresholds,
        )

    board.row(
        8,
        burn(
            "Burn rate",
            ("5m", "1h", "30m", "6h"),
            "How many times faster than in 30 days the budget goes. Alerts: 1h and 5m above the upper line, 6h and 30m "
            "above the lower one.",
            ctx.limits(warning="SLOBurnRateMedium", critical="SLOBurnRateFast"),
        ),
        burn(
            "Burn rate over days",
            ("2h", "1d", "6h", "3d"),
            "The slow leaks. Alerts: 1d and 2h above the upper line, 3d and 6h above the lower one.",
            ctx.limits(warning="SLOBurnRateTrickle", critical="SLOBurnRateSlow"),
        ),
    )
    board.row(
        8,
        p.chart(
            "Error budget over time",
            # The axis starts at 0: a negative budget is drawn as 0.
            {OBJECTIVE_LEGEND: f"clamp_min({BUDGET_LEFT}, 0)"},
            "Share of the budget of 30 days that is left. It comes back as bad days fall out of the 30.",
            p.RATIO,
            _budget_limits(ctx),
        ),
        p.chart(
            "Share of bad requests",
            {
                f"{OBJECTIVE_LEGEND} 5m": f"slo:requests_bad:ratio_rate5m{p.STACK}",
                f"{OBJECTIVE_LEGEND} 1h": f"slo:requests_bad:ratio_rate1h{p.STACK}",
            },
            "Share of the requests that do not count as good, over 5 minutes and an hour.",
            p.RATIO,
        ),
    )


def _requests(board: Board) -> None:
    board.section("What it is measured by")
    board.row(
        7,
        p.chart(
            "Requests measured",
            {OBJECTIVE_LEGEND: f"slo:requests:rate5m{p.STACK}"},
            "Requests a second that the objectives are measured against. An objective without a line is not measured.",
            p.PER_SECOND,
        ),
        p.chart(
            "Bad requests",
            {OBJECTIVE_LEGEND: f"slo:requests_bad:rate5m{p.STACK}"},
            "Requests a second that use up budget.",
            p.PER_SECOND,
        ),
    )


def burn_rate(window: str) -> str:
    """Return the query of the burn rate: the rate of bad requests over `window`, as a multiple of the allowed rate."""
    return f"slo:requests_bad:ratio_rate{window}{p.STACK} / {ON_OBJECTIVE} {ALLOWED}"


def _budget_limits(ctx: DashboardContext) -> p.Thresholds:
    return ctx.limits("SLOErrorBudgetLow", "SLOErrorBudgetSpent", falling=True)
