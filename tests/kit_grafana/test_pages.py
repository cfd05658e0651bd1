from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from starlette.testclient import TestClient

from tests.kit_grafana.conftest import PROMETHEUS, FakePrometheus, Provisioning, success, vector
from toolchain.kit.grafana.grafana_double.pages import fill_in
from toolchain.kit.grafana.grafana_double.timing import Span, moment
from toolchain.kit.grafana.grafana_double.values import spell

Start = Callable[..., TestClient]
PACKAGE = Path(__file__).resolve().parents[2] / "toolchain" / "kit" / "grafana"


@pytest.mark.parametrize("path", ["/", "/login", "/d/dockyard-overview", "/d/none"])
def test_every_page_says_that_it_is_a_double(start: Start, overview: str, path: str) -> None:
    answer = start().get(path)
    assert "This is a double of Grafana" in answer.text
    assert answer.headers["content-security-policy"].startswith("default-src 'none'")


def test_the_front_page_lists_dashboards_data_sources_and_problems(
    start: Start, provisioning: Provisioning, overview: str
) -> None:
    provisioning.board("bad.json", "<b>")
    text = start().get("/").text
    assert f'<a href="/d/{overview}/overview">Overview</a>' in text
    assert "http://prometheus:9090" in text
    assert "failed to load dashboard from" in text


EVERYTHING = 'product=~".+", environment=~".+"'
"""What the overview's variables are before anybody chooses."""


def test_a_dashboard_s_page_shows_each_panel_with_its_current_values(
    start: Start, prometheus: FakePrometheus, overview: str
) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        query = httpx.QueryParams(request.content.decode())["query"]
        if query == f'sum(up{{{EVERYTHING}, job="backend"}})':
            return vector(({}, "1"))
        if query == f'instance:node_cpu_utilisation:ratio_rate5m{{{EVERYTHING}, instance=~".+"}}':
            return vector(({"instance": "host:9100"}, "0.4242"))
        if query == f"redis_memory_used_bytes{{{EVERYTHING}}}":
            return vector(({}, "1572864"))
        return success("vector", [])

    prometheus.answer = answer
    text = start().get(f"/d/{overview}").text
    assert '<td></td><td class="v">up</td>' not in text, "a series without labels is named by its expression"
    assert '<td class="v">up</td>' in text
    assert '<td>host:9100</td><td class="v">42.4%</td>' in text
    assert '<td>in use</td><td class="v">1.5 MiB</td>' in text
    assert '<td class="v">unknown</td>' in text
    assert len(prometheus.requests) == text.count("<strong>") - 1 + 2  # two panels have two queries


def test_a_query_that_fails_shows_its_error_and_the_other_panels_their_values(
    start: Start, provisioning: Provisioning, prometheus: FakePrometheus
) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        if b"query=bad" in request.content:
            return httpx.Response(400, json={"status": "error", "error": "parse error <1:1>"})
        return vector(({"job": "<script>"}, "7"))

    prometheus.answer = answer
    source = {"uid": "none"}
    provisioning.board(
        "a.json",
        {
            "uid": "a",
            "title": "<i>A</i>",
            "panels": [
                {"title": "Bad", "targets": [{"expr": "bad"}]},
                {"title": "Good", "targets": [{"expr": "up", "legendFormat": "{{job}}"}]},
                {"title": "Lost", "datasource": source, "targets": [{"expr": "up"}]},
            ],
        },
    )
    text = start().get("/d/a").text
    assert "parse error &lt;1:1&gt;" in text
    assert '<td>&lt;script&gt;</td><td class="v">7</td>' in text
    assert "Datasource was not found" in text
    assert "<i>" not in text


def test_variables_have_the_value_they_have_before_anybody_chose() -> None:
    found = [
        {"name": "env", "type": "constant", "query": "staging"},
        {"name": "job", "current": {"value": ["a", "b"]}},
        {"name": "all", "current": {"value": "$__all"}},
        {"name": "pattern", "current": {"value": r"\d+"}},
    ]
    expr = 'up{env="$env", job=~"${job:regex}", x=~"[[all]]", y=~"$pattern", z="$envy"}'
    filled = fill_in(expr, {"templating": {"list": found}})
    assert filled == r'up{env="staging", job=~"a|b", x=~".*", y=~"\d+", z="$envy"}'


@pytest.mark.parametrize(
    ("value", "defaults", "text"),
    [
        (0.1234, {"unit": "percentunit"}, "12.3%"),
        (2048, {"unit": "bytes"}, "2 KiB"),
        (0.25, {"unit": "s"}, "250 ms"),
        (1.5, {"unit": "s"}, "1.5 s"),
        (3, {"unit": "reqps"}, "3 req/s"),
        (1234567, {}, "1,234,567"),
        (float("nan"), {"unit": "s"}, "NaN"),
        (float("-inf"), {}, "-∞"),
        (0, {"mappings": [{"type": "value", "options": {"0": {"text": "down"}}}]}, "down"),
        (2, {"mappings": [{"type": "range", "options": {"from": 1, "to": None, "result": {"text": "up"}}}]}, "up"),
        (0.5, {"mappings": [{"type": "range", "options": {"from": 1, "to": None, "result": {"text": "up"}}}]}, "0.5"),
        ("a line", {"unit": "s"}, "a line"),
    ],
)
def test_values_read_as_their_unit_and_mappings_say(value: float | str, defaults: dict[str, object], text: str) -> None:
    assert spell(value, defaults) == text


def test_times_are_read_in_all_of_grafana_s_forms() -> None:
    assert moment("now", now=1000) == 1000
    assert moment("now-6h", now=100000) == 100000 - 21600
    assert moment("now+1m", now=0) == 60
    assert moment(1700000000000) == 1700000000
    assert moment("2026-01-01T00:00:00Z") == moment("2026-01-01T00:00:00")
    with pytest.raises(ValueError, match="yesterday"):
        moment("yesterday")


def test_a_range_never_has_more_points_than_prometheus_takes() -> None:
    assert Span.of(0, 3600, max_points=1000).step == 15
    assert Span.of(0, 3600, max_points=60).step == 60
    year = Span.of(0, 31536000, max_points=10**9)
    assert year.end / year.step < 11000


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_the_program_starts_says_what_it_is_and_stops_on_sigterm(provisioning: Provisioning, overview: str) -> None:
    port = free_port()
    environment = {
        **os.environ,
        "GF_PATHS_PROVISIONING": str(provisioning.root),
        "GF_SERVER_HTTP_ADDR": "127.0.0.1",
        "GF_SERVER_HTTP_PORT": str(port),
    }
    command = [sys.executable, "-m", "grafana_double"]
    with subprocess.Popen(command, cwd=PACKAGE, env=environment, stdout=subprocess.PIPE, text=True) as process:
        try:
            deadline = time.monotonic() + 30
            while True:
                try:
                    answer = httpx.get(f"http://127.0.0.1:{port}/api/health", trust_env=False)
                    break
                except httpx.ConnectError:
                    assert process.poll() is None
                    assert time.monotonic() < deadline
                    time.sleep(0.1)
            assert answer.json()["database"] == "ok"
        finally:
            process.send_signal(signal.SIGTERM)
            output, _ = process.communicate(timeout=15)
    assert "This is a double of Grafana" in output.splitlines()[0]
    assert "dashboards=1" in output


def test_the_program_exits_with_1_and_one_line_where_grafana_does_not_start(provisioning: Provisioning) -> None:
    provisioning.data_sources(PROMETHEUS, PROMETHEUS | {"name": "B", "uid": "b"})
    environment = {**os.environ, "GF_PATHS_PROVISIONING": str(provisioning.root)}
    command = [sys.executable, "-m", "grafana_double"]
    result = subprocess.run(
        command, cwd=PACKAGE, env=environment, capture_output=True, text=True, timeout=30, check=False
    )
    assert result.returncode == 1
    assert "Only one datasource per organization" in result.stdout.splitlines()[-1]
    assert not result.stderr
