"""Every panel and every variable of every dashboard, asked as Grafana would ask: through its data sources.

    python -m tests.support.panels http://127.0.0.1:3001 PASSWORD

prints every query without data.
"""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import httpx
import yaml

from tests.support.stack import Stack

EMPTY = yaml.safe_load((Path(__file__).parent / "empty_panels.yaml").read_text())
"""Board → panel → why it may show nothing."""

LOGS_TYPE, LOGSQL_TYPE = "loki", "victoriametrics-logs-datasource"
"""The types of the data sources of logs."""

HOUR = 3600
STEP = 15
BUILT_IN = {"__rate_interval": "1m", "__interval": "15s", "__range": "1h", "__auto": "1m"}
"""As Grafana has them for an hour at a scrape interval of 15 s."""


@dataclass(frozen=True)
class Query:
    """One query of a panel or variable, ready to be asked."""

    board: str
    panel: str
    """The panel's title, or `$` and the variable's name."""

    expr: str
    source: str
    """The uid of its data source."""

    kind: str
    """`variable`, `instant`, `range`, `logs`, or `logsql-` and the type of a query of VictoriaLogs."""

    @property
    def is_promql(self) -> bool:
        """Whether it is a panel's PromQL."""
        return self.kind in ("instant", "range")

    @property
    def may_be_empty(self) -> bool:
        """Whether empty_panels.yaml names the panel."""
        return self.panel in EMPTY.get(self.board, {})

    def __str__(self) -> str:
        return f"{self.board}, {self.panel}: {self.expr}"


@dataclass(frozen=True)
class Answer:
    """The answer of a data source to one query."""

    series: int = 0
    """Series with at least one value that is a number; values of a variable; streams of lines."""

    error: str = ""


class Grafana:
    """A Grafana with its dashboards and data sources."""

    def __init__(self, url: str, password: str, user: str = "admin") -> None:
        self._client = httpx.Client(base_url=url, auth=(user, password), timeout=30)

    def look(self) -> None:
        """Ask one query as a panel does in a browser; the other checks go past Grafana's own count of those."""
        asked = {"refId": "A", "datasource": {"uid": self.prometheus}, "expr": "up", "instant": True}
        self._client.post("/api/ds/query", json={"queries": [asked], "from": "now-5m", "to": "now"}).raise_for_status()

    def boards(self) -> list[dict[str, Any]]:
        """Return every dashboard that is provisioned."""
        found = self._get("/api/search", type="dash-db", limit=200)
        return [self._get(f"/api/dashboards/uid/{one['uid']}")["dashboard"] for one in found]

    @cached_property
    def prometheus(self) -> str:
        """Uid of its Prometheus data source."""
        (found,) = [one["uid"] for one in self._get("/api/datasources") if one["type"] == "prometheus"]
        return str(found)

    def ask(self, uid: str, path: str, **params: Any) -> dict[str, Any]:
        """Ask a data source; return its answer, an error included."""
        response = self._client.get(f"/api/datasources/proxy/uid/{uid}{path}", params=params)
        try:
            return dict(response.json())
        except ValueError:
            return {"status": "error", "error": f"{response.status_code}: {response.text[:200]}"}

    def ask_logsql(self, uid: str, path: str, **params: Any) -> dict[str, Any]:
        """Ask a VictoriaLogs; return its answer in the form of Prometheus, an error included."""
        response = self._client.get(f"/api/datasources/proxy/uid/{uid}/select/logsql{path}", params=params)
        if response.is_error:
            return {"status": "error", "error": f"{response.status_code}: {response.text[:200]}"}
        if path != "/query":
            return dict(response.json())
        # A line of JSON for each log line.
        lines = [{"values": [[0, line]]} for line in response.text.splitlines() if line.strip()]
        return {"status": "success", "data": {"resultType": "streams", "result": lines}}

    def _get(self, path: str, **params: Any) -> Any:
        response = self._client.get(path, params=params)
        response.raise_for_status()
        return response.json()


def grafana_of(stack: Stack) -> Grafana:
    """Return a stack's Grafana, opened with its administrator's password."""
    return Grafana(stack.urls["grafana"], stack.outputs(show_secrets=True)["secrets"]["grafana-admin-password"])


def queries_of(grafana: Grafana) -> list[Query]:
    """Return every query of every panel and variable, in the order of the boards."""
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
            query = variable["query"]["query"] if isinstance(variable["query"], dict) else variable["query"]
            text, title = interpolated(query, values), f"${variable['name']}"
            kind = "logsql-variable" if variable["datasource"]["type"] == LOGSQL_TYPE else "variable"
            yield Query(board["uid"], title, text, uid(variable["datasource"]), kind)
    for panel in board["panels"]:
        for target in panel.get("targets", []):
            text, source = interpolated(target["expr"], values), uid(panel["datasource"])
            metrics = "instant" if target.get("instant") else "range"
            kinds = {LOGS_TYPE: "logs", LOGSQL_TYPE: f"logsql-{target.get('queryType')}"}
            kind = kinds.get(panel["datasource"]["type"], metrics)
            yield Query(board["uid"], panel["title"], text, source, kind)


def interpolated(text: str, values: Mapping[str, str]) -> str:
    """Return a query with its variables in place; a variable that is none stays as it is, and fails."""
    known = {**values, **BUILT_IN}
    return re.sub(r"\$\{?(\w+)(?::\w+)?\}?|\[\[(\w+)\]\]", lambda name: known.get(name[1] or name[2], name[0]), text)


def ask(grafana: Grafana, query: Query) -> Answer:
    """Ask one query over the last hour."""
    now = int(time.time())
    if query.kind == "variable":
        return _ask_variable(grafana, query, now)
    if query.kind == "logs":
        span = {"start": (now - HOUR) * 10**9, "end": now * 10**9, "step": STEP, "limit": 20}
        answer = grafana.ask(query.source, "/loki/api/v1/query_range", query=query.expr, **span)
    elif query.kind == "logsql-variable":
        values = grafana.ask_logsql(query.source, "/field_values", query=f"_time:1h {query.expr}", field="service")
        return Answer(len(values.get("values") or []), values.get("error", ""))
    elif query.kind.startswith("logsql"):
        path = {"logsql-instant": "/query", "logsql-statsRange": "/stats_query_range"}[query.kind]
        span = {"start": now - HOUR, "end": now, "step": f"{STEP}s", "limit": 20}
        answer = grafana.ask_logsql(query.source, path, query=query.expr, **span)
    elif query.kind == "instant":
        answer = grafana.ask(query.source, "/api/v1/query", query=query.expr, time=now)
    else:
        span = {"start": now - HOUR, "end": now, "step": STEP}
        answer = grafana.ask(query.source, "/api/v1/query_range", query=query.expr, **span)
    if answer.get("status") != "success":
        return Answer(error=answer.get("error", "") or str(answer)[:200])
    lines = answer["data"]["resultType"] == "streams"
    return Answer(sum(1 for series in answer["data"]["result"] if _has_number(series, lines)))


def _ask_variable(grafana: Grafana, query: Query, now: int) -> Answer:
    label_values = re.fullmatch(r"label_values\((?:(?P<metric>.+), ?)?(?P<label>\w+)\)", query.expr, re.DOTALL)
    if not label_values:
        return Answer(error="not a query that this check knows")
    label, match = label_values["label"], {"match[]": label_values["metric"]} if label_values["metric"] else {}
    answer = grafana.ask(query.source, f"/api/v1/label/{label}/values", start=now - HOUR, end=now, **match)
    if answer.get("error") and "loki" in query.source:
        answer = grafana.ask(query.source, f"/loki/api/v1/label/{label}/values", start=(now - HOUR) * 10**9)
    return Answer(len(answer.get("data") or []), answer.get("error", ""))


def _has_number(series: Mapping[str, Any], lines: bool) -> bool:
    values = series.get("values") or [series["value"]]
    return bool(values) if lines else any(value != "NaN" for _, value in values)


def ask_until_data(grafana: Grafana, seconds: float) -> dict[Query, Answer]:
    """Ask every query, and those of panels without data again, until all panels have data or `seconds` have passed.

    A panel has data when one of its queries has. Queries of panels that may be empty are asked once.
    """
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


def main() -> int:
    """Print every query that shows nothing or fails; return how many of them have no excuse."""
    grafana = Grafana(sys.argv[1], sys.argv[2])
    answers = {query: ask(grafana, query) for query in queries_of(grafana)}
    bad = [q for q, answer in answers.items() if answer.error or (not answer.series and not q.may_be_empty)]
    for query in bad:
        print(f"{query}\n    {answers[query].error or 'no data'}")  # noqa: T201 - for a person
    full = sum(bool(answer.series) for answer in answers.values())
    print(f"{len(answers)} queries, {full} with data, {len(bad)} bad")  # noqa: T201 - likewise
    return len(bad)


if __name__ == "__main__":
    sys.exit(main())
