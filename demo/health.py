"""Health endpoints, as the seed names them: is the process alive, and can it do its work."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from demo.switches import UNHEALTHY, ServerSettings
from demo.waiting import reason_of

LOG = logging.getLogger("demo.health")

Check = Callable[[], Awaitable[None]]
Endpoint = Callable[[Request], Awaitable[Response]]

CHECK_SECONDS = 3.0
"""A check that has not answered by then has failed; below the container health check's own five seconds."""

STARTED = time.monotonic()


class AskedToFailError(Exception):
    """The environment asks for a release that never gets healthy."""


async def failure_of(check: Check) -> str | None:
    """Run one check and return why it failed, or None."""
    try:
        async with asyncio.timeout(CHECK_SECONDS):
            await check()
    except TimeoutError:
        return f"no answer within {CHECK_SECONDS:g} s"
    except Exception as error:  # noqa: BLE001 - whatever keeps a store from answering is the answer here
        return reason_of(error)
    return None


def health_routes(checks: Mapping[str, Check], server: ServerSettings, optional: Sequence[str] = ()) -> list[Route]:
    """Return /health, /health/live, /health/ready and one route a check, each also below /api.

    All but the live route answer 503 when something failed, and say what: in the answer and in the log.
    A check of `optional` that is not in `checks` has a route too: what is not configured cannot be down.
    """

    async def asked_to_fail() -> None:
        raise AskedToFailError(UNHEALTHY)

    switch = {"demo": asked_to_fail} if server.unhealthy else {}

    async def alive(_request: Request) -> Response:
        uptime = round(time.monotonic() - STARTED, 1)
        return JSONResponse({"status": "ok", "release": server.release, "uptime_seconds": uptime})

    def answer_for(checks: Mapping[str, Check]) -> Endpoint:
        async def answer(_request: Request) -> Response:
            reasons = await asyncio.gather(*map(failure_of, checks.values()))
            failures = {name: reason for name, reason in zip(checks, reasons, strict=True) if reason is not None}
            found: dict[str, dict[str, str]] = {name: {"status": "ok"} for name in checks}
            found |= {name: {"status": "failed", "reason": reason} for name, reason in failures.items()}
            if failures:
                LOG.error("not healthy: %s", "; ".join(f"{name}: {reason}" for name, reason in failures.items()))
            body = {"status": "failed" if failures else "ok", "failed": list(failures), "checks": found}
            return JSONResponse(body, status_code=503 if failures else 200)

        return answer

    async def not_configured(_request: Request) -> Response:
        return JSONResponse({"status": "ok", "failed": [], "checks": {}, "note": "not configured"})

    routes = []
    for prefix in ("/health", "/api/health"):
        routes += [Route(prefix, answer_for(switch) if switch else alive), Route(f"{prefix}/live", alive)]
        routes.append(Route(f"{prefix}/ready", answer_for({**checks, **switch})))
        routes += [Route(f"{prefix}/{name}", answer_for({name: check})) for name, check in checks.items()]
        routes += [Route(f"{prefix}/{name}", not_configured) for name in optional if name not in checks]
    return routes
