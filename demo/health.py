"""Health endpoints, as the seed names them: is the process alive, and can it do its work."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from demo.waiting import reason_of

Check = Callable[[], Awaitable[None]]

CHECK_SECONDS = 3.0
"""A check that has not answered by then has failed; below the container health check's own five seconds."""

STARTED = time.monotonic()


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


def health_routes(checks: Mapping[str, Check], release: str) -> list[Route]:
    """Return /health, /health/live, /health/ready and one route a check, each also below /api.

    The ready route and the checks' own answer 503 when something failed, and say what.
    """

    async def alive(_request: Request) -> Response:
        uptime = round(time.monotonic() - STARTED, 1)
        return JSONResponse({"status": "ok", "release": release, "uptime_seconds": uptime})

    def answer_for(names: list[str]) -> Callable[[Request], Awaitable[Response]]:
        async def answer(_request: Request) -> Response:
            failures = await asyncio.gather(*(failure_of(checks[name]) for name in names))
            found = {
                name: {"status": "ok"} if failure is None else {"status": "failed", "reason": failure}
                for name, failure in zip(names, failures, strict=True)
            }
            failed = [name for name, failure in zip(names, failures, strict=True) if failure is not None]
            body = {"status": "failed" if failed else "ok", "failed": failed, "checks": found}
            return JSONResponse(body, status_code=503 if failed else 200)

        return answer

    routes = []
    for prefix in ("/health", "/api/health"):
        routes += [Route(prefix, alive), Route(f"{prefix}/live", alive)]
        routes.append(Route(f"{prefix}/ready", answer_for(list(checks))))
        routes += [Route(f"{prefix}/{name}", answer_for([name])) for name in checks]
    return routes
