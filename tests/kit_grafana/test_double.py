"""What the double of Grafana answers as Grafana does; tests/live and tests/products ask the rest in real stacks."""

from collections.abc import Callable

import pytest
from starlette.testclient import TestClient

from components.monitoring.grafana import datasources, environment
from offline.kit.grafana.grafana_double.settings import read_settings
from settings.grafana import Grafana
from settings.logs import LogStore
from tests.support.grafana import PROMETHEUS, Provisioning

Start = Callable[[], TestClient]
NEW = "/alerting/silence/new"
PLUGIN = "victoriametrics-logs-datasource"


@pytest.mark.parametrize("path", ["/", "/login", "/d/dockyard-overview", "/d/none"])
def test_every_page_says_that_it_is_a_double(start: Start, overview: str, path: str) -> None:
    answer = start().get(path)
    assert "This is a double of Grafana" in answer.text
    assert answer.headers["content-security-policy"].startswith("default-src 'none'")


@pytest.fixture(params=["loki", "victorialogs"])
def shipped(
    request: pytest.FixtureRequest, provisioning: Provisioning, monkeypatch: pytest.MonkeyPatch
) -> dict[str, str]:
    """The data sources of a stack with one of the log stores: uid → name of the type."""
    store: LogStore = request.param
    for name, value in environment(Grafana(), "http://127.0.0.1:3001", logs=store).items():
        if name.startswith("GF_PLUGINS_"):
            monkeypatch.setenv(name, value)
    listed = datasources(Grafana(), logs=store)["datasources"]
    assert isinstance(listed, list)
    provisioning.data_sources(*listed)
    return {source["uid"]: source["type"] for source in listed}


def test_the_shipped_data_sources_give_no_cause_for_complaint(start: Start, shipped: dict[str, str]) -> None:
    client = start()
    assert client.get("/api/double/problems").json() == []
    assert {source["uid"]: source["type"] for source in client.get("/api/datasources").json()} == shipped


def test_an_alertmanager_that_grafana_would_take_for_mimirs_is_complained_about(
    start: Start, provisioning: Provisioning
) -> None:
    provisioning.data_sources(PROMETHEUS, {"name": "A", "uid": "a", "type": "alertmanager", "url": "http://a:9093"})
    (problem,) = start().get("/api/double/problems").json()
    assert "Alertmanagers of Prometheus only" in problem


def test_the_data_source_of_victorialogs_needs_its_plugin(start: Start, provisioning: Provisioning) -> None:
    lines = {"name": "VictoriaLogs", "type": PLUGIN, "uid": "lines", "url": "http://victorialogs:9428"}
    provisioning.data_sources(PROMETHEUS, lines)
    (problem,) = start().get("/api/double/problems").json()
    assert PLUGIN in problem


def test_a_link_fills_the_form_for_a_silence(start: Start, shipped: dict[str, str]) -> None:
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
def test_a_link_that_grafana_could_not_follow_is_told(
    start: Start, shipped: dict[str, str], query: str, status: int
) -> None:
    assert start().get(f"{NEW}?{query}").status_code == status


@pytest.mark.parametrize(("root_url", "seconds"), [("https://g.example", 31536000), ("http://127.0.0.1:3001", None)])
def test_what_a_stack_says_of_cookies_and_tls_is_understood(root_url: str, seconds: int | None) -> None:
    given = {name: value for name, value in environment(Grafana(), root_url).items() if not name.endswith("__FILE")}
    said = read_settings(given)
    assert (said.strict_transport, said.cookie_secure) == (seconds, seconds is not None)
    assert (said.cookie_samesite, said.anonymous, said.sign_up, said.login_form) == ("lax", False, False, True)
