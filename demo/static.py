"""A static web app, where a product has nginx: one index page, a health route, nothing behind it."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Sequence
from html import escape

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.routing import Route

from demo.config import ConfigError, Environment
from demo.health import health_routes
from demo.serve import leave_on_sigterm, log_as_json, serve
from demo.switches import UNHEALTHY, ServerSettings, SlowMiddleware, read_server

LOG = logging.getLogger("demo.static")

PAGE = """<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><title>Web app</title></head>
<body><h1>Web app</h1><footer>release {release}</footer></body>
</html>
"""


def build_app(server: ServerSettings) -> Starlette:
    """Return the web app. Its index page may be its health check (`wget` on /), so the switch fails that too."""
    content = PAGE.format(release=escape(server.release))

    async def index(_request: Request) -> Response:
        if server.unhealthy:
            LOG.error("not healthy: %s", UNHEALTHY)
            return PlainTextResponse(UNHEALTHY, status_code=503)
        return HTMLResponse(content)

    async def version(_request: Request) -> Response:
        return PlainTextResponse(server.release)

    return Starlette(
        routes=[
            *health_routes({}, server),
            Route("/", index),
            Route("/index.html", index),
            Route("/version", version),
        ],
        middleware=[Middleware(SlowMiddleware, seconds=server.slow)],
    )


def main(argv: Sequence[str]) -> int:
    """Serve the web app on PORT, 80 when it is not set. Returns 0 after SIGTERM, 2 on bad settings."""
    if argv:
        sys.stderr.write("usage: python -m demo static\n")
        return 2
    leave_on_sigterm()
    log_as_json()
    environment = Environment(os.environ)
    server = read_server(environment, port=80)
    try:
        environment.check()
    except ConfigError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    LOG.info("web app %s on port %s", server.release, server.port)
    return serve(build_app(server), server)
