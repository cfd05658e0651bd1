"""The one backend as the backend of every product: its stores, its metrics' names, and the switches for releases."""

from __future__ import annotations

import logging
import re
from pathlib import Path

import httpx
import pytest
import yaml
from starlette.testclient import TestClient

from demo import static
from demo.api import Stores, build_app
from demo.jobs import Queues
from demo.metrics import BackendMetrics
from demo.switches import UNHEALTHY, ServerSettings
from demo.telegram import Telegram
from tests.demo.fakes import FakeJobs, FakePolls

CHECKOUT = Path(__file__).resolve().parents[2]
SERVER = ServerSettings(port=3000, release="r7", grace=8)
BROKEN = ServerSettings(port=3000, release="r8", grace=8, unhealthy=True)


def client(stores: Stores, server: ServerSettings = SERVER, metrics: BackendMetrics | None = None) -> TestClient:
    return TestClient(build_app(stores, server, metrics), raise_server_exceptions=False)


def own_lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return what the server said; the test's own client logs too."""
    return [record.getMessage() for record in caplog.records if record.name.startswith("demo")]


def names(text: str) -> set[str]:
    return set(re.findall(r"^# TYPE (\S+) ", text, re.MULTILINE))


def test_every_kpi_that_love_parsers_product_file_lists_is_shown_from_the_start() -> None:
    metrics = BackendMetrics("", polls=False)
    queues = Queues(FakeJobs(), metrics.registry)
    shown = names(client(Stores(queues=queues), metrics=metrics).get("/metrics").text)
    product = yaml.safe_load((CHECKOUT / "products" / "love-parser.yaml").read_text())
    wanted = {name for kpi in product["kpis"] for name in re.findall(r"love_parser_\w+", kpi["query"])}
    assert wanted
    assert wanted <= shown


@pytest.mark.parametrize("store", ["db", "redis", "telegram"])
@pytest.mark.parametrize("prefix", ["/health", "/api/health"])
def test_a_store_that_is_not_configured_is_healthy_and_says_so(prefix: str, store: str) -> None:
    answer = client(Stores()).get(f"{prefix}/{store}")
    assert (answer.status_code, answer.json()["note"]) == (200, "not configured")


def test_telegram_that_refuses_fails_readiness_without_showing_the_token(monkeypatch: pytest.MonkeyPatch) -> None:
    refusing = httpx.AsyncClient(
        base_url="http://telegram", transport=httpx.MockTransport(lambda _request: httpx.Response(401))
    )
    monkeypatch.setattr(httpx, "AsyncClient", lambda **_options: refusing)
    answer = client(Stores(telegram=Telegram("http://telegram", "12:hunter2").ping)).get("/health/ready")
    assert answer.status_code == 503
    assert answer.json()["checks"]["telegram"]["reason"] == "Telegram answers 401"
    assert "hunter2" not in answer.text


@pytest.mark.parametrize("path", ["/health", "/health/ready", "/api/health", "/api/health/ready"])
def test_an_unhealthy_release_never_passes_and_its_last_log_line_says_why(
    path: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "demo"):
        answer = client(Stores(polls=FakePolls()), BROKEN).get(path)
    assert answer.status_code == 503
    assert answer.json()["failed"] == ["demo"]
    assert own_lines(caplog)[-1] == f"not healthy: demo: {UNHEALTHY}"


@pytest.mark.parametrize("path", ["/", "/health"])
def test_an_unhealthy_web_app_fails_whichever_path_is_its_health_check(
    path: str, caplog: pytest.LogCaptureFixture
) -> None:
    assert TestClient(static.build_app(BROKEN)).get(path).status_code == 503
    assert UNHEALTHY in own_lines(caplog)[-1]
