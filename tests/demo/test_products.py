"""The one backend as the backend of every product: its stores, its metrics' names, and the switches for releases."""

import asyncio
import re

import httpx
import pytest
from starlette.testclient import TestClient

from demo import health, static
from demo.api import Stores, build_app
from demo.switches import UNHEALTHY, ServerSettings
from demo.telegram import Telegram

SEED_METRICS = {
    "tumulte_http_requests_total": "counter",
    "tumulte_http_request_duration_seconds": "histogram",
    "tumulte_websocket_connections_total": "gauge",
    "tumulte_polls_launched_total": "counter",
    "tumulte_polls_active_total": "gauge",
    "tumulte_votes_received_total": "counter",
    "tumulte_db_connections_active": "gauge",
    "tumulte_db_connections_idle": "gauge",
    "tumulte_cache_hits_total": "counter",
    "tumulte_cache_misses_total": "counter",
}
"""tumulte-monitoring.txt, "Métriques disponibles", written out here a second time on purpose."""

OUR_METRICS = {"tumulte_db_connections_max": "gauge", "tumulte_db_connections_waiting": "gauge"}
"""What the scaling table's "DB connections > 80% pool" needs besides; see docs/product-file.md."""

BROKEN = ServerSettings(port=3000, release="r8", grace=8, unhealthy=True)


def client(stores: Stores) -> TestClient:
    return TestClient(build_app(stores, ServerSettings(port=3333, release="r7", grace=8)))


def test_metrics_have_the_names_and_types_of_the_seed_and_two_more_of_the_pool() -> None:
    answer = client(Stores()).get("/metrics")
    types = dict(re.findall(r"^# TYPE (tumulte_\S+) (\w+)$", answer.text, re.MULTILINE))
    assert types == SEED_METRICS | OUR_METRICS
    # A gauge that is called `…_total` is not allowed in OpenMetrics, so it must never be that.
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")


def test_a_store_that_hangs_has_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    async def hang() -> None:
        await asyncio.sleep(30)

    monkeypatch.setattr(health, "CHECK_SECONDS", 0.05)
    assert asyncio.run(health.failure_of(hang)) == "no answer within 0.05 s"


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
