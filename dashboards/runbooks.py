"""The runbooks, to be read wherever the dashboards can be: a page for each alert, which the alert links to."""

from __future__ import annotations

from grafana_foundation_sdk.models.dashboard import Dashboard

from dashboards.board import Board
from dashboards.panels import page
from dashboards.shown import Shown

UID = "dockyard-runbooks"
PAGES_IN_A_ROW = 2


def runbooks(shown: Shown) -> Dashboard | None:
    """Make the board of runbooks; none where the stack links them elsewhere."""
    if not shown.runbooks:
        return None
    board = Board(shown, "runbooks", "Runbooks", "what to do when an alert fires")
    pages = [page(alert, text.split("\n", 1)[1].strip()) for alert, text in shown.runbooks.items()]
    for start in range(0, len(pages), PAGES_IN_A_ROW):
        board.row(16, pages[start : start + PAGES_IN_A_ROW])
    return board.build()
