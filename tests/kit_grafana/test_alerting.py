"""An Alertmanager as a data source of the double, and what its answers say to browsers."""

from __future__ import annotations

import json
from collections.abc import Callable

import httpx
import pytest
from starlette.testclient import TestClient

from components.grafana import datasources, environment
from settings.grafana import Grafana
from settings.logs import LogStore
from tests.support.grafana import PROMETHEUS, FakePrometheus, Provisioning
from toolchain.kit.grafana.grafana_double.settings import read_settings

Start = Callable[..., TestClient]
ALERTS = "/api/alertmanager/alertmanager/api/v2/alerts"
NEW = "/alerting/silence/new"


@pytest.fixture(params=["loki", "victorialogs"])
def shipped(
    request: pytest.FixtureRequest,
    provisioning: Provisioning,
    prometheus: FakePrometheus,
    monkeypatch: pytest.MonkeyPatch,
) -> str:
    """The data sources of a stack with one of the log stores; every request is answered with its own path and query."""
    store: LogStore = request.param
    for name, value in environment(Grafana(), "http://127.0.0.1:3001", logs=store).items():
        if name.startswith("GF_PLUGINS_"):
            monkeypatch.setenv(name, value)
    listed = datasources(Grafana(), logs=store)["datasources"]
    assert isinstance(listed, list)
    provisioning.data_sources(*listed)
    prometheus.answer = lambda asked: httpx.Response(200, json=[asked.method, asked.url.path, asked.url.query.decode()])
    return store


def test_the_shipped_data_sources_give_no_cause_for_complaint(start: Start, shipped: str) -> None:
    client = start()
    assert client.get("/api/double/problems").json() == []
    listed = {source["uid"]: source for source in client.get("/api/datasources").json()}
    assert list(listed) == ["prometheus", shipped, "alertmanager"]
    assert listed["alertmanager"]["typeName"] == "Alertmanager"
    assert listed["alertmanager"]["jsonData"]["implementation"] == "prometheus"


def test_an_alertmanager_that_grafana_would_take_for_mimirs_is_complained_about(
    start: Start, provisioning: Provisioning
) -> None:
    provisioning.data_sources(PROMETHEUS, {"name": "A", "uid": "a", "type": "alertmanager", "url": "http://a:9093"})
    (problem,) = start().get("/api/double/problems").json()
    assert "Alertmanagers of Prometheus only" in problem


def test_a_silence_is_made_and_taken_back(start: Start, shipped: str, prometheus: FakePrometheus) -> None:
    client = start()
    silence = {"matchers": [{"name": "alertname", "value": "Down", "isRegex": False}], "comment": "known"}
    made = client.post("/api/alertmanager/alertmanager/api/v2/silences", json=silence)
    assert made.json()[:2] == ["POST", "/api/v2/silences"]
    assert json.loads(prometheus.requests[0].content) == silence
    gone = client.delete("/api/alertmanager/alertmanager/api/v2/silence/0a1b-2c")
    assert gone.json()[:2] == ["DELETE", "/api/v2/silence/0a1b-2c"]


@pytest.mark.parametrize(
    "path", ["/api/alertmanager/alertmanager/api/v2/-/reload", ALERTS.replace("ger/api", "ger2/api")]
)
def test_nothing_else_of_it_is_reached(start: Start, shipped: str, prometheus: FakePrometheus, path: str) -> None:
    assert start().get(path).status_code == 404
    assert prometheus.requests == []


def test_a_link_fills_the_form_for_a_silence(start: Start, shipped: str) -> None:
    link = f"{NEW}?alertmanager=Alertmanager&matcher=alertname%3DDown&matcher=service%3Da%3Db%3Cc&matcher=alertname%3DX"
    answer = start().get(link)
    assert answer.status_code == 200
    assert "<td>alertname</td><td>=</td><td>Down</td>" in answer.text
    assert "<td>service</td><td>=</td><td>a=b&lt;c</td>" in answer.text
    assert "<td>X</td>" not in answer.text


@pytest.mark.parametrize(
    ("query", "status"),
    [("alertmanager=alertmanager", 404), ("", 404), ("alertmanager=Alertmanager&matcher=alertname", 400)],
)
def test_a_link_that_grafana_could_not_follow_is_told(start: Start, shipped: str, query: str, status: int) -> None:
    assert start().get(f"{NEW}?{query}").status_code == status


@pytest.mark.parametrize("path", [ALERTS, f"{NEW}?alertmanager=Alertmanager"])
def test_strangers_see_none_of_it(start: Start, shipped: str, prometheus: FakePrometheus, path: str) -> None:
    assert start(auth=None).get(path).status_code in {401, 302}
    assert prometheus.requests == []


@pytest.mark.parametrize(("root_url", "seconds"), [("https://g.example", 31536000), ("http://127.0.0.1:3001", None)])
def test_what_a_stack_says_of_cookies_and_tls_is_understood(root_url: str, seconds: int | None) -> None:
    given = {name: value for name, value in environment(Grafana(), root_url).items() if not name.endswith("__FILE")}
    said = read_settings(given)
    assert (said.strict_transport, said.cookie_secure) == (seconds, seconds is not None)
    assert (said.cookie_samesite, said.anonymous, said.sign_up, said.login_form) == ("lax", False, False, True)
