"""The application: routes behind authentication, metrics, and a task that rereads the dashboards every few seconds."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import httpx
from prometheus_client import Gauge, PlatformCollector, ProcessCollector
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from . import VERSION, alerting, api, pages
from .auth import Door, RequireLogin, StrictTransport
from .library import Library
from .meters import CountRequests, Meters
from .queries import new_client
from .settings import Settings

LOG = logging.getLogger("http.server")


def build(settings: Settings, library: Library, client: httpx.AsyncClient | None = None) -> Starlette:
    """Return the application for a loaded library; tests pass their own client."""
    door = Door(settings)

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        watcher = asyncio.create_task(_watch(library))
        yield
        watcher.cancel()
        await app.state.client.aclose()

    meters = Meters()
    routes = [*api.ROUTES, *alerting.ROUTES, *pages.ROUTES]
    if settings.metrics:
        routes.append(Route("/metrics", _metrics(library, meters)))
    middleware = [Middleware(CountRequests, meters=meters, routes=routes), Middleware(RequireLogin, door=door)]
    if settings.strict_transport is not None:
        middleware.insert(0, Middleware(StrictTransport, seconds=settings.strict_transport))
    app = Starlette(
        routes=routes,
        middleware=middleware,
        exception_handlers={HTTPException: _error},
        lifespan=lifespan,
    )
    app.state.settings, app.state.library, app.state.door, app.state.meters = settings, library, door, meters
    app.state.client = client or new_client()
    return app


async def _watch(library: Library) -> None:
    while True:
        await asyncio.sleep(library.interval)
        try:
            await asyncio.to_thread(library.reload_dashboards)
        except OSError:
            # The folder is being replaced right now; the next iteration reads the new one.
            LOG.exception("failed to search for dashboards")


async def _error(request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    message = error.detail if isinstance(error, HTTPException) else "Internal server error"
    return JSONResponse({"message": message}, status_code=status)


def _metrics(library: Library, meters: Meters) -> Callable[[Request], Awaitable[Response]]:
    registry = meters.registry
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    build_info = Gauge(
        "grafana_build_info",
        "A metric with a constant '1' value labeled by version, edition and revision of the double",
        ["version", "revision", "edition"],
        registry=registry,
    )
    build_info.labels(version=VERSION, revision="double", edition="double").set(1)
    counts = {
        "grafana_stat_totals_dashboard": ("total amount of dashboards", lambda: len(library.dashboards)),
        "grafana_stat_total_datasources": ("total amount of data sources", lambda: len(library.data_sources)),
        "grafana_double_problems": ("what Grafana would have refused", lambda: len(library.problems)),
    }
    for name, (words, count) in counts.items():
        Gauge(name, words, registry=registry).set_function(count)

    async def metrics(request: Request) -> Response:
        return Response(generate_latest(registry), headers={"content-type": CONTENT_TYPE_PLAIN_0_0_4})

    return metrics
