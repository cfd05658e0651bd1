"""Application KPIs: the product's own figures, each as a current value and over time."""

from __future__ import annotations

from dashboards import panels as p
from dashboards.board import Board
from dashboards.context import DashboardContext, ProductKpi

IN_A_ROW = 3


def kpis(ctx: DashboardContext) -> Board | None:
    """Build the board of the product file's `kpis`; None where it has none.

    The stats come first, since a phone shows the panels in one column. Queries are taken from the product file.
    """
    if not ctx.kpis:
        return None
    board = Board(ctx, "kpis", "Application KPIs", "what does it achieve?")
    rows = [ctx.kpis[start : start + IN_A_ROW] for start in range(0, len(ctx.kpis), IN_A_ROW)]
    for row in rows:
        board.row(4, *[p.stat(figure.title, figure.query, _description(figure), figure.unit) for figure in row])
    for row in rows:
        board.row(
            8,
            *[
                p.chart(f"{figure.title}, over time", {figure.title: figure.query}, _description(figure), figure.unit)
                for figure in row
            ],
        )
    return board


def _description(figure: ProductKpi) -> str:
    return f"{figure.title}: a figure of the product's own, from its product file."
