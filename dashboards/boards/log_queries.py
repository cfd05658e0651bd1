"""Queries for log lines, in the language of the store that keeps them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping

from dashboards import panels as p
from settings.logs import LogStore

DATASOURCES: Mapping[LogStore, str] = {"loki": "loki", "victorialogs": "victoriametrics-logs-datasource"}
"""Log store → the type of its data source in Grafana."""

WATCHERS = "loki|victorialogs|vmalert|collector|prometheus|alertmanager|grafana"
"""Services of the monitoring, whose own lines may quote the alerts that they evaluate, send or show."""


class LogLanguage(ABC):
    """The queries that the boards need, in one store's language. `lines` is a selection, as other methods return it."""

    level: str
    """Label that holds a line's level."""

    services: str | dict[str, object]
    """The query for the values of the variable `service`."""

    selection: str
    """Selection of the lines that match the board's variables."""

    _product: str
    _any_service: str
    """Matchers of the product's lines, and those for several of its services."""

    _selected_services: str
    _errors: str
    _matching: str
    _kind: str
    _line_query_type: str

    def select(self, service: str = "", *, watchers: bool = True) -> str:
        """Return the lines of the selected product: of `service`, or by default of the services in `$service`.

        Without `watchers` the variable is ignored, and the services in WATCHERS are left out.
        """
        if service:
            return f'{{{self._product}, service="{service}"}}'
        services = self._selected_services if watchers else f'service!~"{WATCHERS}"'
        return f"{{{self._any_service}, {services}}}"

    def select_errors(self, lines: str) -> str:
        """Return the lines of level error and worse."""
        return f"{lines} {self._errors}"

    def select_matching(self, lines: str, pattern: str) -> str:
        """Return the lines that contain a match of a regular expression."""
        return f"{lines} {self._matching}`{pattern}`"

    def select_kind(self, lines: str, kind: str) -> str:
        """Return the lines that were recognised as of a kind, see docs/logs.md."""
        return f'{lines} {self._kind}"{kind}"'

    def line_query(self, lines: str) -> p.Query:
        """Return the query for the lines themselves."""
        return p.Query(lines, kind=self._line_query_type)

    @abstractmethod
    def counted(self, lines: str, by: str, legend: str, *, minutes: int = 0, zero: bool = False) -> p.Query:
        """Return the query that counts lines by a label, in `minutes` or from one point to the next.

        With `zero` the result is 0 instead of empty where there are no lines, if the store's language allows it.
        """

    @abstractmethod
    def share_of_errors(self, lines: str, by: str, legend: str, minutes: int) -> p.Query:
        """Return the query for the ratio of lines that are errors."""


class LogQL(LogLanguage):
    """Loki's language."""

    level = "detected_level"
    _product = p.STACK_LABELS
    _any_service = f'{_product}, container=~".+"'
    """Loki requires one matcher that excludes the empty value, and each variable may match everything."""

    _selected_services = 'service=~"$service"'
    services = f"label_values({{{_any_service}}}, service)"
    selection = f'{{{_any_service}, {_selected_services}}} | detected_level=~"$level" |~ `(?i)$search`'
    _errors, _matching, _kind = '| detected_level=~"error|critical|fatal"', "|~ ", "| kind="
    _line_query_type = "range"

    def counted(self, lines: str, by: str, legend: str, *, minutes: int = 0, zero: bool = False) -> p.Query:
        """See LogLanguage."""
        window = f"{minutes}m" if minutes else "$__interval"
        otherwise = " or vector(0)" if zero else ""
        return p.Query(f"sum by ({by}) (count_over_time({lines} [{window}])){otherwise}", legend, "range")

    def share_of_errors(self, lines: str, by: str, legend: str, minutes: int) -> p.Query:
        """See LogLanguage."""
        errors, all_lines = (
            f"sum by ({by}) (rate({selection} [{minutes}m]))" for selection in (self.select_errors(lines), lines)
        )
        return p.Query(f"{errors} / {all_lines}", legend, "range")


class LogsQL(LogLanguage):
    """VictoriaLogs' language. A count covers the time between two points, so the step is the window."""

    level = "level"
    _product = _any_service = 'product=~"${product:regex}", environment=~"${environment:regex}"'
    _selected_services = 'service=~"${service:regex}"'
    services = {"type": "fieldValue", "field": "service", "query": f"{{{_product}}}"}
    selection = f'{{{_product}, {_selected_services}}} level:~"${{level:regex}}" ~`(?i)${{search:raw}}`'
    _errors, _matching, _kind = 'level:in("error", "fatal")', "~", "kind:="
    _line_query_type = "instant"

    def counted(self, lines: str, by: str, legend: str, *, minutes: int = 0, zero: bool = False) -> p.Query:
        """See LogLanguage."""
        selector, end, condition = lines.partition("} ")
        if zero:
            expr = f"{selector}{end.strip()} | stats by ({by}) count() if ({condition}) as lines"
        else:
            expr = f"{lines} | stats by ({by}) count() as lines"
        return p.Query(expr, legend, "statsRange", f"{minutes}m" if minutes else None)

    def share_of_errors(self, lines: str, by: str, legend: str, minutes: int) -> p.Query:
        """See LogLanguage."""
        counts = f"count() if ({self._errors}) as errors, count() as lines"
        expr = f"{lines} | stats by ({by}) {counts} | math errors / lines as share | delete errors, lines"
        return p.Query(expr, legend, "statsRange", f"{minutes}m")


LANGUAGES: Mapping[LogStore, LogLanguage] = {"loki": LogQL(), "victorialogs": LogsQL()}
