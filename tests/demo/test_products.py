"""The one backend as the backend of every product: its stores, its metrics' names, and the switches for releases."""

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
from tests.demo.fakes import FakeJobs

CHECKOUT = Path(__file__).resolve().parents[2]
BROKEN = ServerSettings(port=3000, release="r8", grace=8, unhealthy=True)


def client(stores: Stores, metrics: BackendMetrics | None = None) -> TestClient:
    return TestClient(build_app(stores, ServerSettings(port=3000, release="r7", grace=8), metrics))


def test_every_kpi_that_love_parsers_product_file_lists_is_shown_from_the_start() -> None:
    metrics = BackendMetrics("", polls=False)
    queues = Queues(FakeJobs(), metrics.registry)
    metrics_page = client(Stores(queues=queues), metrics).get("/metrics").text
    product = yaml.safe_load((CHECKOUT / "products" / "love-parser.yaml").read_text())
    listed = {name for kpi in product["kpis"] for name in re.findall(r"love_parser_\w+", kpi["query"])}
    assert listed
    assert listed <= set(re.findall(r"^# TYPE (\S+) ", metrics_page, re.MULTILINE))


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


@pytest.mark.parametrize("path", ["/", "/health"])
def test_an_unhealthy_web_app_fails_whichever_path_is_its_health_check(
    path: str, caplog: pytest.LogCaptureFixture
) -> None:
    assert TestClient(static.build_app(BROKEN)).get(path).status_code == 503
    own_lines = [record.getMessage() for record in caplog.records if record.name.startswith("demo")]
    assert UNHEALTHY in own_lines[-1]
