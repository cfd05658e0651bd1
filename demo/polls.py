"""Polls and votes: what they are, and how Postgres and Redis keep them."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any, Protocol

import redis.asyncio
from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool

from demo.stores import Cache, Database

ANSWER_SECONDS = 2.0
"""How long a data store may take to answer; a request must not hang because one of them does."""

CACHE_ANSWER_SECONDS = 1.0
"""A cache that takes longer than that is slower than the store it stands before."""

RECONNECT_SECONDS = 10.0
"""How long the pool goes on by itself to replace a lost connection."""

CACHE_SECONDS = 5
"""How long a poll may be read from the cache. Also bounds how long a stale one can stay."""

LISTED = 50
"""How many polls a listing shows, the latest first."""


@dataclass(frozen=True)
class Option:
    """One answer that can be voted for, and how often it was."""

    position: int
    label: str
    votes: int


@dataclass(frozen=True)
class Poll:
    """A question with its options; `closes_at` is in seconds since 1970."""

    id: int
    question: str
    closes_at: float
    options: tuple[Option, ...]

    @property
    def active(self) -> bool:
        """Whether it takes votes now."""
        return datetime.now(UTC).timestamp() < self.closes_at

    def as_json(self) -> dict[str, Any]:
        """Return the poll as the API shows it."""
        return asdict(self) | {"active": self.active}


@dataclass(frozen=True)
class Pool:
    """Connections of a pool: in use, open and idle, the most it may have; and requests that wait for one."""

    active: int
    idle: int
    most: int
    waiting: int


class Polls(Protocol):
    """The store of record. Every method raises psycopg.OperationalError when it cannot be had."""

    async def launch(self, question: str, options: list[str], seconds: int) -> Poll:
        """Store a new poll that takes votes for `seconds`."""

    async def listed(self) -> list[Poll]:
        """Return the latest polls, the newest first."""

    async def find(self, poll_id: int) -> Poll | None:
        """Return one poll, or None."""

    async def vote(self, poll_id: int, position: int) -> bool:
        """Store a vote; false when there is no such option or the poll is closed."""

    async def active(self) -> int:
        """Return how many polls take votes now."""

    async def ping(self) -> None:
        """Return when the store answers."""

    def connections(self) -> Pool:
        """Return the state of the pool of connections."""


class PollCache(Protocol):
    """A cache of polls by number. Every method raises redis.RedisError when it cannot be had."""

    async def get(self, poll_id: int) -> Poll | None:
        """Return the poll if the cache has it."""

    async def put(self, poll: Poll) -> None:
        """Keep the poll for a while."""

    async def forget(self, poll_id: int) -> None:
        """Drop the poll: it has changed."""

    async def ping(self) -> None:
        """Return when the cache answers."""


class NoCache:
    """Where there is no Redis: it never has anything."""

    async def get(self, _poll_id: int) -> Poll | None:
        """Have nothing."""
        return None

    async def put(self, _poll: Poll) -> None:
        """Keep nothing."""

    async def forget(self, _poll_id: int) -> None:
        """Have nothing to drop."""

    async def ping(self) -> None:
        """Be there: what is not configured cannot be down."""


SELECT_POLLS = """
    select p.id, p.question, extract(epoch from p.closes_at)::float8,
           json_agg(json_build_object('position', o.position, 'label', o.label, 'votes',
               (select count(*) from votes v where v.poll_id = o.poll_id and v.position = o.position))
               order by o.position)
    from polls p join poll_options o on o.poll_id = p.id
"""


def _poll(row: tuple[Any, ...]) -> Poll:
    return Poll(row[0], row[1], row[2], tuple(Option(**option) for option in row[3]))


class PostgresPolls:
    """The polls in Postgres, over a pool of connections."""

    def __init__(self, database: Database, most_connections: int) -> None:
        self.pool: AsyncConnectionPool[AsyncConnection[tuple[Any, ...]]] = AsyncConnectionPool(
            database.conninfo,
            min_size=1,
            max_size=most_connections,
            timeout=ANSWER_SECONDS,
            open=False,
            # A connection that died while it was idle (a restarted server) is replaced before use.
            check=AsyncConnectionPool.check_connection,
            # Left alone, the pool pauses for minutes after a long outage; so the next request makes it try.
            reconnect_timeout=RECONNECT_SECONDS,
            name="demo",
        )

    async def launch(self, question: str, options: list[str], seconds: int) -> Poll:
        """Store a new poll and its options in one transaction."""
        async with self.pool.connection() as connection:
            cursor = await connection.execute(
                "insert into polls (question, closes_at) values (%s, now() + make_interval(secs => %s))"
                " returning id, extract(epoch from closes_at)::float8",
                [question, seconds],
            )
            created = await cursor.fetchone()
            if created is None:
                raise RuntimeError("the database stored a poll without giving it a number")
            await cursor.executemany(
                "insert into poll_options (poll_id, position, label) values (%s, %s, %s)",
                [(created[0], position, label) for position, label in enumerate(options)],
            )
        shown = tuple(Option(position, label, 0) for position, label in enumerate(options))
        return Poll(created[0], question, created[1], shown)

    async def listed(self) -> list[Poll]:
        """Return the latest polls."""
        async with self.pool.connection() as connection:
            cursor = await connection.execute(SELECT_POLLS + " group by p.id order by p.id desc limit %s", [LISTED])
            return [_poll(row) for row in await cursor.fetchall()]

    async def find(self, poll_id: int) -> Poll | None:
        """Return one poll with its votes counted."""
        async with self.pool.connection() as connection:
            cursor = await connection.execute(SELECT_POLLS + " where p.id = %s group by p.id", [poll_id])
            row = await cursor.fetchone()
        return _poll(row) if row else None

    async def vote(self, poll_id: int, position: int) -> bool:
        """Store a vote if the poll is open and has the option, in one statement."""
        async with self.pool.connection() as connection:
            cursor = await connection.execute(
                "insert into votes (poll_id, position)"
                " select o.poll_id, o.position from poll_options o join polls p on p.id = o.poll_id"
                " where p.id = %s and o.position = %s and p.closes_at > now()",
                [poll_id, position],
            )
            return cursor.rowcount == 1

    async def active(self) -> int:
        """Count the polls that are open."""
        async with self.pool.connection() as connection:
            cursor = await connection.execute("select count(*) from polls where closes_at > now()")
            row = await cursor.fetchone()
        return int(row[0]) if row else 0

    async def ping(self) -> None:
        """Ask the database for an answer."""
        async with self.pool.connection() as connection:
            await connection.execute("select 1")

    def connections(self) -> Pool:
        """Return the pool's own figures."""
        stats = self.pool.get_stats()
        idle = stats.get("pool_available", 0)
        return Pool(
            active=stats.get("pool_size", 0) - idle,
            idle=idle,
            most=self.pool.max_size,
            waiting=stats.get("requests_waiting", 0),
        )


class RedisPollCache:
    """The cache in Redis, one key a poll."""

    def __init__(self, cache: Cache) -> None:
        self.client = redis.asyncio.Redis.from_url(
            cache.url,
            password=cache.password,
            socket_connect_timeout=CACHE_ANSWER_SECONDS,
            socket_timeout=CACHE_ANSWER_SECONDS,
            health_check_interval=30,
        )

    async def get(self, poll_id: int) -> Poll | None:
        """Read one key."""
        raw = await self.client.get(f"poll:{poll_id}")
        if raw is None:
            return None
        fields = json.loads(raw)
        options = tuple(Option(**option) for option in fields.pop("options"))
        return Poll(**fields, options=options)

    async def put(self, poll: Poll) -> None:
        """Write one key that expires."""
        await self.client.set(f"poll:{poll.id}", json.dumps(asdict(poll)), ex=CACHE_SECONDS)

    async def forget(self, poll_id: int) -> None:
        """Delete one key."""
        await self.client.delete(f"poll:{poll_id}")

    async def ping(self) -> None:
        """Ask Redis for an answer."""
        await self.client.ping()
