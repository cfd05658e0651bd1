"""The one vocabulary of panels: what a number, a lamp and a chart look like on every dashboard.

Built on the Grafana Foundation SDK, of which only the builders used here are imported (50 ms): the program renders
the dashboards at every preview.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from grafana_foundation_sdk.builders import common as common_builders
from grafana_foundation_sdk.builders import dashboard as dashboard_builders
from grafana_foundation_sdk.builders import prometheus, stat, timeseries
from grafana_foundation_sdk.models import common, dashboard

GRID_WIDTH = 24
"""Columns of Grafana's grid."""

GREEN, YELLOW, RED = "green", "orange", "red"

SHORT = "short"
RATIO = "percentunit"
"""A ratio of 0 to 1, shown as a percentage."""
SECONDS = "s"
BYTES = "bytes"
PER_SECOND = "reqps"
CORES = "none"


@dataclass(frozen=True)
class Query:
    """One PromQL expression and the legend of its series, with `{{label}}` as placeholders."""

    expr: str
    legend: str = ""


@dataclass(frozen=True)
class Limits:
    """Where a value stops being fine; the figures are those of the alert rules. Below `warning` all is well.

    With `falling`, low values are the bad ones, and `warning` is the higher of the two.
    """

    warning: float | None = None
    critical: float | None = None
    falling: bool = False

    def steps(self) -> list[dashboard.Threshold]:
        """Return Grafana's steps, by rising value; the first one has no lower end."""
        marks = [(self.warning, YELLOW), (self.critical, RED)]
        present = [(value, colour) for value, colour in marks if value is not None]
        if not self.falling:
            return [
                dashboard.Threshold(color=GREEN),
                *(dashboard.Threshold(value=value, color=colour) for value, colour in present),
            ]
        # Grafana colours upwards from each step, so that each colour ends where the next better one begins.
        colours = [colour for _, colour in reversed(present)] + [GREEN]
        values = [None, *(value for value, _ in reversed(present))]
        return [dashboard.Threshold(value=value, color=colour) for value, colour in zip(values, colours, strict=True)]


def _thresholds(limits: Limits) -> dashboard_builders.ThresholdsConfig:
    steps = dashboard_builders.ThresholdsConfig().mode(dashboard.ThresholdsMode.ABSOLUTE)
    return steps.steps(limits.steps())


def number(title: str, query: Query, description: str, unit: str = SHORT, limits: Limits | None = None) -> stat.Panel:
    """Make a single current value on a background of the colour of its limits."""
    return (
        stat.Panel()
        .title(title)
        .description(description)
        .unit(unit)
        .decimals(0 if unit == SHORT else 2)
        .no_value("no data")
        .thresholds(_thresholds(limits or Limits()))
        .color_mode(common.BigValueColorMode.BACKGROUND)
        .graph_mode(common.BigValueGraphMode.NONE)
        .reduce_options(common_builders.ReduceDataOptions().calcs(["lastNotNull"]).values(False))
        .with_target(prometheus.Dataquery().expr(query.expr).legend_format(query.legend).ref_id("A").instant())
    )


def lamp(title: str, expr: str, description: str) -> stat.Panel:
    """Make a green "up" for 1 and more, a red "down" for 0, and "unknown" where there is no series."""
    words: list[dashboard.ValueMapping] = [
        dashboard.ValueMap(options={"0": dashboard.ValueMappingResult(text="down", color=RED, index=0)}),
        dashboard.RangeMap(
            options=dashboard.DashboardRangeMapOptions(
                from_val=1, to=None, result=dashboard.ValueMappingResult(text="up", color=GREEN, index=1)
            )
        ),
    ]
    panel = number(title, Query(expr), description, limits=Limits(critical=1, falling=True))
    return panel.mappings(words).no_value("unknown")


def chart(
    title: str, queries: Sequence[Query], description: str, unit: str, limits: Limits | None = None
) -> timeseries.Panel:
    """Make lines over time; its limits are drawn as dashed lines. A ratio's axis goes from 0 to at least 1."""
    panel = (
        timeseries.Panel()
        .title(title)
        .description(description)
        .unit(unit)
        .min(0)
        .line_width(1)
        .fill_opacity(10)
        .show_points(common.VisibilityMode.NEVER)
        .legend(
            common_builders.VizLegendOptions()
            .display_mode(common.LegendDisplayMode.LIST)
            .placement(common.LegendPlacement.BOTTOM)
            .show_legend(True)
        )
        .tooltip(
            common_builders.VizTooltipOptions().mode(common.TooltipDisplayMode.MULTI).sort(common.SortOrder.DESCENDING)
        )
    )
    if unit == RATIO:
        panel.axis_soft_max(1)
    if limits:
        dashed = common_builders.GraphThresholdsStyleConfig().mode(common.GraphTresholdsStyleMode.DASHED)
        panel.thresholds(_thresholds(limits)).thresholds_style(dashed)
    for position, query in enumerate(queries):
        target = prometheus.Dataquery().expr(query.expr).legend_format(query.legend or "__auto")
        panel.with_target(target.ref_id(chr(ord("A") + position)).range())
    return panel


class Board:
    """A dashboard in the making: rows of panels, filled from the top; ids count up from 1 in that order."""

    def __init__(self, uid: str, title: str, description: str, tags: Sequence[str], datasource_uid: str) -> None:
        self._datasource = dashboard.DataSourceRef(type_val="prometheus", uid=datasource_uid)
        self._next_y = 0
        self._next_id = 1
        self._builder = (
            dashboard_builders.Dashboard(title)
            .uid(uid)
            .description(description)
            .tags(list(tags))
            .time("now-1h", "now")
            .refresh("30s")
            .timezone("browser")
            .tooltip(dashboard.DashboardCursorSync.CROSSHAIR)
            .readonly()
        )

    def row(self, height: int, panels: Sequence[stat.Panel | timeseries.Panel]) -> None:
        """Add panels side by side; they share the width evenly and the last takes what is left over."""
        width = GRID_WIDTH // len(panels)
        for column, panel in enumerate(panels):
            last = column == len(panels) - 1
            x = column * width
            panel.id(self._next_id).datasource(self._datasource).grid_pos(
                dashboard.GridPos(h=height, w=GRID_WIDTH - x if last else width, x=x, y=self._next_y)
            )
            self._builder.with_panel(panel)
            self._next_id += 1
        self._next_y += height

    def build(self) -> dashboard.Dashboard:
        """Return the finished dashboard."""
        return self._builder.build()
