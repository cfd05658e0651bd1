import asyncio
import re
from collections.abc import Iterator

import pytest
from prometheus_client.parser import text_string_to_metric_families
from starlette.testclient import TestClient

from demo import health
from demo.api import Stores, build_app
from demo.switches import ServerSettings
from tests.demo.fakes import FakeCache, FakePolls

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

TEA = {"question": "Tea?", "options": ["yes", "no"]}


class Backend:
    """The application, its client and its fakes."""

    def __init__(self) -> None:
        self.polls, self.cache = FakePolls(), FakeCache()
        app = build_app(Stores(self.polls, self.cache), ServerSettings(port=3333, release="r7", grace=8))
        self.client = TestClient(app, raise_server_exceptions=False)

    def value(self, sample: str, **labels: str) -> float:
        """Return one sample of /metrics; it must be there."""
        for family in text_string_to_metric_families(self.client.get("/metrics").text):
            for found in family.samples:
                if found.name == sample and labels.items() <= found.labels.items():
                    return found.value
        raise AssertionError(f"/metrics has no {sample} with {labels}")


@pytest.fixture
def backend() -> Iterator[Backend]:
    made = Backend()
    with made.client:
        yield made


def test_metrics_have_the_names_and_types_of_the_seed_and_two_more_of_the_pool(backend: Backend) -> None:
    backend.client.post("/polls", json=TEA)
    answer = backend.client.get("/metrics")
    types = dict(re.findall(r"^# TYPE (tumulte_\S+) (\w+)$", answer.text, re.MULTILINE))
    assert types == SEED_METRICS | OUR_METRICS
    # A gauge that is called `…_total` is not allowed in OpenMetrics, so it must never be that.
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")


def test_without_the_database_requests_get_503_and_metrics_still_answer(backend: Backend) -> None:
    backend.client.post("/polls", json=TEA)
    assert backend.value("tumulte_polls_active_total") == 1
    backend.polls.down = True
    refused = backend.client.get("/polls")
    assert (refused.status_code, refused.json()) == (503, {"error": "the database cannot be reached"})
    assert backend.value("tumulte_polls_active_total") == 1
    assert backend.value("tumulte_http_requests_total", route="/polls", status_code="503") == 1


def test_ready_names_each_store_that_failed_and_live_stays_ok(backend: Backend) -> None:
    backend.polls.down = True
    answer = backend.client.get("/health/ready")
    assert answer.status_code == 503
    assert answer.json()["failed"] == ["db"]
    assert answer.json()["checks"]["db"] == {"status": "failed", "reason": "connection refused"}
    backend.cache.down = True
    assert backend.client.get("/health/ready").json()["failed"] == ["db", "redis"]
    assert backend.client.get("/health/db").status_code == 503
    assert backend.client.get("/health/redis").status_code == 503
    assert backend.client.get("/health/live").status_code == 200
    assert backend.client.get("/health").status_code == 200


def test_a_store_that_hangs_has_failed(backend: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    async def hang() -> None:
        await asyncio.sleep(30)

    monkeypatch.setattr(health, "CHECK_SECONDS", 0.05)
    assert asyncio.run(health.failure_of(hang)) == "no answer within 0.05 s"
