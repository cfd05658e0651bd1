"""The application: routes behind authentication, metrics, and a task that rereads the dashboards every few seconds."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from . import alerting, api, pages
from .auth import Door
from .library import Library
from .meters import count_library, count_request
from .queries import new_client
from .settings import Settings

LOG = logging.getLogger("http.server")


def build(settings: Settings, library: Library, client: httpx.AsyncClient | None = None) -> Starlette:
    """Return the application for a loaded library; tests pass their own client."""
    door = Door(settings)
    routes = [*api.ROUTES, *alerting.ROUTES, *pages.ROUTES, Route("/metrics", metrics)]
    handlers: dict[object, str] = {
        route.endpoint: route.path.replace("{", ":").replace("}", "") for route in reversed(routes)
    }

    async def guard(request: Request, call_next: RequestResponseEndpoint) -> Response:
        """Refuse requests without access, count all but scrapes by route, and add the HSTS header."""
        began, status = time.monotonic(), 500
        try:
            response = door.refusal(request) or await call_next(request)
            status = response.status_code
        finally:
            if request.url.path != "/metrics":
                handler = handlers.get(request.scope.get("endpoint"), "unknown")
                count_request(handler, status, request.method, time.monotonic() - began)
        if settings.strict_transport is not None:
            response.headers["strict-transport-security"] = f"max-age={settings.strict_transport}"
        return response

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        watcher = asyncio.create_task(_watch(library))
        yield
        watcher.cancel()
        await app.state.client.aclose()

    app = Starlette(
        routes=routes,
        middleware=[Middleware(BaseHTTPMiddleware, dispatch=guard)],
        exception_handlers={HTTPException: _error},
        lifespan=lifespan,
    )
    app.state.settings, app.state.library, app.state.door = settings, library, door
    app.state.client = client or new_client()
    count_library(library)
    return app


async def metrics(request: Request) -> Response:
    """`GET /metrics`."""
    return Response(generate_latest(), headers={"content-type": CONTENT_TYPE_PLAIN_0_0_4})


async def _watch(library: Library) -> None:
    while True:
        await asyncio.sleep(library.interval)
        try:
            await asyncio.to_thread(library.reload_dashboards)
        except OSError:
            # The folder is being replaced right now; the next iteration reads the new one.
            LOG.exception("failed to search for dashboards")


async def _error(request: Request, error: Exception) -> Response:
    """Answer with an error of a handler, or of a data source, in Grafana's shape."""
    detail, status = getattr(error, "detail", "Internal server error"), getattr(error, "status_code", 500)
    return JSONResponse({"message": detail}, status_code=status)
