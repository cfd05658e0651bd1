"""Every panel and every variable of every dashboard, asked as Grafana would ask: through its data sources."""

import re
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import httpx
import yaml

from settings.units import parse_duration
from tests.support.stack import Stack

EMPTY = yaml.safe_load((Path(__file__).parent / "empty_panels.yaml").read_text())
"""Board → panel → why it may show nothing."""

VICTORIALOGS = "victoriametrics-logs-datasource"  # the type of VictoriaLogs' data source

HOUR = 3600
STEP = 15
BUILT_IN = {"__rate_interval": "1m", "__interval": "15s", "__range": "1h", "__auto": "1m"}
"""As Grafana has them for an hour at a scrape interval of 15 s."""


@dataclass(frozen=True)
class Query:
    """One query of a panel or variable, ready to be asked."""

    board: str
    panel: str  # the panel's title, or `$` and the variable's name
    expr: str
    source: str  # the uid of its data source
    kind: Literal["label values", "field values", "instant", "range", "LogQL", "lines", "stats"]
    """How the data source is asked; the last two are VictoriaLogs'."""

    step: int = 15  # seconds between two points of a range

    @property
    def is_promql(self) -> bool:
        return self.kind in ("instant", "range")

    @property
    def may_be_empty(self) -> bool:
        return self.panel in EMPTY.get(self.board, {})

    def __str__(self) -> str:
        return f"{self.board}, {self.panel}: {self.expr}"


@dataclass(frozen=True)
class Answer:
    series: int = 0  # series with at least one value that is a number; values of a variable; streams of lines
    error: str = ""


class Grafana:
    def __init__(self, url: str, password: str, user: str = "admin") -> None:
        self._client = httpx.Client(base_url=url, auth=(user, password), timeout=30)

    def look(self) -> None:
        """Ask one query as a panel does in a browser; the other checks go past Grafana's own count of those."""
        asked = {"refId": "A", "datasource": {"uid": self.prometheus}, "expr": "up", "instant": True}
        self._client.post("/api/ds/query", json={"queries": [asked], "from": "now-5m", "to": "now"}).raise_for_status()

    def boards(self) -> list[dict[str, Any]]:
        found = self._get("/api/search", type="dash-db", limit=200)
        return [self._get(f"/api/dashboards/uid/{one['uid']}")["dashboard"] for one in found]

    @cached_property
    def sources(self) -> dict[str, str]:
        """Type of each data source → its uid."""
        return {source["type"]: source["uid"] for source in self._get("/api/datasources")}

    @property
    def prometheus(self) -> str:
        return self.sources["prometheus"]

    def log_labels(self, label: str, lines: str) -> set[str]:
        """Return the values of a label of log lines. `lines` is a selector like `{service="backend"}`."""
        if loki := self.sources.get("loki"):
            values = self.ask(loki, f"/loki/api/v1/label/{label}/values", query=lines, since="24h")
            return set(values.get("data") or [])
        asked = {"query": lines, "field": label, "start": int(time.time()) - 24 * HOUR}
        values = self.ask(self.sources[VICTORIALOGS], "/select/logsql/field_values", **asked)
        return {one["value"] for one in values["values"] or []}

    def ask(self, uid: str, path: str, **params: Any) -> dict[str, Any]:
        """Ask a data source; return its answer, an error included."""
        response = self._client.get(f"/api/datasources/proxy/uid/{uid}{path}", params=params)
        try:
            return dict(response.json())
        except ValueError:
            return {"status": "error", "error": f"{response.status_code}: {response.text[:200]}"}

    def ask_lines(self, uid: str, **params: Any) -> Answer:
        """Ask a VictoriaLogs data source for lines, which come as one JSON object each."""
        response = self._client.get(f"/api/datasources/proxy/uid/{uid}/select/logsql/query", params=params)
        if response.is_error:
            return Answer(error=f"{response.status_code}: {response.text[:200]}")
        return Answer(len(response.text.splitlines()))

    def _get(self, path: str, **params: Any) -> Any:
        response = self._client.get(path, params=params)
        response.raise_for_status()
        return response.json()


def grafana_of(stack: Stack) -> Grafana:
    return Grafana(stack.urls["grafana"], stack.outputs(show_secrets=True)["secrets"]["grafana-admin-password"])


def queries_of(grafana: Grafana) -> list[Query]:
    return [query for board in grafana.boards() for query in _queries_of_board(board)]


def _queries_of_board(board: Mapping[str, Any]) -> Iterator[Query]:
    variables = board["templating"]["list"]
    sources = {one["name"]: one["current"]["value"] for one in variables if one["type"] == "datasource"}
    values = {one["name"]: one.get("allValue") or ".*" for one in variables if one["type"] == "query"}
    values |= {one["name"]: one.get("allValue") or ".+" for one in variables if one["type"] == "custom"}
    values |= {one["name"]: one.get("query") or "" for one in variables if one["type"] == "textbox"}

    def uid(reference: Mapping[str, str]) -> str:
        return re.sub(r"\$\{(\w+)\}", lambda name: sources[name[1]], reference["uid"])

    for variable in variables:
        if variable["type"] == "query":
            source, query, title = uid(variable["datasource"]), variable["query"], f"${variable['name']}"
            if isinstance(query, dict) and query.get("type") == "fieldValue":
                text = interpolated(query["query"], values)
                yield Query(board["uid"], title, f"{query['field']} of {text}", source, "field values")
            else:
                text = interpolated(query["query"] if isinstance(query, dict) else query, values)
                yield Query(board["uid"], title, text, source, "label values")
    for panel in board["panels"]:
        for target in panel.get("targets", []):
            text, source = interpolated(target["expr"], values), uid(panel["datasource"])
            step = parse_duration(target["step"]) if target.get("step") else STEP
            yield Query(board["uid"], panel["title"], text, source, _kind(panel["datasource"]["type"], target), step)


def _kind(source: str, target: Mapping[str, Any]) -> Any:
    if source == VICTORIALOGS:
        return "stats" if target["queryType"] == "statsRange" else "lines"
    if source == "loki":
        return "LogQL"
    return "instant" if target.get("instant") else "range"


def interpolated(text: str, values: Mapping[str, str]) -> str:
    """Return a query with its variables in place; a variable that is none stays as it is, and fails."""
    known = {**values, **BUILT_IN}
    # Prometheus puts the steps of a subquery on whole multiples: of 5 min, which a young stack has not lived to see.
    text = re.sub(r"(?<=\[7d:)5m(?=\])", "10s", text)
    return re.sub(r"\$\{?(\w+)(?::\w+)?\}?|\[\[(\w+)\]\]", lambda name: known.get(name[1] or name[2], name[0]), text)


def ask(grafana: Grafana, query: Query) -> Answer:
    """Ask one query over the last hour."""
    now = int(time.time())
    span = {"start": now - HOUR, "end": now}
    if query.kind == "label values":
        return _ask_label_values(grafana, query, span)
    if query.kind == "field values":
        field, _, lines = query.expr.partition(" of ")
        answer = grafana.ask(query.source, "/select/logsql/field_values", query=lines, field=field, **span)
        return Answer(len(answer.get("values") or []), answer.get("error", ""))
    if query.kind == "lines":
        return grafana.ask_lines(query.source, query=query.expr, limit=20, **span)
    if query.kind == "stats":
        path = "/select/logsql/stats_query_range"
        answer = grafana.ask(query.source, path, query=query.expr, step=f"{query.step}s", **span)
    elif query.kind == "LogQL":
        loki = {"start": (now - HOUR) * 10**9, "end": now * 10**9, "step": STEP, "limit": 20}
        answer = grafana.ask(query.source, "/loki/api/v1/query_range", query=query.expr, **loki)
    elif query.kind == "instant":
        answer = grafana.ask(query.source, "/api/v1/query", query=query.expr, time=now)
    else:
        answer = grafana.ask(query.source, "/api/v1/query_range", query=query.expr, step=STEP, **span)
    if answer.get("status") != "success":
        return Answer(error=answer.get("error", "") or str(answer)[:200])
    lines = answer["data"]["resultType"] == "streams"
    return Answer(sum(1 for series in answer["data"]["result"] if _has_number(series, lines)))


def _ask_label_values(grafana: Grafana, query: Query, span: Mapping[str, int]) -> Answer:
    label_values = re.fullmatch(r"label_values\((?:(?P<metric>.+), ?)?(?P<label>\w+)\)", query.expr, re.DOTALL)
    if not label_values:
        return Answer(error="not a query that this check knows")
    label, match = label_values["label"], {"match[]": label_values["metric"]} if label_values["metric"] else {}
    answer = grafana.ask(query.source, f"/api/v1/label/{label}/values", **span, **match)
    if answer.get("error") and "loki" in query.source:
        answer = grafana.ask(query.source, f"/loki/api/v1/label/{label}/values", start=span["start"] * 10**9)
    return Answer(len(answer.get("data") or []), answer.get("error", ""))


def _has_number(series: Mapping[str, Any], lines: bool) -> bool:
    values = series.get("values") or [series["value"]]
    return bool(values) if lines else any(value != "NaN" for _, value in values)


def ask_until_data(grafana: Grafana, seconds: float) -> dict[Query, Answer]:
    """Ask every query, and those of panels without data again, until all panels have data or `seconds` have passed."""
    queries = queries_of(grafana)
    deadline = time.monotonic() + seconds
    answers: dict[Query, Answer] = {}
    due = queries
    with ThreadPoolExecutor(4) as pool:
        while due:
            answers.update(zip(due, pool.map(lambda query: ask(grafana, query), due), strict=True))
            due = empty_queries(answers)
            if time.monotonic() >= deadline:
                break
            # Grafana's own panels show how many queries a browser asked.
            grafana.look()
            time.sleep(1)
    return answers


def empty_queries(answers: Mapping[Query, Answer]) -> list[Query]:
    """Return the queries of panels without any data, but for panels that may be empty."""
    full = {(query.board, query.panel) for query, answer in answers.items() if answer.series}
    return [query for query in answers if (query.board, query.panel) not in full and not query.may_be_empty]
