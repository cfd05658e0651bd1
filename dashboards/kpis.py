"""Application KPIs: the figures of the product's own business, each as a number and in its course."""

from __future__ import annotations

from grafana_foundation_sdk.models.dashboard import Dashboard

from dashboards.board import Board
from dashboards.panels import Query, chart, number
from dashboards.shown import Figure, Shown

IN_A_ROW = 3


def kpis(shown: Shown) -> Dashboard | None:
    """Make the board of the product file's `kpis`; none where it has none.

    The numbers come first, as on a phone they stand one below the other; each query is what the product file says.
    """
    if not shown.figures:
        return None
    board = Board(shown, "kpis", "Application KPIs", "what does it achieve?")
    rows = [shown.figures[start : start + IN_A_ROW] for start in range(0, len(shown.figures), IN_A_ROW)]
    for row in rows:
        board.row(4, [number(one.title, one.query, _said(one), one.unit) for one in row])
    for row in rows:
        board.row(
            8,
            [chart(f"{one.title}, over time", Query(one.query, one.title), _said(one), one.unit) for one in row],
        )
    return board.build()


def _said(one: Figure) -> str:
    return f"{one.title}: a figure of the product's own, from its product file."
