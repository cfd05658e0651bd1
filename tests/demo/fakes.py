"""The data stores as the demo sees them, in memory, with switches that make them fail as the real ones do."""

from __future__ import annotations

import time
from dataclasses import replace

import psycopg
import redis

from demo.jobs import Depth, Job
from demo.polls import Option, Poll, Pool


class FakePolls:
    """Postgres: set `down` and every call fails like a refused connection."""

    def __init__(self) -> None:
        self.polls: dict[int, Poll] = {}
        self.down = False

    def _answer(self) -> None:
        if self.down:
            raise psycopg.OperationalError("connection refused\nIs the server running?")

    async def launch(self, question: str, options: list[str], seconds: int) -> Poll:
        self._answer()
        shown = tuple(Option(position, label, 0) for position, label in enumerate(options))
        poll = Poll(len(self.polls) + 1, question, time.time() + seconds, shown)
        self.polls[poll.id] = poll
        return poll

    async def listed(self) -> list[Poll]:
        self._answer()
        return list(reversed(self.polls.values()))

    async def find(self, poll_id: int) -> Poll | None:
        self._answer()
        return self.polls.get(poll_id)

    async def vote(self, poll_id: int, position: int) -> bool:
        self._answer()
        poll = self.polls.get(poll_id)
        if poll is None or not poll.active or position >= len(poll.options):
            return False
        counted = [replace(o, votes=o.votes + (o.position == position)) for o in poll.options]
        self.polls[poll_id] = replace(poll, options=tuple(counted))
        return True

    async def active(self) -> int:
        self._answer()
        return sum(poll.active for poll in self.polls.values())

    async def ping(self) -> None:
        self._answer()

    def connections(self) -> Pool:
        return Pool(active=2, idle=3, most=10, waiting=1)


class FakeCache:
    """Redis: set `down` and every call fails like a refused connection."""

    def __init__(self) -> None:
        self.kept: dict[int, Poll] = {}
        self.down = False

    def _answer(self) -> None:
        if self.down:
            raise redis.ConnectionError("Error 111 connecting to redis:6379")

    async def get(self, poll_id: int) -> Poll | None:
        self._answer()
        return self.kept.get(poll_id)

    async def put(self, poll: Poll) -> None:
        self._answer()
        self.kept[poll.id] = poll

    async def forget(self, poll_id: int) -> None:
        self._answer()
        self.kept.pop(poll_id, None)

    async def ping(self) -> None:
        self._answer()


class FakeJobs:
    """Love Parser's queues in Redis: set `down` and every call fails like a refused connection."""

    def __init__(self) -> None:
        self.queues: dict[str, list[Job]] = {}
        self.delayed: dict[str, list[tuple[float, Job]]] = {}
        self.paused: set[str] = set()
        self.down = False

    def _answer(self) -> None:
        if self.down:
            raise redis.ConnectionError("Error 111 connecting to redis:6379")

    async def push(self, queue: str, jobs: list[Job]) -> None:
        self._answer()
        self.queues.setdefault(queue, []).extend(jobs)

    async def delay(self, queue: str, jobs: list[Job], seconds: float) -> None:
        self._answer()
        self.delayed.setdefault(queue, []).extend((seconds, job) for job in jobs)

    async def take(self, queue: str) -> Job | None:
        self._answer()
        waiting = self.queues.get(queue)
        return waiting.pop(0) if waiting and queue not in self.paused else None

    async def depth(self, queue: str) -> Depth:
        self._answer()
        waiting = self.queues.get(queue, [])
        return Depth(len(waiting), len(self.delayed.get(queue, [])), waiting[0].added if waiting else None)

    async def pause(self, queue: str, paused: bool) -> None:
        self._answer()
        (self.paused.add if paused else self.paused.discard)(queue)
