"""Prometheus metrics: those of tumulte-monitoring.txt, "Métriques disponibles", under the product's own prefix."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
)
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from starlette.responses import Response
from starlette.routing import BaseRoute, Match, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from demo.nodejs import NodeMetrics
from demo.polls import Pool
from demo.switches import MACHINES_PATHS

LOG = logging.getLogger("demo.http")

UNMATCHED = "unmatched"
"""The `route` of a request that no route takes: a path must not become a label, anybody can invent one."""

BUCKETS_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Contain 0.5 s and 1 s: the seed's latency thresholds."""


class HttpMetrics:
    """Requests and their duration (seconds), by method, route (the template, not a path) and status_code."""

    def __init__(self, prefix: str, registry: CollectorRegistry) -> None:
        labels = ("method", "route", "status_code")
        self.requests = Counter(f"{prefix}http_requests_total", "HTTP requests answered", labels, registry=registry)
        self.duration = Histogram(
            f"{prefix}http_request_duration_seconds",
            "Time to answer an HTTP request",
            labels,
            registry=registry,
            buckets=BUCKETS_SECONDS,
        )

    def observe(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count one request."""
        self.requests.labels(method, route, str(status)).inc()
        self.duration.labels(method, route, str(status)).observe(seconds)


class HttpMetricsMiddleware:
    """Counts every HTTP request, those that end in an unhandled error as 500, and writes its log line."""

    def __init__(self, app: ASGIApp, metrics: HttpMetrics, routes: Sequence[BaseRoute]) -> None:
        self.app = app
        self.metrics = metrics
        self.routes = [route for route in routes if isinstance(route, Route)]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on and note how it was answered."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        # An error that nobody catches leaves this at 500, which is what the client will see.
        status = 500

        async def note_status(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        started = time.perf_counter()
        try:
            await self.app(scope, receive, note_status)
        finally:
            self._note(scope, status, time.perf_counter() - started)

    def _note(self, scope: Scope, status: int, seconds: float) -> None:
        route = next((r.path_format for r in self.routes if r.matches(scope)[0] is not Match.NONE), UNMATCHED)
        method = scope["method"] if scope["method"] in METHODS else "other"
        self.metrics.observe(method, route, status, seconds)
        # The health routes say themselves what failed, and a reader looks at the last line for why.
        if route.startswith(MACHINES_PATHS) and (status < 400 or route != "/metrics"):
            return
        LOG.log(
            logging.ERROR if status >= 500 else logging.INFO,
            "%s %s %s",
            method,
            scope["path"],
            status,
            extra={"fields": {"route": route, "status_code": status, "seconds": round(seconds, 4)}},
        )


METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
"""What may become a `method` label; a client can send any word."""


def new_registry() -> CollectorRegistry:
    """Return an empty registry with the process's own metrics (memory, CPU, start time)."""
    # The text format would show them as further metrics, `tumulte_polls_launched_created` and the like.
    disable_created_metrics()  # type: ignore[no-untyped-call]  # the library has no annotation there
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    return registry


def exposition(registry: CollectorRegistry) -> Response:
    """Return all metrics in the text format 0.0.4.

    Never in OpenMetrics, whatever the scraper would accept: there a gauge must not be called `…_total`, and
    two of the seed's are.
    """
    return Response(generate_latest(registry), media_type=CONTENT_TYPE_PLAIN_0_0_4)


class BackendMetrics:
    """What a backend shows. With the prefix `tumulte_` and its polls, these are the ten metrics of Tumulte's document,
    and two of the pool that it does not name. `polls=False` leaves out what only Tumulte has.
    """

    def __init__(self, prefix: str = "tumulte_", polls: bool = True) -> None:
        self.registry = registry = new_registry()
        own = registry if polls else None
        self.http = HttpMetrics(prefix, registry)
        self.websockets = Gauge(f"{prefix}websocket_connections_total", "Open WebSocket connections", registry=registry)
        self.polls_launched = Counter(f"{prefix}polls_launched_total", "Polls launched", registry=own)
        self.polls_active = Gauge(f"{prefix}polls_active_total", "Polls that take votes now", registry=own)
        self.votes = Counter(f"{prefix}votes_received_total", "Votes received", registry=own)
        self.db_active = Gauge(f"{prefix}db_connections_active", "Database connections in use", registry=registry)
        self.db_idle = Gauge(
            f"{prefix}db_connections_idle", "Database connections open and not in use", registry=registry
        )
        self.db_max = Gauge(f"{prefix}db_connections_max", "Most connections of the pool", registry=registry)
        self.db_waiting = Gauge(
            f"{prefix}db_connections_waiting", "Requests that wait for a database connection", registry=registry
        )
        self.cache_hits = Counter(f"{prefix}cache_hits_total", "Rows read from the cache", registry=registry)
        self.cache_misses = Counter(
            f"{prefix}cache_misses_total", "Rows that the cache did not have", registry=registry
        )
        self.node = NodeMetrics(registry)

    def set_connections(self, pool: Pool) -> None:
        """Note the state of the pool of database connections."""
        self.db_active.set(pool.active)
        self.db_idle.set(pool.idle)
        self.db_max.set(pool.most)
        self.db_waiting.set(pool.waiting)
