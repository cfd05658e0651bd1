"""The backend: polls over HTTP and WebSocket, with health checks and the metrics of the seed."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
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

from demo.config import ConfigError, Environment
from demo.health import failure_of, health_routes
from demo.metrics import BackendMetrics, HttpMetricsMiddleware, exposition
from demo.migrate import MigrationError, migrate_database
from demo.polls import Poll, PollCache, Polls, PostgresPolls, RedisPollCache
from demo.serve import leave_on_sigterm, log_as_json, serve
from demo.stores import Cache, Database, ping_cache, ping_database, read_cache, read_database
from demo.waiting import NotThereError, reason_of, wait_for

LOG = logging.getLogger("demo.backend")

Lifespan = Callable[[Starlette], AbstractAsyncContextManager[None]]
T = TypeVar("T")

LARGEST_BODY_BYTES = 16_384
LARGEST_ID = 2**63 - 1
"""What fits the database's column; a larger number in a path is a poll that does not exist."""

LONGEST_POLL_SECONDS = 86_400
LONGEST_SLOW_SECONDS = 60.0
LIVE_INTERVAL_SECONDS = 1.0
"""How often a WebSocket looks for new votes: they may have come in through another replica."""


@dataclass(frozen=True)
class BackendSettings:
    """What the environment says. Times are in seconds."""

    database: Database
    cache: Cache
    port: int
    release: str
    most_connections: int
    wait: int
    grace: int
    run_migrations: bool
    fail_migration: bool


def read_settings(environment: Environment) -> BackendSettings:
    """Read everything the backend needs. Raises ConfigError with all problems at once."""
    settings = BackendSettings(
        database=read_database(environment),
        cache=read_cache(environment),
        port=environment.number("PORT", 3333, 1, 65535),
        release=environment.text("RELEASE", "unreleased"),
        most_connections=environment.number("DATABASE_POOL_MAX", 10, 1, 100),
        wait=environment.number("WAIT_SECONDS", 60, 1, 3600),
        grace=environment.number("STOP_GRACE_SECONDS", 25, 1, 600),
        run_migrations=environment.flag("RUN_MIGRATIONS"),
        fail_migration=environment.flag("DEMO_MIGRATION_FAIL"),
    )
    environment.check()
    return settings


async def read_object(request: Request) -> dict[str, Any]:
    """Return the request's JSON object. Raises HTTPException 400 when the body is not one."""
    try:
        body = await request.json()
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise HTTPException(400, "the body is not JSON") from error
    if not isinstance(body, dict):
        raise HTTPException(400, "the body is not a JSON object")
    return body


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
        with self.metrics.websockets.track_inprogress(), suppress(WebSocketDisconnect):
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

    async def metrics_page(self, _request: Request) -> Response:
        """GET /metrics. The gauges of the database are read now; without one they keep their last value."""
        self.metrics.set_connections(*self.polls.connections())
        failure = await failure_of(self._count_active)
        if failure:
            LOG.warning("the number of active polls is unknown: %s", failure)
        return exposition(self.metrics.registry)

    async def _count_active(self) -> None:
        self.metrics.polls_active.set(await self.polls.active())

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


def build_app(polls: Polls, cache: PollCache, release: str, lifespan: Lifespan | None = None) -> Starlette:
    """Return the backend over the given stores; `lifespan` opens and closes them."""
    metrics = BackendMetrics()
    api = BackendApi(polls, cache, metrics)
    routes: list[Route | WebSocketRoute] = [
        *health_routes({"db": polls.ping, "redis": cache.ping}, release),
        Route("/metrics", api.metrics_page),
        Route("/polls", api.listed, methods=["GET"]),
        Route("/polls", api.launch, methods=["POST"], max_body_size=LARGEST_BODY_BYTES),
        Route("/polls/{id:int}", api.show),
        Route("/polls/{id:int}/votes", api.vote, methods=["POST"], max_body_size=LARGEST_BODY_BYTES),
        WebSocketRoute("/polls/{id:int}/live", api.live),
        Route("/boom", boom),
        Route("/slow", slow),
    ]
    return Starlette(
        routes=routes,
        middleware=[Middleware(HttpMetricsMiddleware, metrics=metrics.http, routes=routes)],
        exception_handlers={HTTPException: as_json, psycopg.OperationalError: without_database},
        lifespan=lifespan,
    )


def wait_for_stores(settings: BackendSettings) -> None:
    """Return once Postgres and Redis answer. Raises NotThereError when one of them does not in time."""
    database, cache = settings.database, settings.cache
    wait_for(
        f"Postgres at {database.label}",
        lambda: ping_database(database),
        psycopg.Error,
        settings.wait,
        LOG.warning,
    )
    wait_for(f"Redis at {cache.label}", lambda: ping_cache(cache), redis.RedisError, settings.wait, LOG.warning)


def run(settings: BackendSettings) -> int:
    """Wait for the stores, migrate if wanted, serve until SIGTERM.

    Raises NotThereError or MigrationError when the backend must not start.
    """
    wait_for_stores(settings)
    if settings.run_migrations:
        migrate_database(settings.database, LOG.info, settings.fail_migration)
    polls, cache = PostgresPolls(settings.database, settings.most_connections), RedisPollCache(settings.cache)

    @asynccontextmanager
    async def open_stores(_app: Starlette) -> AsyncIterator[None]:
        async with polls.pool, cache.client:
            yield

    LOG.info("backend %s on port %s", settings.release, settings.port)
    return serve(build_app(polls, cache, settings.release, open_stores), settings.port, settings.grace)


def main(_argv: Sequence[str]) -> int:
    """Run the backend. Returns 0 after SIGTERM, 1 when it could not start, 2 on bad settings."""
    leave_on_sigterm()
    log_as_json()
    try:
        return run(read_settings(Environment(os.environ)))
    except ConfigError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    except (NotThereError, MigrationError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
