"""The driver: its traffic reaches every figure that rules and dashboards read."""

from __future__ import annotations

import re
import sys
import urllib.request
from collections.abc import Iterator

import pytest

from tests.support.demo import demo, running, wait_until_up
from tests.support.ports import free_port

SERVE_WITH_FAKES = """
import sys
from contextlib import asynccontextmanager
from demo.api import Stores, build_app
from demo.jobs import Queues
from demo.metrics import BackendMetrics
from demo.payments import Payments
from demo.serve import serve
from demo.switches import ServerSettings
from tests.demo.fakes import FakeCache, FakeJobs, FakePolls
metrics = BackendMetrics("")
jobs = FakeJobs()
queues = Queues(jobs, metrics.registry)
server = ServerSettings(int(sys.argv[1]), "r7", 10)
stores = Stores(FakePolls(), FakeCache(), queues, Payments(jobs, metrics.registry))

@asynccontextmanager
async def working(app):
    async with queues.working():
        yield

sys.exit(serve(build_app(stores, server, metrics, working), server))
"""


@pytest.fixture(scope="module")
def backend() -> Iterator[str]:
    port = free_port()
    with running("-c", SERVE_WITH_FAKES, str(port), PYTHONPATH=":".join(sys.path)) as process:
        wait_until_up(f"http://127.0.0.1:{port}/health")
        yield f"http://127.0.0.1:{port}"
        assert process.poll() is None


def metrics_of(url: str) -> dict[str, float]:
    with urllib.request.urlopen(f"{url}/metrics", timeout=10) as answer:
        lines = answer.read().decode().splitlines()
    return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines if not line.startswith("#"))}


def test_traffic_moves_requests_votes_queues_payments_and_sockets(backend: str) -> None:
    driven = demo("drive", "--backend", backend, "--seconds", "5", "--rate", "40", "--sockets", "2")
    assert driven.returncode == 0, driven.stderr
    assert "     0 without an answer" in driven.stdout
    for asked in ("201 POST /polls/{}/votes", "404 GET /wp-login.php", "500 GET /boom", "101 WebSocket"):
        assert re.search(rf"^ +\d+ {re.escape(asked)}$", driven.stdout, re.MULTILINE), driven.stdout
    found = metrics_of(backend)
    for name in (
        "votes_received_total",
        "polls_launched_total",
        "cache_hits_total",
        "cache_misses_total",
        "love_parser_broadcasts_sent_total",
        "love_parser_payments_succeeded_total",
        "love_parser_payment_callbacks_received_total",
        'love_parser_payment_callbacks_failed_total{reason="signature"}',
        'love_parser_payment_callbacks_failed_total{reason="unknown_order"}',
        'bull_queue_completed_total{queue="broadcast"}',
        'bull_queue_failed_total{queue="audience"}',
        'bull_queue_delayed{queue="parsing"}',
    ):
        assert found[name] > 0, name
