"""Draws docs/pictures/: the key series of the dashboards, from a running stack. Grafana's renderer is no part of it.

    python -m venv /tmp/draw && /tmp/draw/bin/pip install -r docs/requirements.txt
    /tmp/draw/bin/python docs/draw.py http://127.0.0.1:9090

The queries and titles are those of the dashboards in dashboards/; the look is matplotlib's.
"""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import matplotlib as mpl

mpl.use("Agg")

from matplotlib import dates, ticker
from matplotlib import pyplot as plt

PICTURES = Path(__file__).parent / "pictures"
MINUTES = 12
BACKGROUND, SURFACE, INK, QUIET = "#111217", "#181b1f", "#d8d9da", "#8e8e8e"
COLOURS = ("#73bf69", "#f2cc0c", "#5794f2", "#ff780a", "#b877d9", "#8ab8ff", "#ff9830", "#fade2a", "#e02f44", "#96d98d")


@dataclass(frozen=True)
class Chart:
    """One chart: what it asks and how its values are spelled."""

    title: str
    query: str
    legend: str
    unit: str = ""
    limit: float | None = None


PAGES = {
    "overview": (
        Chart("Request rate", "job:http_requests:rate5m", "job", "req/s"),
        Chart("Latency (p95)", "job:http_request_duration_seconds:p95_rate5m", "job", "s", 1),
        Chart("Error rate", "job:http_requests_failed:ratio_rate5m", "job", "%", 0.05),
        Chart("CPU", "instance:node_cpu_utilisation:ratio_rate5m", "instance", "%", 0.8),
        Chart("Memory", "1 - instance:node_memory_available:ratio", "instance", "%", 0.9),
        Chart("Container memory", "topk(8, container:memory_working_set_bytes:sum)", "service", "B"),
    ),
    "services": (
        Chart("Postgres connections", "instance:pg_connections:sum", "job"),
        Chart("Redis memory", "redis_memory_used_bytes", "job", "B"),
        Chart("Event loop lag (p99)", '{__name__=~"(.+_)?nodejs_eventloop_lag_p99_seconds"}', "job", "s"),
        Chart("Bad requests by objective (1 h)", "slo:requests_bad:ratio_rate1h", "slo", "%"),
        Chart("Probe duration", "probe_duration_seconds", "service", "s"),
        Chart("Container CPU", "topk(8, container:cpu_usage_cores:rate5m)", "service", "cores"),
    ),
}


def main(url: str) -> None:
    """Draw every page from the Prometheus at an address. Raises httpx.HTTPError where it does not answer."""
    PICTURES.mkdir(exist_ok=True)
    for name, charts in PAGES.items():
        figure, axes = plt.subplots(2, 3, figsize=(15, 6.4), facecolor=BACKGROUND)
        for axis, chart in zip(axes.flat, charts, strict=True):
            _draw(axis, chart, _ask(url, chart.query))
        figure.tight_layout(pad=1.6)
        figure.savefig(PICTURES / f"{name}.png", dpi=80, facecolor=BACKGROUND)
        plt.close(figure)


def _ask(url: str, query: str) -> list[dict[str, Any]]:
    now = time.time()
    span = {"start": now - MINUTES * 60, "end": now, "step": 15}
    answer = httpx.get(f"{url}/api/v1/query_range", params={"query": query, **span}, timeout=30)
    answer.raise_for_status()
    return list(answer.json()["data"]["result"])


def _draw(axis: Any, chart: Chart, series: list[dict[str, Any]]) -> None:
    axis.set_facecolor(SURFACE)
    axis.set_title(chart.title, color=INK, fontsize=11, loc="left", pad=8)
    for colour, one in zip(COLOURS * 5, series, strict=False):
        moments = [datetime.fromtimestamp(moment, UTC) for moment, _ in one["values"]]
        values = [float(value) for _, value in one["values"]]
        axis.plot(moments, values, color=colour, linewidth=1.4, label=one["metric"].get(chart.legend, ""))
        axis.fill_between(moments, values, color=colour, alpha=0.08)
    if chart.limit is not None:
        axis.axhline(chart.limit, color="#e02f44", linewidth=1, linestyle="--")
    axis.set_ylim(bottom=0)
    axis.yaxis.set_major_formatter(_formatter(chart.unit))
    axis.xaxis.set_major_formatter(dates.DateFormatter("%H:%M"))
    axis.tick_params(colors=QUIET, labelsize=8)
    axis.grid(color="#2c3235", linewidth=0.6)
    for spine in axis.spines.values():
        spine.set_color("#2c3235")
    if axis.get_legend_handles_labels()[1]:
        axis.set_ylim(top=axis.get_ylim()[1] * 1.25)
        legend = axis.legend(fontsize=7, ncols=3, loc="upper left", frameon=False)
        for text in legend.get_texts():
            text.set_color(QUIET)


def _formatter(unit: str) -> ticker.Formatter:
    if unit == "%":
        return ticker.PercentFormatter(1, decimals=None)
    if unit == "B":
        return ticker.FuncFormatter(lambda value, _: f"{value / 2**20:.3g} MiB")
    return ticker.FuncFormatter(lambda value, _: f"{value:g} {unit}".strip())


if __name__ == "__main__":
    main(sys.argv[1])
