"""The one vocabulary of panels: what a number, a lamp, a chart or a table looks like on every dashboard.

Built on the Grafana Foundation SDK, of which only the builders used here are imported: the program renders the
dashboards at every preview.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from grafana_foundation_sdk.builders import common as common_builders
from grafana_foundation_sdk.builders import dashboard as dashboard_builders
from grafana_foundation_sdk.builders import logs as logs_builders
from grafana_foundation_sdk.builders import loki, prometheus, stat, table, text, timeseries
from grafana_foundation_sdk.models import common, dashboard
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

GREEN, YELLOW, RED = "green", "orange", "red"

SHORT = "short"
RATIO = "percentunit"
"""A ratio of 0 to 1, shown as a percentage."""
SECONDS = "s"
AGO = "dateTimeFromNow"
"""A time in milliseconds since 1970, shown as how long ago that was."""
BYTES = "bytes"
BYTES_PER_SECOND = "Bps"
PER_SECOND = "reqps"
OPERATIONS = "ops"
"""Anything a second that is not a request."""
CORES = "none"
LINES = "short"

F = 'product=~"$product", environment=~"$environment"'
"""What every query selects by: the dashboards' variables."""
FI = f'{F}, instance=~"$instance"'
"""Likewise, on boards that look at single instances."""

PROMETHEUS, LOGS = "datasource", "logs"
"""The variables that hold the data sources."""


@dataclass(frozen=True)
class Query:
    """One PromQL, LogQL or LogsQL expression and the legend of its series, with `{{label}}` as placeholders."""

    expr: str
    legend: str = ""
    kind: str = ""
    """How a log store is asked, as its data source calls it (`range`, `statsRange`); empty for Prometheus."""

    step: str | None = None
    """Time between two points, where the data source's own choice would give another figure."""


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


@dataclass(frozen=True)
class Panel:
    """A panel in the making: what the SDK builds it with, and where its data come from."""

    title: str
    builder: Any
    """One of the SDK's panel builders; they share their methods, but no type says so."""

    source: str | None = PROMETHEUS
    """Variable that holds its data source; None where it shows no data."""

    own: bool = True
    """Titled by Dockyard; a product's own figure may have the title of another panel."""


def _thresholds(limits: Limits) -> dashboard_builders.ThresholdsConfig:
    steps = dashboard_builders.ThresholdsConfig().mode(dashboard.ThresholdsMode.ABSOLUTE)
    return steps.steps(limits.steps())


def _ref(position: int) -> str:
    return chr(ord("A") + position)


def number(
    title: str,
    query: Query | str,
    description: str,
    unit: str = SHORT,
    limits: Limits | None = None,
    *,
    course: bool = False,
) -> Panel:
    """Make a single current value on a background of the colour of its limits; with `course`, its last hours behind it.

    A query that gives several series gives a value for each, named by its legend.
    """
    asked = query if isinstance(query, Query) else Query(query)
    target = prometheus.Dataquery().expr(asked.expr).legend_format(asked.legend or "__auto").ref_id("A")
    graph = common.BigValueGraphMode.AREA if course else common.BigValueGraphMode.NONE
    builder = (
        stat.Panel()
        .title(title)
        .description(description)
        .unit(unit)
        .decimals(0 if unit == SHORT else 2)
        .no_value("no data")
        .thresholds(_thresholds(limits or Limits()))
        .color_mode(common.BigValueColorMode.BACKGROUND)
        .graph_mode(graph)
        .reduce_options(common_builders.ReduceDataOptions().calcs(["lastNotNull"]).values(False))
        .with_target(target.range() if course else target.instant())
    )
    return Panel(title, builder)


def lamp(title: str, expr: str, description: str) -> Panel:
    """Make a green "up" for 1 and more, a red "down" for 0, and "unknown" where there is no series."""
    words: list[dashboard.ValueMapping] = [
        dashboard.ValueMap(options={"0": dashboard.ValueMappingResult(text="down", color=RED, index=0)}),
        dashboard.RangeMap(
            options=dashboard.DashboardRangeMapOptions(
                from_val=1, to=None, result=dashboard.ValueMappingResult(text="up", color=GREEN, index=1)
            )
        ),
    ]
    panel = number(title, expr, description, limits=Limits(critical=1, falling=True))
    panel.builder.mappings(words).no_value("unknown")
    return panel


def chart(
    title: str,
    queries: Sequence[Query] | Query,
    description: str,
    unit: str,
    limits: Limits | None = None,
    *,
    stacked: bool = False,
    source: str = PROMETHEUS,
) -> Panel:
    """Make lines over time; its limits are drawn as dashed lines. A ratio's axis goes from 0 to at least 1.

    With `stacked` the lines lie on top of each other: for parts of a whole.
    """
    builder = (
        timeseries.Panel()
        .title(title)
        .description(description)
        .unit(unit)
        .min(0)
        .line_width(1)
        .fill_opacity(60 if stacked else 10)
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
    if stacked:
        builder.stacking(common_builders.StackingConfig().mode(common.StackingMode.NORMAL))
    if unit == RATIO:
        builder.axis_soft_max(1)
    if limits:
        dashed = common_builders.GraphThresholdsStyleConfig().mode(common.GraphTresholdsStyleMode.DASHED)
        builder.thresholds(_thresholds(limits)).thresholds_style(dashed)
    for position, query in enumerate([queries] if isinstance(queries, Query) else queries):
        # VictoriaLogs' data source reads the same fields of a query as Loki's.
        target: Any = loki.Dataquery() if query.kind else prometheus.Dataquery()
        target.expr(query.expr).legend_format(query.legend or "__auto").ref_id(_ref(position))
        if query.step:
            target.step(query.step)
        builder.with_target(target.query_type(query.kind) if query.kind else target.range())
    return Panel(title, builder, source)


def rows_of(
    title: str,
    queries: Mapping[str, str],
    description: str,
    labels: Mapping[str, str],
    units: Mapping[str, str],
    limits: Mapping[str, Limits] | None = None,
) -> Panel:
    """Make a table of current values: a row for each combination of labels.

    `queries` are column heading → PromQL, which must all give the same labels; `labels` are label → heading, in the
    order of the columns; `units` and `limits` are by heading. Labels that are not named are not shown: aggregate them
    away.
    """
    builder = table.Panel().title(title).description(description).unit(SHORT).no_value("nothing").show_header(True)
    for position, expr in enumerate(queries.values()):
        target = prometheus.Dataquery().expr(expr).format(PromQueryFormat.TABLE).instant().ref_id(_ref(position))
        builder.with_target(target)
    single = len(queries) == 1
    values = {"Value" if single else f"Value #{_ref(position)}": heading for position, heading in enumerate(queries)}
    order = [*labels, *values]
    if not single:
        builder.with_transformation(dashboard.DataTransformerConfig(id_val="merge", options={}))
    builder.with_transformation(
        dashboard.DataTransformerConfig(
            id_val="organize",
            options={
                "excludeByName": {"Time": True, "__name__": True},
                "indexByName": {name: position for position, name in enumerate(order)},
                "renameByName": {**labels, **values},
            },
        )
    )
    for heading in queries:
        look = [dashboard.DynamicConfigValue(id_val="unit", value=units.get(heading, SHORT))]
        if marked := (limits or {}).get(heading):
            steps = dashboard.ThresholdsConfig(mode=dashboard.ThresholdsMode.ABSOLUTE, steps=marked.steps())
            look += [
                dashboard.DynamicConfigValue(id_val="thresholds", value=steps),
                dashboard.DynamicConfigValue(id_val="custom.cellOptions", value={"type": "color-text"}),
            ]
        builder.override_by_name(heading, look)
    return Panel(title, builder)


def lines(title: str, query: Query, description: str) -> Panel:
    """Make a panel of log lines, the newest first, out of a query in LogQL or LogsQL."""
    builder = (
        logs_builders.Panel()
        .title(title)
        .description(description)
        .unit(SHORT)
        .show_time(True)
        .wrap_log_message(True)
        .enable_log_details(True)
        .sort_order(common.LogsSortOrder.DESCENDING)
        .with_target(loki.Dataquery().expr(query.expr).ref_id("A").query_type(query.kind).max_lines(200))
    )
    return Panel(title, builder, LOGS)


def page(title: str, markdown: str) -> Panel:
    """Make a panel of text."""
    builder = text.Panel().title(title).description(f"{title}, as it stands in runbooks/.").content(markdown)
    return Panel(title, builder, None)
