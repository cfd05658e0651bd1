"""What stands for prom-client's default metrics: Node's names, and values of this very process."""

from __future__ import annotations

import re

import httpx
import pytest
from starlette.testclient import TestClient

from demo import frontend
from demo.api import Stores, build_app
from demo.switches import ServerSettings

SERVER = ServerSettings(port=3000, release="r7", grace=8)

LAG = {"", "min_", "max_", "mean_", "stddev_", "p50_", "p90_", "p99_"}
SPACE = {"total", "used", "available"}
HANDLES = {"handles", "handles_total", "requests", "requests_total"}
PROCESS = {"cpu_seconds_total", "start_time_seconds", "resident_memory_bytes", "virtual_memory_bytes", "open_fds"}
PROM_CLIENT = {
    *(f"nodejs_eventloop_lag_{figure}seconds" for figure in LAG),
    *(f"nodejs_active_{figure}" for figure in HANDLES),
    *(f"nodejs_heap_space_size_{figure}_bytes" for figure in SPACE),
    *(f"process_{figure}" for figure in PROCESS),
    *("nodejs_heap_size_total_bytes", "nodejs_heap_size_used_bytes", "nodejs_external_memory_bytes"),
    *("nodejs_version_info", "nodejs_gc_duration_seconds", "process_max_fds"),
}
"""Default metrics of prom-client 15, those that every version of Node has."""


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
