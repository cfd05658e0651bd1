"""A dashboard in the making: variables, annotations, rows of panels."""

from __future__ import annotations

import zlib
from collections.abc import Sequence

from grafana_foundation_sdk.builders import dashboard as builders
from grafana_foundation_sdk.models import dashboard

from dashboards.log_queries import DATASOURCES
from dashboards.panels import LOGS, PROMETHEUS, F, Panel
from dashboards.shown import Shown

GRID_WIDTH = 24
"""Columns of Grafana's grid."""

TAG = "dockyard"

RELEASES = f'changes(node_textfile_mtime_seconds{{{F}, file=~".*/containers.prom"}}[1m]) > 0'
"""Not 0 in the minute after the stack's containers were changed, see components/inventory.py."""


def panel_id(title: str) -> int:
    """Return the id of a panel: of its title alone, so that links survive panels that are added or moved."""
    return zlib.crc32(title.encode()) % 1_000_000 + 1


class Board:
    """A dashboard in the making, filled from the top. `subject` is the end of its uid: `dockyard-<subject>`.

    Each has the variables datasource, product and environment; with `instances`, the name of a metric, also instance:
    those that this metric has. With `logs` there is the data source of the logs too, which `shown` must name then.
    """

    def __init__(
        self,
        shown: Shown,
        subject: str,
        title: str,
        description: str,
        *,
        instances: str | None = None,
        logs: bool = False,
    ) -> None:
        self._kinds = {PROMETHEUS: "prometheus", LOGS: DATASOURCES[shown.log_store]}
        self._next_y = 0
        self._titles: set[str] = set()
        self._builder = (
            builders.Dashboard(title)
            .uid(f"dockyard-{subject}")
            .description(f"{shown.product} · {shown.environment}: {description}")
            .tags([TAG, shown.product, shown.environment])
            .time("now-1h", "now")
            .refresh("30s")
            .timezone("browser")
            .tooltip(dashboard.DashboardCursorSync.CROSSHAIR)
            .readonly()
            .link(
                builders.DashboardLink("Dashboards")
                .type(dashboard.DashboardLinkType.DASHBOARDS)
                .tags([TAG])
                .as_dropdown(True)
                .keep_time(True)
                .include_vars(True)
            )
        )
        self._source(PROMETHEUS, "Metrics", shown.datasource_uid)
        if logs and shown.logs_uid:
            self._source(LOGS, "Logs", shown.logs_uid)
        self.variable("product", "label_values(up, product)")
        self.variable("environment", 'label_values(up{product=~"$product"}, environment)')
        if instances:
            self.variable("instance", f"label_values({instances}{{{F}}}, instance)")
        self._builder.annotation(
            builders.AnnotationQuery()
            .name("Releases")
            .datasource(self._reference(PROMETHEUS))
            .enable(True)
            .icon_color("blue")
            .expr(RELEASES)
        )

    def _source(self, name: str, label: str, uid: str) -> None:
        self._builder.with_variable(
            builders.DatasourceVariable(name)
            .label(label)
            .type(self._kinds[name])
            .current(dashboard.VariableOption(text=uid, value=uid))
        )

    def variable(self, name: str, query: str | dict[str, object], source: str = PROMETHEUS) -> None:
        """Add a variable whose values a query gives, in the form of its source; all of them are chosen at first."""
        self._builder.with_variable(
            builders.QueryVariable(name)
            .label(name.capitalize())
            .datasource(self._reference(source))
            .query({"query": query, "refId": name} if source == PROMETHEUS else query)
            .refresh(dashboard.VariableRefresh.ON_TIME_RANGE_CHANGED)
            .sort(dashboard.VariableSort.ALPHABETICAL_ASC)
            .multi(True)
            .include_all(True)
            # Loki takes no selector that an empty value would satisfy.
            .all_value(".+")
            .current(dashboard.VariableOption(text=["All"], value=["$__all"]))
        )

    def choice(self, name: str, values: Sequence[str]) -> None:
        """Add a variable that is one or several of these values; all of them are chosen at first."""
        self._builder.with_variable(
            builders.CustomVariable(name)
            .label(name.capitalize())
            .values(",".join(values))
            .multi(True)
            .include_all(True)
            .all_value(".*")
            .current(dashboard.VariableOption(text=["All"], value=["$__all"]))
        )

    def text_variable(self, name: str, default: str = "") -> None:
        """Add a variable that a person types."""
        self._builder.with_variable(
            builders.TextBoxVariable(name)
            .label(name.capitalize())
            .default_value(default)
            .current(dashboard.VariableOption(text=default, value=default))
        )

    def section(self, title: str) -> None:
        """Begin a part of the board under a heading."""
        row = builders.Row(title).id(panel_id(f"section {title}"))
        self._builder.with_row(row.grid_pos(dashboard.GridPos(h=1, w=GRID_WIDTH, x=0, y=self._next_y)))
        self._next_y += 1

    def row(self, height: int, panels: Sequence[Panel]) -> None:
        """Add panels side by side; they share the width evenly and the last takes what is left over.

        Raises ValueError where the board has a panel of that title already: links name panels by their titles. The
        product's own figures may be called like one of ours.
        """
        width = GRID_WIDTH // max(1, len(panels))
        for column, panel in enumerate(panels):
            key = panel.title if panel.own else f"figure {panel.title}"
            if key in self._titles:
                raise ValueError(f"two panels called {panel.title}")
            self._titles.add(key)
            last = column == len(panels) - 1
            x = column * width
            place = dashboard.GridPos(h=height, w=GRID_WIDTH - x if last else width, x=x, y=self._next_y)
            panel.builder.id(panel_id(key)).grid_pos(place)
            if panel.source:
                panel.builder.datasource(self._reference(panel.source))
            self._builder.with_panel(panel.builder)
        self._next_y += height

    def build(self) -> dashboard.Dashboard:
        """Return the finished dashboard."""
        return self._builder.build()

    def _reference(self, variable: str) -> dashboard.DataSourceRef:
        return dashboard.DataSourceRef(type_val=self._kinds[variable], uid=f"${{{variable}}}")
