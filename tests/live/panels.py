"""Every panel and every variable of every dashboard, asked as Grafana would ask: through its data sources.

    python -m tests.live.panels http://127.0.0.1:3001 PASSWORD

prints what came of each query.
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

EMPTY = yaml.safe_load((Path(__file__).parent / "empty_panels.yaml").read_text())
"""Board → panel → why it may show nothing."""

HOUR = 3600
STEP = 15
BUILT_IN = {"__rate_interval": "1m", "__interval": "15s", "__range": "1h", "__auto": "1m"}
"""As Grafana has them for an hour at a scrape interval of 15 s."""


@dataclass(frozen=True)
class Asked:
    """One query of a panel or variable, and what came of it."""

    board: str
    panel: str
    expr: str
    series: int = 0
    """How many series with at least one value that is a number."""

    error: str = ""

    promql: bool = False
    """Whether it is a panel's PromQL."""

    @property
    def excused(self) -> bool:
        """Whether it may show nothing."""
        return self.panel in EMPTY.get(self.board, {})


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

    def _get(self, path: str, **params: Any) -> Any:
        response = self._client.get(path, params=params)
        response.raise_for_status()
        return response.json()


def ask_all(grafana: Grafana) -> list[Asked]:
    """Ask every query of every panel and variable; in the order of the boards."""
    boards = grafana.boards()
    with ThreadPoolExecutor(4) as pool:
        return [asked for found in pool.map(lambda board: list(_board(grafana, board)), boards) for asked in found]


def _board(grafana: Grafana, board: Mapping[str, Any]) -> Iterator[Asked]:
    variables = board["templating"]["list"]
    sources = {one["name"]: one["current"]["value"] for one in variables if one["type"] == "datasource"}
    values = {one["name"]: one.get("allValue") or ".*" for one in variables if one["type"] == "query"}
    values |= {one["name"]: one.get("allValue") or ".+" for one in variables if one["type"] == "custom"}
    values |= {one["name"]: one.get("query") or "" for one in variables if one["type"] == "textbox"}

    def uid(reference: Mapping[str, str]) -> str:
        return re.sub(r"\$\{(\w+)\}", lambda found: sources[found[1]], reference["uid"])

    for one in variables:
        if one["type"] == "query":
            query = one["query"]["query"] if isinstance(one["query"], dict) else one["query"]
            text = interpolated(query, values)
            yield _variable(grafana, uid(one["datasource"]), board["uid"], one["name"], text)
    for panel in board["panels"]:
        for target in panel.get("targets", []):
            text = interpolated(target["expr"], values)
            yield _panel(grafana, uid(panel["datasource"]), board["uid"], panel, target, text)


def interpolated(text: str, values: Mapping[str, str]) -> str:
    """Return a query with its variables in place; a variable that is none stays as it is, and fails."""
    known = {**values, **BUILT_IN}
    return re.sub(
        r"\$\{?(\w+)(?::\w+)?\}?|\[\[(\w+)\]\]", lambda found: known.get(found[1] or found[2], found[0]), text
    )


def _variable(grafana: Grafana, uid: str, board: str, name: str, query: str) -> Asked:
    title = f"${name}"
    now = int(time.time())
    if found := re.fullmatch(r"label_values\((?:(?P<metric>.+), ?)?(?P<label>\w+)\)", query, re.DOTALL):
        match = {"match[]": found["metric"]} if found["metric"] else {}
        answer = grafana.ask(uid, f"/api/v1/label/{found['label']}/values", start=now - HOUR, end=now, **match)
        if answer.get("error") and "loki" in uid:
            answer = grafana.ask(uid, f"/loki/api/v1/label/{found['label']}/values", start=(now - HOUR) * 10**9)
    else:
        return Asked(board, title, query, error="not a query that this check knows")
    return Asked(board, title, query, len(answer.get("data") or []), answer.get("error", ""))


def _panel(
    grafana: Grafana, uid: str, board: str, panel: Mapping[str, Any], target: Mapping[str, Any], expr: str
) -> Asked:
    now = int(time.time())
    logs = panel["datasource"]["type"] == "loki"
    if logs:
        span = {"start": (now - HOUR) * 10**9, "end": now * 10**9, "step": STEP, "limit": 20}
        answer = grafana.ask(uid, "/loki/api/v1/query_range", query=expr, **span)
    elif target.get("instant"):
        answer = grafana.ask(uid, "/api/v1/query", query=expr, time=now)
    else:
        answer = grafana.ask(uid, "/api/v1/query_range", query=expr, start=now - HOUR, end=now, step=STEP)
    if answer.get("status") != "success":
        return Asked(board, panel["title"], expr, error=answer.get("error", "") or str(answer)[:200])
    series = sum(1 for one in answer["data"]["result"] if _has_number(one, answer["data"]["resultType"] == "streams"))
    return Asked(board, panel["title"], expr, series, promql=not logs)


def _has_number(series: Mapping[str, Any], lines: bool) -> bool:
    values = series.get("values") or [series["value"]]
    return bool(values) if lines else any(value != "NaN" for _, value in values)


def main() -> int:
    """Print every query that shows nothing or fails; return how many of them have no excuse."""
    asked = ask_all(Grafana(sys.argv[1], sys.argv[2]))
    bad = [one for one in asked if one.error or (not one.series and not one.excused)]
    for one in bad:
        print(f"{one.board}: {one.panel}: {one.error or 'no data'}\n    {one.expr}")  # noqa: T201 - for a person
    print(f"{len(asked)} queries, {sum(bool(one.series) for one in asked)} with data, {len(bad)} bad")  # noqa: T201 - likewise
    return len(bad)


if __name__ == "__main__":
    sys.exit(main())
