"""What the double asks of VictoriaLogs, as the plugin of its data source does, and that it misses the plugin."""

from __future__ import annotations

from collections.abc import Callable

import httpx
import pytest
from starlette.testclient import TestClient

from tests.support.grafana import PROMETHEUS, FakePrometheus, Provisioning, success

Start = Callable[..., TestClient]

VICTORIALOGS = {
    "name": "VictoriaLogs",
    "type": "victoriametrics-logs-datasource",
    "uid": "lines",
    "url": "http://victorialogs:9428",
}


def ask_victorialogs(start: Start, provisioning: Provisioning, kind: str) -> httpx.Response:
    provisioning.data_sources(PROMETHEUS, VICTORIALOGS)
    query = {"refId": "V", "expr": '{service="web"}', "queryType": kind, "datasource": {"uid": "lines"}}
    return start().post("/api/ds/query", json={"queries": [query]})


@pytest.mark.parametrize("kind", ["", "instant"])
def test_lines_are_asked_of_victorialogs(
    start: Start, provisioning: Provisioning, prometheus: FakePrometheus, kind: str
) -> None:
    text = '{"_time":"2023-11-14T22:13:20.123456789Z","_msg":"hello","_stream":"{}","service":"web"}\n'
    prometheus.answer = lambda _request: httpx.Response(200, text=text)
    frame = ask_victorialogs(start, provisioning, kind).json()["results"]["V"]["frames"][0]
    assert frame["data"]["values"] == [[1700000000123], ["hello"]]
    assert frame["schema"]["fields"][1]["labels"]["service"] == "web"
    request = prometheus.requests[0]
    assert (request.url.host, request.url.path) == ("victorialogs", "/select/logsql/query")
    assert prometheus.asked()[0]["limit"] == "1000"


@pytest.mark.parametrize(("kind", "path"), [("stats", "stats_query"), ("statsRange", "stats_query_range")])
def test_figures_are_asked_of_victorialogs(
    start: Start, provisioning: Provisioning, prometheus: FakePrometheus, kind: str, path: str
) -> None:
    prometheus.answer = lambda _request: success(
        "matrix", [{"metric": {"service": "web"}, "values": [[1700000000, "7"]]}]
    )
    frame = ask_victorialogs(start, provisioning, kind).json()["results"]["V"]["frames"][0]
    assert frame["data"]["values"] == [[1700000000000], [7.0]]
    assert prometheus.requests[0].url.path == f"/select/logsql/{path}"


def test_hits_are_asked_of_victorialogs(start: Start, provisioning: Provisioning, prometheus: FakePrometheus) -> None:
    hits = {"fields": {"service": "web"}, "timestamps": ["2023-11-14T22:13:20Z"], "values": [3]}
    prometheus.answer = lambda _request: httpx.Response(200, json={"hits": [hits]})
    frame = ask_victorialogs(start, provisioning, "hits").json()["results"]["V"]["frames"][0]
    assert frame["data"]["values"] == [[1700000000000], [3.0]]
    assert prometheus.asked()[0]["step"].endswith("s")


def test_a_wrong_query_of_victorialogs_is_an_error(
    start: Start, provisioning: Provisioning, prometheus: FakePrometheus
) -> None:
    prometheus.answer = lambda _request: httpx.Response(400, text="cannot parse query")
    assert ask_victorialogs(start, provisioning, "instant").json()["results"]["V"]["error"] == "cannot parse query"
    answer = ask_victorialogs(start, provisioning, "range")
    assert "no queries of type 'range'" in answer.json()["results"]["V"]["error"]


@pytest.mark.parametrize(
    ("environment", "complaints"),
    [
        ({}, 1),
        ({"GF_PLUGINS_PREINSTALL_SYNC": "victoriametrics-logs-datasource@0.21.0"}, 0),
        (
            {
                "GF_PLUGINS_PREINSTALL_SYNC": "victoriametrics-logs-datasource@0.21.0",
                "GF_PLUGINS_PREINSTALL_DISABLED": "true",
            },
            1,
        ),
    ],
    ids=["not installed", "installed", "switched off"],
)
def test_the_data_source_of_victorialogs_needs_its_plugin(
    start: Start,
    provisioning: Provisioning,
    monkeypatch: pytest.MonkeyPatch,
    environment: dict[str, str],
    complaints: int,
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    provisioning.data_sources(PROMETHEUS, VICTORIALOGS)
    problems = start().get("/api/double/problems").json()
    assert len([problem for problem in problems if "victoriametrics-logs-datasource" in problem]) == complaints
