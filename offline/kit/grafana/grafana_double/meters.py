"""The double's own metrics, with the names and labels that Grafana 12.1 has by default."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

from . import VERSION
from .library import Library

REQUESTS = Histogram(
    "grafana_http_request_duration_seconds",
    "Histogram of latencies for HTTP requests.",
    ["handler", "status_code", "method", "status_source", "slo_group"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 25),
)
PLUGIN_REQUESTS = Counter(
    "grafana_plugin_request",
    "The total amount of plugin requests",
    ["plugin_id", "endpoint", "status", "target", "status_source"],
)
FAILED_LOGINS = Counter("grafana_authn_authn_failed_login", "Number of failed logins", ["client"])
BUILD_INFO = Gauge(
    "grafana_build_info",
    "A metric with a constant '1' value labeled by version, edition and revision of the double",
    ["version", "revision", "edition"],
)
DASHBOARDS = Gauge("grafana_stat_totals_dashboard", "total amount of dashboards")
DATA_SOURCES = Gauge("grafana_stat_total_datasources", "total amount of data sources")
PROBLEMS = Gauge("grafana_double_problems", "what Grafana would have refused")


def count_library(library: Library) -> None:
    """Let the gauges show what the library contains at each scrape."""
    BUILD_INFO.labels(version=VERSION, revision="double", edition="double").set(1)
    DASHBOARDS.set_function(lambda: len(library.dashboards))
    DATA_SOURCES.set_function(lambda: len(library.data_sources))
    PROBLEMS.set_function(lambda: len(library.problems))


def count_request(handler: str, status: int, method: str, seconds: float) -> None:
    """Count a request that was answered."""
    source = "server" if status >= 500 else ""
    REQUESTS.labels(handler, str(status), method, source, "none").observe(seconds)


def count_plugin_request(plugin: str, endpoint: str, *, succeeded: bool) -> None:
    """Count a call of a data source's plugin: `queryData`, `checkHealth`."""
    status, source = ("ok", "plugin") if succeeded else ("error", "downstream")
    PLUGIN_REQUESTS.labels(plugin, endpoint, status, "unknown", source).inc()


def count_failed_login() -> None:
    """Count a log-in by the form that was refused."""
    FAILED_LOGINS.labels("auth.client.form").inc()
