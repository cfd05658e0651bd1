"""The backend's HTTP and WebSocket endpoints over whatever stores it has."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, suppress
from dataclasses import dataclass
from typing import Any, NoReturn, TypeVar

import psycopg
import redis
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from demo.health import Check, failure_of, health_routes
from demo.jobs import Queues
from demo.metrics import BackendMetrics, HttpMetricsMiddleware, exposition
from demo.payments import Payments
from demo.polls import NoCache, Poll, PollCache, Polls
from demo.requests import read_object
from demo.switches import ServerSettings, SlowMiddleware
from demo.waiting import reason_of

LOG = logging.getLogger("demo.backend")

Lifespan = Callable[[Starlette], AbstractAsyncContextManager[None]]
T = TypeVar("T")

LARGEST_BODY_BYTES = 16_384
DEPENDENCIES = ("db", "redis", "telegram")
"""Each has a health route (love-parser.txt, "Health endpoints"), healthy where it is not configured."""

LARGEST_ID = 2**63 - 1
"""What fits the database's column; a larger number in a path is a poll that does not exist."""

LONGEST_POLL_SECONDS = 86_400
LONGEST_SLOW_SECONDS = 60.0
LIVE_INTERVAL_SECONDS = 1.0
"""How often a WebSocket looks for new votes: they may have come in through another replica."""


def _is_line(value: object) -> bool:
    return isinstance(value, str) and 0 < len(value.strip()) <= 200 and value.isprintable()


def read_poll(body: dict[str, Any]) -> tuple[str, list[str], int]:
    """Return question, options and length in seconds of a poll to launch.

    Raises HTTPException 422 with all that is wrong.
    """
    question, options, seconds = body.get("question"), body.get("options"), body.get("seconds", 300)
    problems = []
    if not _is_line(question):
        problems.append("question: expected a line of 1 to 200 characters")
    if not isinstance(options, list) or not 2 <= len(options) <= 10 or not all(_is_line(o) for o in options):
        problems.append("options: expected 2 to 10 lines of 1 to 200 characters")
    if not isinstance(seconds, int) or isinstance(seconds, bool) or not 1 <= seconds <= LONGEST_POLL_SECONDS:
        problems.append(f"seconds: expected a whole number from 1 to {LONGEST_POLL_SECONDS}")
    if problems:
        raise HTTPException(422, "; ".join(problems))
    return str(question), [str(option) for option in options or []], int(seconds)


class BackendApi:
    """The endpoints over a store of record and a cache. The cache may fail: then the store answers alone."""

    def __init__(self, polls: Polls, cache: PollCache, metrics: BackendMetrics) -> None:
        self.polls = polls
        self.cache = cache
        self.metrics = metrics

    async def launch(self, request: Request) -> Response:
        """POST /polls: store a poll; takes `question`, `options` and, if wanted, `seconds`."""
        question, options, seconds = read_poll(await read_object(request))
        poll = await self.polls.launch(question, options, seconds)
        self.metrics.polls_launched.inc()
        return JSONResponse(poll.as_json(), status_code=201, headers={"Location": f"/polls/{poll.id}"})

    async def listed(self, _request: Request) -> Response:
        """GET /polls: the latest polls, straight from the store."""
        return JSONResponse({"polls": [poll.as_json() for poll in await self.polls.listed()]})

    async def show(self, request: Request) -> Response:
        """GET /polls/{id}: one poll, from the cache when it has it."""
        poll = await self._find(request.path_params["id"])
        if poll is None:
            raise HTTPException(404, "there is no such poll")
        return JSONResponse(poll.as_json())

    async def vote(self, request: Request) -> Response:
        """POST /polls/{id}/votes: store one vote; takes `option`, the option's position."""
        poll_id = request.path_params["id"]
        position = (await read_object(request)).get("option")
        if not isinstance(position, int) or isinstance(position, bool) or not 0 <= position < 10:
            raise HTTPException(422, "option: expected the position of an option")
        if poll_id > LARGEST_ID or not await self.polls.vote(poll_id, position):
            await self._refuse_vote(poll_id)
        self.metrics.votes.inc()
        await self._cached(self.cache.forget(poll_id))
        return JSONResponse({"poll": poll_id, "option": position}, status_code=201)

    async def _refuse_vote(self, poll_id: int) -> NoReturn:
        poll = await self.polls.find(poll_id) if poll_id <= LARGEST_ID else None
        if poll is None:
            raise HTTPException(404, "there is no such poll")
        if not poll.active:
            raise HTTPException(409, "the poll is closed")
        raise HTTPException(422, "option: the poll has no such option")

    async def live(self, socket: WebSocket) -> None:
        """WebSocket /polls/{id}/live: sends the poll now and whenever its votes have changed."""
        await socket.accept()
        with self.metrics.websockets.track_inprogress(), suppress(WebSocketDisconnect):  # visitors leave
            shown: dict[str, Any] | None = None
            while poll := await self._find(socket.path_params["id"]):
                if poll.as_json() != shown:
                    shown = poll.as_json()
                    await socket.send_json(shown)
                # What a client sends means nothing here; receiving is how its leaving is noticed.
                with suppress(TimeoutError):
                    async with asyncio.timeout(LIVE_INTERVAL_SECONDS):
                        await socket.receive_text()
            await socket.close(4404, "there is no such poll")

    async def note_gauges(self) -> None:
        """Read the gauges of the database; those that cannot be had keep their last value."""
        self.metrics.set_connections(self.polls.connections())
        failure = await failure_of(self._count_active)
        if failure:
            LOG.warning("the number of active polls is unknown: %s", failure)

    async def _count_active(self) -> None:
        self.metrics.polls_active.set(await self.polls.active())

    def routes(self) -> list[Route | WebSocketRoute]:
        """Return the polls' endpoints."""
        return [
            Route("/polls", self.listed, methods=["GET"]),
            Route("/polls", self.launch, methods=["POST"], max_body_size=LARGEST_BODY_BYTES),
            Route("/polls/{id:int}", self.show),
            Route("/polls/{id:int}/votes", self.vote, methods=["POST"], max_body_size=LARGEST_BODY_BYTES),
            WebSocketRoute("/polls/{id:int}/live", self.live),
        ]

    async def _find(self, poll_id: int) -> Poll | None:
        if poll_id > LARGEST_ID:
            return None
        if poll := await self._cached(self.cache.get(poll_id)):
            self.metrics.cache_hits.inc()
            return poll
        self.metrics.cache_misses.inc()
        poll = await self.polls.find(poll_id)
        if poll:
            await self._cached(self.cache.put(poll))
        return poll

    async def _cached(self, call: Awaitable[T]) -> T | None:
        """Await a call to the cache; without a cache things are slower, not broken."""
        try:
            return await call
        except (redis.RedisError, OSError) as error:
            LOG.warning("the cache cannot be used: %s", reason_of(error))
            return None


async def boom(_request: Request) -> Response:
    """GET /boom: an error that nobody handles, for the alert on the error rate."""
    raise RuntimeError("asked to fail")


async def slow(request: Request) -> Response:
    """GET /slow?seconds=: answers late, for the alert on latency and for drains."""
    try:
        seconds = float(request.query_params.get("seconds", "1"))
    except ValueError as error:
        raise HTTPException(422, "seconds: expected a number") from error
    # Written so that "nan" is refused too.
    if not 0 <= seconds <= LONGEST_SLOW_SECONDS:
        raise HTTPException(422, f"seconds: expected 0 to {LONGEST_SLOW_SECONDS:g}")
    await asyncio.sleep(seconds)
    return JSONResponse({"slept_seconds": seconds})


async def as_json(_request: Request, error: Exception) -> Response:
    """Show an HTTP error as JSON."""
    if not isinstance(error, HTTPException):
        raise error
    return JSONResponse({"error": error.detail}, status_code=error.status_code, headers=error.headers)


async def without_database(_request: Request, error: Exception) -> Response:
    """Answer 503 while the database cannot be reached: it is for the client to try again."""
    LOG.error("the database cannot be used: %s", reason_of(error))
    return JSONResponse({"error": "the database cannot be reached"}, status_code=503)


async def without_redis(_request: Request, error: Exception) -> Response:
    """Answer 503 while Redis, and with it the queues, cannot be reached."""
    LOG.error("Redis cannot be used: %s", reason_of(error))
    return JSONResponse({"error": "Redis cannot be reached"}, status_code=503)


@dataclass(frozen=True)
class Stores:
    """What the backend stands on; everything may be missing."""

    polls: Polls | None = None
    cache: PollCache | None = None
    queues: Queues | None = None
    payments: Payments | None = None
    telegram: Check | None = None
    secrets: tuple[str, ...] = ()
    """Names of the secrets that it was given."""

    @property
    def checks(self) -> dict[str, Check]:
        """Return what must answer for the backend to be ready, by the names of the health routes."""
        checks: dict[str, Check] = {}
        if self.polls:
            checks["db"] = self.polls.ping
        if self.cache:
            checks["redis"] = self.cache.ping
        if self.telegram:
            checks["telegram"] = self.telegram
        return checks


def build_app(
    stores: Stores, server: ServerSettings, metrics: BackendMetrics | None = None, lifespan: Lifespan | None = None
) -> Starlette:
    """Return the backend over the given stores; `lifespan` opens and closes them.

    Without Postgres it has no polls, without Redis no queues and payments; their routes are not there then.
    """
    shown = metrics or BackendMetrics()
    api = BackendApi(stores.polls, stores.cache or NoCache(), shown) if stores.polls else None

    async def version(_request: Request) -> Response:
        return JSONResponse(
            {"release": server.release, "instance": socket.gethostname(), "secrets": list(stores.secrets)}
        )

    async def metrics_page(_request: Request) -> Response:
        if api:
            await api.note_gauges()
        if stores.queues:
            await stores.queues.note_gauges()
        await shown.node.lag.measure()
        return exposition(shown.registry)

    routes: list[Route | WebSocketRoute] = [
        *health_routes(stores.checks, server, optional=DEPENDENCIES),
        Route("/", version),
        Route("/version", version),
        Route("/metrics", metrics_page),
        *(api.routes() if api else []),
        *(stores.queues.routes() if stores.queues else []),
        *(stores.payments.routes() if stores.payments else []),
        Route("/boom", boom),
        Route("/slow", slow),
    ]
    return Starlette(
        routes=routes,
        middleware=[
            Middleware(HttpMetricsMiddleware, metrics=shown.http, routes=routes),
            Middleware(SlowMiddleware, seconds=server.slow),
        ],
        exception_handlers={
            HTTPException: as_json,
            psycopg.OperationalError: without_database,
            redis.RedisError: without_redis,
        },
        lifespan=lifespan,
    )
