"""The builder of a dashboard: variables, annotations, rows of panels."""

from __future__ import annotations

import zlib
from collections.abc import Sequence

from grafana_foundation_sdk.builders import dashboard as builders
from grafana_foundation_sdk.models import dashboard

from dashboards.boards.log_queries import DATASOURCES
from dashboards.context import DashboardContext
from dashboards.panels import LOGS, PROMETHEUS, STACK, STACK_LABELS, Panel

GRID_WIDTH = 24
"""Width of Grafana's grid, in columns."""

TAG = "dockyard"

RELEASES = f'changes(node_textfile_mtime_seconds{{{STACK_LABELS}, file=~".*/containers.prom"}}[1m]) > 0'
"""Greater than 0 in the minute after a change of the stack's containers, see components/monitoring/inventory.py."""


def panel_id(title: str) -> int:
    """Return the id of a panel, derived from its title alone so that links survive when panels are added or moved."""
    return zlib.crc32(title.encode()) % 1_000_000 + 1


class Board:
    """Builds a dashboard from top to bottom. Its uid is `dockyard-<subject>`.

    Every board has the variables datasource, product and environment. `instances` is the name of a metric and adds the
    variable instance, with the instances of that metric. `logs` adds the data source of the logs, where `ctx` has one.
    """

    def __init__(
        self,
        ctx: DashboardContext,
        subject: str,
        title: str,
        description: str,
        *,
        instances: str | None = None,
        logs: bool = False,
    ) -> None:
        self._kinds = {PROMETHEUS: "prometheus", LOGS: DATASOURCES[ctx.log_store]}
        self._next_y = 0
        self._titles: set[str] = set()
        self._builder = (
            builders.Dashboard(title)
            .uid(f"dockyard-{subject}")
            .description(f"{ctx.product} · {ctx.environment}: {description}")
            .tags([TAG, ctx.product, ctx.environment])
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
        self._source(PROMETHEUS, "Metrics", ctx.datasource_uid)
        if logs and ctx.logs_uid:
            self._source(LOGS, "Logs", ctx.logs_uid)
        self.variable("product", "label_values(up, product)")
        self.variable("environment", 'label_values(up{product=~"$product"}, environment)')
        if instances:
            self.variable("instance", f"label_values({instances}{STACK}, instance)")
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
        """Add a variable with the values of a query, in its data source's language; all are selected at first."""
        self._builder.with_variable(
            builders.QueryVariable(name)
            .label(name.capitalize())
            .datasource(self._reference(source))
            .query({"query": query, "refId": name} if source == PROMETHEUS else query)
            .refresh(dashboard.VariableRefresh.ON_TIME_RANGE_CHANGED)
            .sort(dashboard.VariableSort.ALPHABETICAL_ASC)
            .multi(True)
            .include_all(True)
            # Loki refuses selectors that match the empty value.
            .all_value(".+")
            .current(dashboard.VariableOption(text=["All"], value=["$__all"]))
        )

    def choice(self, name: str, values: Sequence[str]) -> None:
        """Add a variable of which several of these values can be selected; all are selected at first."""
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
        """Add a variable for text that the viewer types."""
        self._builder.with_variable(
            builders.TextBoxVariable(name)
            .label(name.capitalize())
            .default_value(default)
            .current(dashboard.VariableOption(text=default, value=default))
        )

    def section(self, title: str) -> None:
        """Start a section of the board with a heading."""
        row = builders.Row(title).id(panel_id(f"section {title}"))
        self._builder.with_row(row.grid_pos(dashboard.GridPos(h=1, w=GRID_WIDTH, x=0, y=self._next_y)))
        self._next_y += 1

    def row(self, height: int, *optional_panels: Panel | None) -> None:
        """Add panels side by side, of equal width; the last one also takes the remainder. None is no panel.

        Raises ValueError where the board already has a panel with that title: links refer to panels by title. Only
        the product's own KPIs may have the title of a built-in panel.
        """
        panels = [panel for panel in optional_panels if panel]
        width = GRID_WIDTH // max(1, len(panels))
        for column, panel in enumerate(panels):
            key = panel.title if panel.is_builtin else f"figure {panel.title}"
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

    def grid(self, height: int, columns: int, panels: Sequence[Panel]) -> None:
        """Add panels in rows of up to `columns`. Raises ValueError as `row` does."""
        for start in range(0, len(panels), columns):
            self.row(height, *panels[start : start + columns])

    def build(self) -> dashboard.Dashboard:
        """Return the finished dashboard."""
        return self._builder.build()

    def _reference(self, variable: str) -> dashboard.DataSourceRef:
        return dashboard.DataSourceRef(type_val=self._kinds[variable], uid=f"${{{variable}}}")
