"""The double's own metrics, with the names and labels that Grafana 12.1 has by default."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

from prometheus_client import CollectorRegistry, Counter, Histogram
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 25)
UNCOUNTED = ("/metrics", "/public/", "/robots.txt")


class Meters:
    """Counters of requests, data source calls and failed logins; a series appears with its first event."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._requests = Histogram(
            "grafana_http_request_duration_seconds",
            "Histogram of latencies for HTTP requests.",
            ["handler", "status_code", "method", "status_source", "slo_group"],
            buckets=BUCKETS,
            registry=self.registry,
        )
        self._plugin_requests = Counter(
            "grafana_plugin_request",
            "The total amount of plugin requests",
            ["plugin_id", "endpoint", "status", "target", "status_source"],
            registry=self.registry,
        )
        self._failed_logins = Counter(
            "grafana_authn_authn_failed_login", "Number of failed logins", ["client"], registry=self.registry
        )

    def count_request(self, handler: str, status: int, method: str, seconds: float) -> None:
        """Count a request that was answered."""
        source = "server" if status >= 500 else ""
        self._requests.labels(handler, str(status), method, source, "none").observe(seconds)

    def count_plugin_request(self, plugin: str, endpoint: str, *, succeeded: bool) -> None:
        """Count a call of a data source's plugin: `queryData`, `checkHealth`."""
        source = "plugin" if succeeded else "downstream"
        self._plugin_requests.labels(plugin, endpoint, "ok" if succeeded else "error", "unknown", source).inc()

    def login_failed(self) -> None:
        """Count a refused login, whether by form or by JSON as Grafana's page sends it."""
        self._failed_logins.labels("auth.client.form").inc()


class CountRequests:
    """Middleware that counts requests by route pattern, except those that Grafana does not count."""

    def __init__(self, app: ASGIApp, meters: Meters, routes: Sequence[Route]) -> None:
        self._app, self._meters = app, meters
        self._handlers: Mapping[object, str] = {
            route.endpoint: route.path.replace("{", ":").replace("}", "") for route in reversed(routes)
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the application and count the request."""
        if scope["type"] != "http" or scope["path"].startswith(UNCOUNTED):
            await self._app(scope, receive, send)
            return
        began, status = time.monotonic(), 500

        async def record_status(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, record_status)
        finally:
            handler = self._handlers.get(scope.get("endpoint"), "unknown")
            self._meters.count_request(handler, status, scope["method"], time.monotonic() - began)
