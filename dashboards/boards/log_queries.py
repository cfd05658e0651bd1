"""Queries for log lines, in the language of the store that keeps them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from dashboards import panels as p
from settings.logs import LogStore

DATASOURCES: Mapping[LogStore, str] = {"loki": "loki", "victorialogs": "victoriametrics-logs-datasource"}
"""Log store → the type of its data source in Grafana."""

WATCHERS = "loki|victorialogs|vmalert|collector|prometheus|alertmanager|grafana"
"""Services of the monitoring, whose own lines may quote the alerts that they evaluate, send or show."""


class LogLanguage(Protocol):
    """The queries that the boards need, in one store's language. `lines` is a selection, as other methods return it."""

    level: str
    """Label that holds a line's level."""

    services: str | dict[str, object]
    """The query for the values of the variable `service`."""

    selection: str
    """Selection of the lines that match the board's variables."""

    def select(self, service: str = "", *, watchers: bool = True) -> str:
        """Return the lines of the selected product: of `service`, or by default of the services in `$service`.

        Without `watchers` the variable is ignored, and the services in WATCHERS are left out.
        """
        ...

    def select_errors(self, lines: str) -> str:
        """Return the lines of level error and worse."""
        ...

    def select_matching(self, lines: str, pattern: str) -> str:
        """Return the lines that contain a match of a regular expression."""
        ...

    def select_kind(self, lines: str, kind: str) -> str:
        """Return the lines that were recognised as of a kind, see docs/logs.md."""
        ...

    def line_query(self, lines: str) -> p.Query:
        """Return the query for the lines themselves."""
        ...

    def counted(self, lines: str, by: str, legend: str, *, minutes: int = 0, zero: bool = False) -> p.Query:
        """Return the query that counts lines by a label, in `minutes` or from one point to the next.

        With `zero` the result is 0 instead of empty where there are no lines, if the store's language allows it.
        """
        ...

    def share_of_errors(self, lines: str, by: str, legend: str, minutes: int) -> p.Query:
        """Return the query for the ratio of lines that are errors."""
        ...


class LogQL:
    """Loki's language."""

    level = "detected_level"
    _any = f'{p.STACK_LABELS}, container=~".+"'
    """Loki requires one matcher that excludes the empty value, and each variable may match everything."""

    services: str | dict[str, object] = f"label_values({{{_any}}}, service)"
    selection = f'{{{_any}, service=~"$service"}} | detected_level=~"$level" |~ `(?i)$search`'

    def select(self, service: str = "", *, watchers: bool = True) -> str:
        """See LogLanguage."""
        if service:
            return f'{{{p.STACK_LABELS}, service="{service}"}}'
        return f'{{{self._any}, service=~"$service"}}' if watchers else f'{{{self._any}, service!~"{WATCHERS}"}}'

    def select_errors(self, lines: str) -> str:
        """See LogLanguage."""
        return f'{lines} | detected_level=~"error|critical|fatal"'

    def select_matching(self, lines: str, pattern: str) -> str:
        """See LogLanguage."""
        return f"{lines} |~ `{pattern}`"

    def select_kind(self, lines: str, kind: str) -> str:
        """See LogLanguage."""
        return f'{lines} | kind="{kind}"'

    def line_query(self, lines: str) -> p.Query:
        """See LogLanguage."""
        return p.Query(lines, kind="range")

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


class LogsQL:
    """VictoriaLogs' language. A count covers the time between two points, so the step is the window."""

    level = "level"
    _of_product = 'product=~"${product:regex}", environment=~"${environment:regex}"'
    services: str | dict[str, object] = {"type": "fieldValue", "field": "service", "query": f"{{{_of_product}}}"}
    selection = f'{{{_of_product}, service=~"${{service:regex}}"}} level:~"${{level:regex}}" ~`(?i)${{search:raw}}`'

    def select(self, service: str = "", *, watchers: bool = True) -> str:
        """See LogLanguage."""
        if service:
            return f'{{{self._of_product}, service="{service}"}}'
        services = 'service=~"${service:regex}"' if watchers else f'service!~"{WATCHERS}"'
        return f"{{{self._of_product}, {services}}}"

    def select_errors(self, lines: str) -> str:
        """See LogLanguage."""
        return f'{lines} level:in("error", "fatal")'

    def select_matching(self, lines: str, pattern: str) -> str:
        """See LogLanguage."""
        return f"{lines} ~`{pattern}`"

    def select_kind(self, lines: str, kind: str) -> str:
        """See LogLanguage."""
        return f'{lines} kind:="{kind}"'

    def line_query(self, lines: str) -> p.Query:
        """See LogLanguage."""
        return p.Query(lines, kind="instant")

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
        counts = 'count() if (level:in("error", "fatal")) as errors, count() as lines'
        expr = f"{lines} | stats by ({by}) {counts} | math errors / lines as share | delete errors, lines"
        return p.Query(expr, legend, "statsRange", f"{minutes}m")


LANGUAGES: Mapping[LogStore, LogLanguage] = {"loki": LogQL(), "victorialogs": LogsQL()}
