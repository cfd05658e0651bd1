"""The data stores as the demo sees them, in memory, with switches that make them fail as the real ones do."""

import time

import psycopg
import redis

from demo.jobs import Depth, Job
from demo.polls import Option, Poll, Pool


class _Store:
    """A store: set `down` and every call fails like a refused connection."""

    refused: Exception = redis.ConnectionError("Error 111 connecting to redis:6379")
    down = False

    def _answer(self) -> None:
        if self.down:
            raise self.refused

    async def ping(self) -> None:
        self._answer()


class FakePolls(_Store):
    """Polls in Postgres."""

    refused = psycopg.OperationalError("connection refused\nIs the server running?")

    def __init__(self) -> None:
        self.polls: dict[int, Poll] = {}

    async def launch(self, question: str, options: list[str], seconds: int) -> Poll:
        self._answer()
        shown = tuple(Option(position, label, 0) for position, label in enumerate(options))
        poll = Poll(len(self.polls) + 1, question, time.time() + seconds, shown)
        self.polls[poll.id] = poll
        return poll

    async def listed(self) -> list[Poll]:
        self._answer()
        return list(reversed(self.polls.values()))

    async def active(self) -> int:
        self._answer()
        return sum(poll.active for poll in self.polls.values())

    def connections(self) -> Pool:
        return Pool(active=2, idle=3, most=10, waiting=1)


class FakeCache(_Store):
    """Redis, of which only the health is asked."""


class FakeJobs(_Store):
    """Love Parser's queues in Redis."""

    def __init__(self) -> None:
        self.queues: dict[str, list[Job]] = {}

    async def push(self, queue: str, jobs: list[Job]) -> None:
        self._answer()
        self.queues.setdefault(queue, []).extend(jobs)

    async def take(self, queue: str) -> Job | None:
        self._answer()
        waiting = self.queues.get(queue)
        return waiting.pop(0) if waiting else None

    async def depth(self, queue: str) -> Depth:
        self._answer()
        waiting = self.queues.get(queue, [])
        return Depth(len(waiting), 0, waiting[0].added if waiting else None)
