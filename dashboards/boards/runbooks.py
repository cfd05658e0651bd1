"""The runbooks as a dashboard: one panel for each alert, which the alert links to."""

from __future__ import annotations

from dashboards import panels as p
from dashboards.board import Board
from dashboards.context import DashboardContext

UID = "dockyard-runbooks"
PAGES_IN_A_ROW = 2


def runbooks(ctx: DashboardContext) -> Board | None:
    """Build the board of the runbooks; None where alerts link to runbooks elsewhere."""
    if not ctx.runbooks:
        return None
    board = Board(ctx, "runbooks", "Runbooks", "what to do when an alert fires")
    pages = [p.text_panel(alert, text.split("\n", 1)[1].strip()) for alert, text in ctx.runbooks.items()]
    board.grid(16, PAGES_IN_A_ROW, pages)
    return board
