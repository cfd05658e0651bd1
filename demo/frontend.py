"""The frontend: one page that shows the backend's polls, and stays up while the backend is down."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from html import escape
from string import Template
from typing import Any

import httpx
from prometheus_client import Gauge
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from demo.config import ConfigError, Environment
from demo.health import health_routes
from demo.metrics import HttpMetrics, HttpMetricsMiddleware, exposition, new_registry
from demo.nodejs import NodeMetrics
from demo.serve import leave_on_sigterm, log_as_json, serve
from demo.switches import ServerSettings, SlowMiddleware, read_prefix, read_server
from demo.waiting import reason_of

LOG = logging.getLogger("demo.frontend")

BACKEND_SECONDS = 3.0
"""How long the page waits for the backend before it says that it is not there."""

PAGE = Template(
    """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="refresh" content="5">
<title>Polls</title>
<style>
body { font: 1rem/1.5 system-ui, sans-serif; max-width: 40rem; margin: 2rem auto; padding: 0 1rem; }
li { margin: .25rem 0 } meter { width: 12rem; vertical-align: middle }
.closed { opacity: .6 } .down { border: 1px solid #b00; padding: .5rem 1rem } footer { color: #666 }
</style>
</head>
<body>
<h1>Polls</h1>
$content
<footer>release $release</footer>
</body>
</html>
"""
)


@dataclass(frozen=True)
class FrontendSettings:
    """What the environment says."""

    backend_url: str
    prefix: str
    server: ServerSettings


def read_settings(environment: Environment) -> FrontendSettings:
    """Read everything the frontend needs. Raises ConfigError with all problems at once."""
    settings = FrontendSettings(
        backend_url=environment.http_url("BACKEND_URL"),
        prefix=read_prefix(environment),
        server=read_server(environment, port=3000),
    )
    environment.check()
    return settings


def render_polls(polls: Sequence[Mapping[str, Any]]) -> str:
    """Return the polls as HTML; every text of theirs was typed by somebody and is escaped."""
    if not polls:
        return "<p>No poll has been launched yet.</p>"
    return "\n".join(_render_poll(poll) for poll in polls)


def _render_poll(poll: Mapping[str, Any]) -> str:
    total = sum(option["votes"] for option in poll["options"])
    items = "\n".join(
        f'<li><meter max="{total or 1}" value="{option["votes"]:d}"></meter> '
        f"{escape(option['label'])}: {option['votes']:d}</li>"
        for option in poll["options"]
    )
    state = "open" if poll["active"] else "closed"
    return f'<section class="{state}"><h2>{escape(poll["question"])} ({state})</h2><ul>{items}</ul></section>'


def build_app(client: httpx.AsyncClient, server: ServerSettings, prefix: str = "tumulte_") -> Starlette:
    """Return the frontend; `client` has the backend's address as its base and is closed with the frontend."""
    registry = new_registry()
    http = HttpMetrics(f"{prefix}frontend_", registry)
    node = NodeMetrics(registry)
    backend_up = Gauge(
        f"{prefix}frontend_backend_up", "1 when the backend answered the last page, else 0", registry=registry
    )

    async def page(_request: Request) -> Response:
        try:
            answer = await client.get("/polls")
            answer.raise_for_status()
            content = render_polls(answer.json()["polls"])
            backend_up.set(1)
        except (httpx.HTTPError, ValueError, KeyError, TypeError) as error:
            LOG.warning("the backend cannot be used: %s", reason_of(error))
            content = '<p class="down">The polls cannot be shown now: the backend does not answer.</p>'
            backend_up.set(0)
        return HTMLResponse(PAGE.substitute(content=content, release=escape(server.release)))

    async def metrics(_request: Request) -> Response:
        await node.lag.measure()
        return exposition(registry)

    @asynccontextmanager
    async def close_client(_app: Starlette) -> AsyncIterator[None]:
        async with client, node.lag.watched():
            yield

    routes = [*health_routes({}, server), Route("/", page), Route("/metrics", metrics)]
    return Starlette(
        routes=routes,
        middleware=[
            Middleware(HttpMetricsMiddleware, metrics=http, routes=routes),
            Middleware(SlowMiddleware, seconds=server.slow),
        ],
        lifespan=close_client,
    )


def main(_argv: Sequence[str]) -> int:
    """Run the frontend. Returns 0 after SIGTERM, 2 on bad settings."""
    leave_on_sigterm()
    log_as_json()
    try:
        settings = read_settings(Environment(os.environ))
    except ConfigError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    # No proxy of the environment: the backend is a neighbour on the same network.
    client = httpx.AsyncClient(base_url=settings.backend_url, timeout=BACKEND_SECONDS, trust_env=False)
    server = settings.server
    LOG.info("frontend %s on port %s, backend at %s", server.release, server.port, settings.backend_url)
    return serve(build_app(client, server, settings.prefix), server)
