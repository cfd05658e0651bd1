"""What every server of the demo takes from the environment: port, release, and the switches that make it misbehave."""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass

from starlette.types import ASGIApp, Receive, Scope, Send

from demo.config import Environment

UNHEALTHY = "DEMO_UNHEALTHY is set, so this release never becomes ready"

MACHINES_PATHS = ("/health", "/api/health", "/metrics")
"""Asked every few seconds by machines, not by users."""


@dataclass(frozen=True)
class ServerSettings:
    """Times are in seconds."""

    port: int
    release: str
    """Stands in the header `X-Release` of every answer, and in /version."""

    grace: int
    """The longest that requests in flight may take after SIGTERM; 8 stays below Docker's own 10 until it kills."""

    unhealthy: bool = False
    slow: float = 0.0
    """How much later than needed every answer comes, those to machines excepted."""


def read_server(environment: Environment, port: int) -> ServerSettings:
    """Read PORT (`port` when it is not set), RELEASE, STOP_GRACE_SECONDS, DEMO_UNHEALTHY and DEMO_SLOW_MS."""
    return ServerSettings(
        port=environment.number("PORT", port, 1, 65535),
        release=_header_text(environment, "RELEASE", "unreleased"),
        grace=environment.number("STOP_GRACE_SECONDS", 8, 1, 600),
        unhealthy=environment.flag("DEMO_UNHEALTHY"),
        slow=environment.number("DEMO_SLOW_MS", 0, 0, 60_000) / 1000,
    )


def _header_text(environment: Environment, name: str, default: str) -> str:
    value = environment.text(name, default)
    if not (value.isascii() and value.isprintable()):
        environment.problems.append(f"{name} is {value!r}, expected text that fits a header")
    return value


def read_prefix(environment: Environment) -> str:
    """Return what metric names begin with, `tumulte_` unless METRICS_PREFIX says else; empty for `none` or nothing."""
    value = environment.values.get("METRICS_PREFIX", "tumulte_").rstrip("_")
    if value in ("", "none"):
        return ""
    if not re.fullmatch(r"[a-z][a-z0-9_]*", value):
        environment.problems.append(f"METRICS_PREFIX is {value!r}, expected small letters, digits and _")
    return f"{value}_"


class SlowMiddleware:
    """Lets users wait `seconds` before their request is looked at."""

    def __init__(self, app: ASGIApp, seconds: float) -> None:
        self.app = app
        self.seconds = seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Wait, then pass the request on."""
        if self.seconds and scope["type"] == "http" and not scope["path"].startswith(MACHINES_PATHS):
            await asyncio.sleep(self.seconds)
        await self.app(scope, receive, send)
