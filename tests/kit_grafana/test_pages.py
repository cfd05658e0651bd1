from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from starlette.testclient import TestClient

from tests.support.grafana import PROMETHEUS, FakePrometheus, Provisioning, success, vector
from tests.support.ports import free_port
from tests.support.waiting import wait_until

Start = Callable[..., TestClient]
PACKAGE = Path(__file__).resolve().parents[2] / "toolchain" / "kit" / "grafana"


@pytest.mark.parametrize("path", ["/", "/login", "/d/dockyard-overview", "/d/none"])
def test_every_page_says_that_it_is_a_double(start: Start, overview: str, path: str) -> None:
    answer = start().get(path)
    assert "This is a double of Grafana" in answer.text
    assert answer.headers["content-security-policy"].startswith("default-src 'none'")


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
            url = f"http://127.0.0.1:{port}/api/health"
            answer = wait_until(lambda: httpx.get(url, trust_env=False), "it answers", ignoring=(httpx.ConnectError,))
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
