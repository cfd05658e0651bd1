"""What stands for prom-client's default metrics: Node's names, and values of this very process."""

from __future__ import annotations

import asyncio
import gc
import re
import time
from pathlib import Path

import httpx
import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families
from starlette.testclient import TestClient

from demo import frontend, nodejs
from demo.api import Stores, build_app
from demo.nodejs import GC_BUCKETS_SECONDS, LoopLag, NodeMetrics, Pauses
from demo.switches import ServerSettings

SERVER = ServerSettings(port=3000, release="r7", grace=8)

PROM_CLIENT = {
    "nodejs_eventloop_lag_seconds",
    "nodejs_eventloop_lag_min_seconds",
    "nodejs_eventloop_lag_max_seconds",
    "nodejs_eventloop_lag_mean_seconds",
    "nodejs_eventloop_lag_stddev_seconds",
    "nodejs_eventloop_lag_p50_seconds",
    "nodejs_eventloop_lag_p90_seconds",
    "nodejs_eventloop_lag_p99_seconds",
    "nodejs_active_handles",
    "nodejs_active_handles_total",
    "nodejs_active_requests",
    "nodejs_active_requests_total",
    "nodejs_heap_size_total_bytes",
    "nodejs_heap_size_used_bytes",
    "nodejs_external_memory_bytes",
    "nodejs_heap_space_size_total_bytes",
    "nodejs_heap_space_size_used_bytes",
    "nodejs_heap_space_size_available_bytes",
    "nodejs_version_info",
    "nodejs_gc_duration_seconds",
    "process_cpu_seconds_total",
    "process_start_time_seconds",
    "process_resident_memory_bytes",
    "process_virtual_memory_bytes",
    "process_open_fds",
    "process_max_fds",
}
"""Default metrics of prom-client 15, those that every version of Node has."""


def samples(text: str) -> dict[tuple[str, str], float]:
    """Return name and the one label's value (or nothing) → value."""
    return {
        (sample.name, next(iter(sample.labels.values()), "")): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def scraped(metrics: CollectorRegistry) -> dict[tuple[str, str], float]:
    return samples(generate_latest(metrics).decode())


@pytest.mark.parametrize("which", ["backend", "frontend"])
def test_backend_and_frontend_export_what_prom_client_exports_by_default(which: str) -> None:
    if which == "backend":
        app = build_app(Stores(), SERVER)
    else:
        app = frontend.build_app(httpx.AsyncClient(base_url="http://127.0.0.1:1"), SERVER)
    with TestClient(app) as client:
        types = dict(re.findall(r"^# TYPE (\S+) (\w+)$", client.get("/metrics").text, re.MULTILINE))
    assert types.keys() >= PROM_CLIENT
    assert types["nodejs_gc_duration_seconds"] == "histogram"
    # As with prom-client, these are gauges although their names say `total`.
    assert types["nodejs_active_handles_total"] == "gauge"


def test_memory_is_that_of_this_process_and_below_its_limit() -> None:
    NodeMetrics(registry := CollectorRegistry())
    found = scraped(registry)
    used, total = found["nodejs_heap_size_used_bytes", ""], found["nodejs_heap_size_total_bytes", ""]
    assert 5_000_000 < used < total
    assert used < found["nodejs_heap_size_limit_bytes", ""]
    private = {figure: found[f"nodejs_heap_space_size_{figure}_bytes", "private"] for figure in ("used", "available")}
    assert private["used"] + private["available"] == total


def test_the_limit_is_the_containers_where_it_has_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    limit = tmp_path / "memory.max"
    monkeypatch.setattr(nodejs, "MEMORY_LIMITS", (tmp_path / "nothing", limit))
    limit.write_text("268435456\n")
    assert nodejs.memory_limit() == 268_435_456
    limit.write_text("max\n")
    assert nodejs.memory_limit() == nodejs.read_sizes(nodejs.MEMINFO)["MemTotal"]


def test_a_run_of_the_collector_is_counted_by_its_kind() -> None:
    NodeMetrics(registry := CollectorRegistry())
    count = ("nodejs_gc_duration_seconds_count", "major")
    before = scraped(registry)[count]
    gc.collect()
    after = scraped(registry)
    assert after[count] >= before + 1
    assert after["nodejs_gc_duration_seconds_sum", "major"] > 0


def test_pauses_fall_into_the_bucket_that_is_just_as_long_or_longer() -> None:
    pauses = Pauses()
    for seconds in (0.0005, GC_BUCKETS_SECONDS[1], 9.0):
        pauses.note(seconds)
    assert pauses.cumulative() == [
        ("0.001", 1),
        ("0.01", 2),
        ("0.1", 2),
        ("1", 2),
        ("2", 2),
        ("5", 2),
        ("+Inf", 3),
    ]
    assert pauses.seconds == pytest.approx(9.0105)


def test_a_blocked_event_loop_shows_in_the_lag_until_the_next_scrape() -> None:
    lag = LoopLag()

    async def block() -> None:
        async with lag.watched():
            await asyncio.sleep(0.02)
            time.sleep(0.3)
            await asyncio.sleep(0.25)

    asyncio.run(block())
    first = lag.figures()
    assert 0.15 < first["p99_"] <= first["max_"] < 5
    lag.note(0.001)
    assert lag.figures()["max_"] == 0.001
    # Two scrapes at once show the same, not zeros.
    assert lag.figures()["max_"] == 0.001


def test_percentiles_are_those_of_the_lags_noted() -> None:
    lag = LoopLag()
    for hundredths in range(100, 0, -1):
        lag.note(hundredths / 100)
    found = lag.figures()
    assert (found["min_"], found["p50_"], found["p90_"], found["p99_"], found["max_"]) == (0.01, 0.5, 0.9, 0.99, 1.0)
    assert found["mean_"] == pytest.approx(0.505)


def test_lags_that_nobody_scrapes_do_not_pile_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nodejs, "MOST_SAMPLES", 10)
    lag = LoopLag()
    for seconds in range(1000):
        lag.note(float(seconds))
    assert lag.figures()["max_"] == 999
    assert lag.figures()["min_"] >= 990


def test_open_files_and_tasks_are_counted_and_the_version_is_told(tmp_path: Path) -> None:
    NodeMetrics(registry := CollectorRegistry())

    async def scrape() -> dict[tuple[str, str], float]:
        return scraped(registry)

    before = asyncio.run(scrape())
    with (tmp_path / "open").open("w"):
        after = asyncio.run(scrape())
    assert after["nodejs_active_handles", "File"] == before["nodejs_active_handles", "File"] + 1
    assert after["nodejs_active_requests_total", ""] == 1
    # Its first label by name is `major`; a Python is never taken for a Node that is too old.
    assert [major for name, major in after if name == "nodejs_version_info"] == ["3"]
