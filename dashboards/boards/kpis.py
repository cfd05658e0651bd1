"""Application KPIs: those of the product file, each as a current value and over time."""

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
    stats = [p.stat(kpi.title, kpi.query, _description(kpi), kpi.unit) for kpi in ctx.kpis]
    charts = [
        p.chart(f"{kpi.title}, over time", {kpi.title: kpi.query}, _description(kpi), kpi.unit) for kpi in ctx.kpis
    ]
    board.grid(4, IN_A_ROW, stats)
    board.grid(8, IN_A_ROW, charts)
    return board


def _description(kpi: ProductKpi) -> str:
    return f"{kpi.title}: a figure of the product's own, from its product file."
