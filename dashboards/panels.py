"""Builders of panels, so that stats, charts and tables look the same on every dashboard.

They use the Grafana Foundation SDK. Only the SDK builders needed here are imported: the program renders the dashboards
at every preview.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from grafana_foundation_sdk.builders import common as common_builders
from grafana_foundation_sdk.builders import dashboard as dashboard_builders
from grafana_foundation_sdk.builders import logs as logs_builders
from grafana_foundation_sdk.builders import loki, prometheus, timeseries
from grafana_foundation_sdk.builders import stat as stat_builders
from grafana_foundation_sdk.builders import table as table_builders
from grafana_foundation_sdk.builders import text as text_builders
from grafana_foundation_sdk.models import common, dashboard
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

GREEN, YELLOW, RED = "green", "orange", "red"

SHORT = "short"
RATIO = "percentunit"
"""A ratio of 0 to 1, shown as a percentage."""
SECONDS = "s"
TIME_AGO = "dateTimeFromNow"
"""A time in milliseconds since 1970, shown as how long ago that was."""
BYTES = "bytes"
BYTES_PER_SECOND = "Bps"
PER_SECOND = "reqps"
OPERATIONS = "ops"
"""Events per second other than requests."""
CORES = "none"

STACK_LABELS = 'product=~"$product", environment=~"$environment"'
STACK = f"{{{STACK_LABELS}}}"
"""Selector of every query: the dashboards' variables. `STACK_LABELS` are its matchers, for selectors with more."""
INSTANCE_LABELS = f'{STACK_LABELS}, instance=~"$instance"'
INSTANCE = f"{{{INSTANCE_LABELS}}}"
"""The same with the variable `instance`, on boards about single instances."""

PROMETHEUS, LOGS = "datasource", "logs"
"""Names of the variables that hold the data sources."""


@dataclass(frozen=True)
class Query:
    """One PromQL, LogQL or LogsQL expression and the legend of its series, with `{{label}}` as placeholders."""

    expr: str
    legend: str = ""
    kind: str = ""
    """Query type of a log store's data source (`range`, `statsRange`); empty for Prometheus."""

    step: str | None = None
    """Time between two points, where the data source's default would change the result."""


Queries = str | Query | Sequence[Query] | Mapping[str, str]
"""The queries of a panel: one, several, or legend of the series → PromQL expression."""


@dataclass(frozen=True)
class Thresholds:
    """Thresholds of a panel, from the alert rules: green up to `warning`, then orange, and red from `critical` on.

    With `falling`, low values are the bad ones, and `warning` is the higher of the two.
    """

    warning: float | None = None
    critical: float | None = None
    falling: bool = False

    def steps(self) -> list[dashboard.Threshold]:
        """Return Grafana's threshold steps in ascending order; the first one has no lower bound."""
        marks = [(self.warning, YELLOW), (self.critical, RED)]
        present = [(value, colour) for value, colour in marks if value is not None]
        values, colours = [value for value, _ in present], [GREEN, *(colour for _, colour in present)]
        if self.falling:
            # Grafana applies a colour from its step upwards, so each colour ends where the next better one begins.
            values.reverse()
            colours.reverse()
        steps = zip([None, *values], colours, strict=True)
        return [dashboard.Threshold(value=value, color=colour) for value, colour in steps]


WARNING_FROM_1 = Thresholds(warning=1)
CRITICAL_FROM_1 = Thresholds(critical=1)
CRITICAL_BELOW_1 = Thresholds(critical=1, falling=True)


@dataclass(frozen=True)
class Column:
    """A column of a table: the values of one PromQL expression."""

    heading: str
    expr: str
    unit: str = SHORT
    thresholds: Thresholds | None = None


@dataclass(frozen=True)
class Panel:
    """A panel: its SDK builder and its data source."""

    title: str
    builder: Any
    """One of the SDK's panel builders; they share methods, but have no common type."""

    source: str | None = PROMETHEUS
    """Variable that holds its data source; None for a panel without data."""

    is_builtin: bool = True
    """Whether Dockyard chose the title; the product's own KPIs may repeat the title of another panel."""


def _threshold_config(thresholds: Thresholds) -> dashboard_builders.ThresholdsConfig:
    steps = dashboard_builders.ThresholdsConfig().mode(dashboard.ThresholdsMode.ABSOLUTE)
    return steps.steps(thresholds.steps())


def _ref_id(position: int) -> str:
    return chr(ord("A") + position)


def _query_list(queries: Queries) -> list[Query]:
    if isinstance(queries, str):
        return [Query(queries)]
    if isinstance(queries, Query):
        return [queries]
    if isinstance(queries, Mapping):
        return [Query(expr, legend) for legend, expr in queries.items()]
    return list(queries)


def stat(
    title: str,
    queries: Queries,
    description: str,
    unit: str = SHORT,
    thresholds: Thresholds | None = None,
    *,
    sparkline: bool = False,
) -> Panel:
    """Make a stat: the current value, on a background in the colour of its limits.

    `sparkline` draws the last hours behind it. A query with several series gives a value for each, named by its legend.
    Raises ValueError for more than one query.
    """
    (query,) = _query_list(queries)
    target = prometheus.Dataquery().expr(query.expr).legend_format(query.legend or "__auto").ref_id("A")
    graph = common.BigValueGraphMode.AREA if sparkline else common.BigValueGraphMode.NONE
    builder = (
        stat_builders.Panel()
        .title(title)
        .description(description)
        .unit(unit)
        .decimals(0 if unit == SHORT else 2)
        .no_value("no data")
        .thresholds(_threshold_config(thresholds or Thresholds()))
        .color_mode(common.BigValueColorMode.BACKGROUND)
        .graph_mode(graph)
        .reduce_options(common_builders.ReduceDataOptions().calcs(["lastNotNull"]).values(False))
        .with_target(target.range() if sparkline else target.instant())
    )
    return Panel(title, builder)


def up_down_stat(title: str, expr: str, description: str) -> Panel:
    """Make a stat that is a green "up" for 1 and more, a red "down" for 0, and "unknown" without a series."""
    words: list[dashboard.ValueMapping] = [
        dashboard.ValueMap(options={"0": dashboard.ValueMappingResult(text="down", color=RED, index=0)}),
        dashboard.RangeMap(
            options=dashboard.DashboardRangeMapOptions(
                from_val=1, to=None, result=dashboard.ValueMappingResult(text="up", color=GREEN, index=1)
            )
        ),
    ]
    panel = stat(title, expr, description, thresholds=CRITICAL_BELOW_1)
    panel.builder.mappings(words).no_value("unknown")
    return panel


def chart(
    title: str,
    queries: Queries,
    description: str,
    unit: str = SHORT,
    thresholds: Thresholds | None = None,
    *,
    stacked: bool = False,
    source: str = PROMETHEUS,
) -> Panel:
    """Make a time series chart with its limits as dashed lines. The axis of a ratio goes from 0 to at least 1.

    `stacked` is for parts of a whole.
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
    if thresholds:
        dashed = common_builders.GraphThresholdsStyleConfig().mode(common.GraphTresholdsStyleMode.DASHED)
        builder.thresholds(_threshold_config(thresholds)).thresholds_style(dashed)
    for position, query in enumerate(_query_list(queries)):
        # A query for VictoriaLogs' data source has the same fields as one for Loki's.
        target: Any = loki.Dataquery() if query.kind else prometheus.Dataquery()
        target.expr(query.expr).legend_format(query.legend or "__auto").ref_id(_ref_id(position))
        if query.step:
            target.step(query.step)
        builder.with_target(target.query_type(query.kind) if query.kind else target.range())
    return Panel(title, builder, source)


def table(title: str, columns: Sequence[Column], description: str, labels: Mapping[str, str]) -> Panel:
    """Make a table of current values, with a row for each combination of labels.

    All columns' queries must return the same labels. `labels` maps label → heading of the first columns, in their
    order; all other labels must be aggregated away.
    """
    builder = (
        table_builders.Panel().title(title).description(description).unit(SHORT).no_value("nothing").show_header(True)
    )
    single = len(columns) == 1
    headings = dict(labels)
    for position, column in enumerate(columns):
        ref_id = _ref_id(position)
        headings["Value" if single else f"Value #{ref_id}"] = column.heading
        target = prometheus.Dataquery().expr(column.expr).format(PromQueryFormat.TABLE).instant().ref_id(ref_id)
        builder.with_target(target).override_by_name(column.heading, _column_look(column))
    if not single:
        builder.with_transformation(dashboard.DataTransformerConfig(id_val="merge", options={}))
    builder.with_transformation(
        dashboard.DataTransformerConfig(
            id_val="organize",
            options={
                "excludeByName": {"Time": True, "__name__": True},
                "indexByName": {name: position for position, name in enumerate(headings)},
                "renameByName": headings,
            },
        )
    )
    return Panel(title, builder)


def _column_look(column: Column) -> list[dashboard.DynamicConfigValue]:
    look: dict[str, object] = {"unit": column.unit}
    if column.thresholds:
        look["thresholds"] = dashboard.ThresholdsConfig(dashboard.ThresholdsMode.ABSOLUTE, column.thresholds.steps())
        look["custom.cellOptions"] = {"type": "color-text"}
    return [dashboard.DynamicConfigValue(id_val=key, value=value) for key, value in look.items()]


def logs_panel(title: str, query: Query, description: str) -> Panel:
    """Make a panel of log lines, newest first, from a query in LogQL or LogsQL."""
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


def text_panel(title: str, markdown: str) -> Panel:
    """Make a panel of Markdown text from runbooks/."""
    builder = text_builders.Panel().title(title).description(f"{title}, as it stands in runbooks/.").content(markdown)
    return Panel(title, builder, None)
