"""Love Parser's queues: jobs in Redis, a worker in every backend, metrics for "Bull Queues" and "Application KPIs".

The document names figures and not metrics. Those of queues begin with `bull_`, as in the public Bull exporter, the
product's own with `love_parser_`.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import asdict, dataclass, field
from typing import Protocol

import redis.asyncio
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from demo.requests import read_object
from demo.waiting import reason_of

LOG = logging.getLogger("demo.jobs")

IDLE_SECONDS = 0.5
"""How often an empty queue is looked at."""

MOST_JOBS = 1000
LONGEST_JOB_SECONDS = 5.0
"""A job under way at SIGTERM ends within the grace time."""

LONGEST_DELAY_SECONDS = 3600.0

BUCKETS_SECONDS = (0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)

KPIS = {
    "broadcast": ("broadcasts_sent", "broadcasts_failed"),
    "parsing": ("parsing_jobs_processed", "parsing_jobs_failed"),
    "audience": ("audience_segments_ready", "audience_segments_failed"),
    "payment": ("payments_succeeded", "payments_failed"),
}
"""Queue → what a job of it counts as when it succeeds, and when it fails (love-parser.txt, "Application KPIs")."""


@dataclass(frozen=True)
class Job:
    """Work that takes `seconds` and then fails or not."""

    seconds: float = 0.0
    fail: bool = False
    added: float = field(default_factory=time.time, compare=False)
    """In seconds since 1970."""


@dataclass(frozen=True)
class Depth:
    """What is in a queue. `oldest` is when the job that waits longest was added, None where none waits."""

    waiting: int = 0
    delayed: int = 0
    oldest: float | None = None


class JobStore(Protocol):
    """Where jobs wait. Every method raises redis.RedisError when it cannot be had."""

    async def push(self, queue: str, jobs: list[Job]) -> None:
        """Put jobs at the end of a queue."""

    async def delay(self, queue: str, jobs: list[Job], seconds: float) -> None:
        """Keep jobs for so long, then put them at the end of the queue."""

    async def take(self, queue: str) -> Job | None:
        """Take the first job, None when the queue is empty or paused."""

    async def depth(self, queue: str) -> Depth:
        """Count the jobs that wait and those that are delayed."""

    async def pause(self, queue: str, paused: bool) -> None:
        """Stop or go on giving out jobs, whoever asks."""


UUID_LENGTH = 32


class RedisJobs:
    """One list a queue and one sorted set for what is delayed, under Bull's own key names."""

    def __init__(self, client: redis.asyncio.Redis) -> None:
        self.client = client

    async def push(self, queue: str, jobs: list[Job]) -> None:
        """Append to the list."""
        await self.client.rpush(f"bull:{queue}:wait", *(json.dumps(asdict(job)) for job in jobs))

    async def delay(self, queue: str, jobs: list[Job], seconds: float) -> None:
        """Add to the sorted set by the time at which they are due, each with a beginning of its own."""
        due = time.time() + seconds
        await self.client.zadd(
            f"bull:{queue}:delayed", {uuid.uuid4().hex + json.dumps(asdict(job)): due for job in jobs}
        )

    async def _promote(self, queue: str) -> None:
        key = f"bull:{queue}:delayed"
        for member in await self.client.zrangebyscore(key, "-inf", time.time(), start=0, num=100):
            # Several backends look; the one that could remove it has it. Without scores it is one value each.
            if isinstance(member, bytes) and await self.client.zrem(key, member):
                await self.client.rpush(f"bull:{queue}:wait", member[UUID_LENGTH:])

    async def take(self, queue: str) -> Job | None:
        """Pop from the list, once what is due has come to it."""
        await self._promote(queue)
        if await self.client.exists(f"bull:{queue}:meta-paused"):
            return None
        raw = await self.client.lpop(f"bull:{queue}:wait")
        # Without a count it is one value, whatever the library's type says.
        return Job(**json.loads(raw)) if isinstance(raw, bytes) else None

    async def depth(self, queue: str) -> Depth:
        """Ask for the length of the list and the set, and look at the first of the list."""
        async with self.client.pipeline(transaction=False) as pipeline:
            pipeline.llen(f"bull:{queue}:wait")
            pipeline.zcard(f"bull:{queue}:delayed")
            pipeline.lindex(f"bull:{queue}:wait", 0)
            waiting, delayed, first = await pipeline.execute()
        return Depth(waiting, delayed, Job(**json.loads(first)).added if first else None)

    async def pause(self, queue: str, paused: bool) -> None:
        """Set or delete the key that means "paused"."""
        if paused:
            await self.client.set(f"bull:{queue}:meta-paused", "1")
        else:
            await self.client.delete(f"bull:{queue}:meta-paused")


class QueueMetrics:
    """Depth, duration (seconds), successes and failures, last completion and workers of each queue, and the KPIs."""

    def __init__(self, registry: CollectorRegistry) -> None:
        labels = ("queue",)
        self.waiting = Gauge("bull_queue_waiting", "Jobs that wait", labels, registry=registry)
        self.delayed = Gauge("bull_queue_delayed", "Jobs that are to run later", labels, registry=registry)
        self.oldest = Gauge(
            "bull_queue_oldest_waiting_seconds",
            "How long the job that has waited longest has waited; 0 where none waits",
            labels,
            registry=registry,
        )
        self.workers = Gauge(
            "bull_queue_workers", "Workers of this process that take jobs of the queue", labels, registry=registry
        )
        self.active = Gauge("bull_queue_active", "Jobs under way in this process", labels, registry=registry)
        self.completed = Counter("bull_queue_completed_total", "Jobs that succeeded", labels, registry=registry)
        self.failed = Counter("bull_queue_failed_total", "Jobs that failed", labels, registry=registry)
        self.duration = Histogram(
            "bull_job_duration_seconds", "Time that a job took", labels, registry=registry, buckets=BUCKETS_SECONDS
        )
        self.last_completed = Gauge(
            "bull_queue_last_completed_timestamp_seconds",
            "When a job last succeeded, in seconds since 1970; when the process started, before the first one did",
            labels,
            registry=registry,
        )
        self.kpis = {
            name: Counter(f"love_parser_{name}_total", name.replace("_", " ").capitalize(), registry=registry)
            for names in KPIS.values()
            for name in names
        }
        for queue in KPIS:
            for gauge in (self.waiting, self.delayed, self.oldest, self.workers, self.active):
                gauge.labels(queue)
            for metric in (self.completed, self.failed, self.duration):
                metric.labels(queue)
            # A zero would read as "stuck since 1970".
            self.last_completed.labels(queue).set_to_current_time()

    def note_depth(self, queue: str, depth: Depth) -> None:
        """Note what is in a queue."""
        self.waiting.labels(queue).set(depth.waiting)
        self.delayed.labels(queue).set(depth.delayed)
        self.oldest.labels(queue).set(0 if depth.oldest is None else max(0.0, time.time() - depth.oldest))

    def finished(self, queue: str, job: Job, seconds: float) -> None:
        """Note the end of a job."""
        self.duration.labels(queue).observe(seconds)
        (self.failed if job.fail else self.completed).labels(queue).inc()
        self.kpis[KPIS[queue][job.fail]].inc()
        if not job.fail:
            self.last_completed.labels(queue).set_to_current_time()


class Queues:
    """The queues' endpoints and their worker."""

    def __init__(self, store: JobStore, registry: CollectorRegistry) -> None:
        self.store = store
        self.metrics = QueueMetrics(registry)
        self._stopping = asyncio.Event()

    def routes(self) -> list[Route]:
        """Return the endpoints."""
        return [
            Route("/queues/{queue}/jobs", self.add, methods=["POST"], max_body_size=1024),
            Route("/queues/{queue}/pause", self.pause, methods=["POST"]),
            Route("/queues/{queue}/resume", self.resume, methods=["POST"]),
        ]

    async def add(self, request: Request) -> Response:
        """POST /queues/{queue}/jobs: takes, if wanted, `count`, `seconds` (of each), `fail` and `delay` (seconds)."""
        queue, body = _queue(request), await read_object(request)
        count, seconds, fail = body.get("count", 1), body.get("seconds", 0), body.get("fail", False)
        delay = body.get("delay", 0)
        problems = []
        if not isinstance(count, int) or isinstance(count, bool) or not 1 <= count <= MOST_JOBS:
            problems.append(f"count: expected a whole number from 1 to {MOST_JOBS}")
        for name, value, most in (("seconds", seconds, LONGEST_JOB_SECONDS), ("delay", delay, LONGEST_DELAY_SECONDS)):
            if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value <= most:
                problems.append(f"{name}: expected 0 to {most:g}")
        if not isinstance(fail, bool):
            problems.append("fail: expected true or false")
        if problems:
            raise HTTPException(422, "; ".join(problems))
        jobs = [Job(seconds, fail) for _ in range(count)]
        await (self.store.delay(queue, jobs, delay) if delay else self.store.push(queue, jobs))
        return JSONResponse({"queue": queue, "added": count}, status_code=202)

    async def pause(self, request: Request) -> Response:
        """POST /queues/{queue}/pause: no worker takes jobs of it any more ("Pause the broadcast worker")."""
        await self.store.pause(_queue(request), paused=True)
        return Response(status_code=204)

    async def resume(self, request: Request) -> Response:
        """POST /queues/{queue}/resume: workers go on."""
        await self.store.pause(_queue(request), paused=False)
        return Response(status_code=204)

    async def note_gauges(self) -> None:
        """Count what waits; without Redis the last figures stay."""
        try:
            for queue in KPIS:
                self.metrics.note_depth(queue, await self.store.depth(queue))
        except (redis.RedisError, OSError) as error:
            LOG.warning("the depth of the queues is unknown: %s", reason_of(error))

    @asynccontextmanager
    async def working(self) -> AsyncIterator[None]:
        """Work off the queues, each by itself; at the end jobs under way are finished, and no more are taken."""
        self._stopping.clear()
        async with asyncio.TaskGroup() as group:
            for queue in KPIS:
                group.create_task(self._work(queue))
            try:
                yield
            finally:
                self._stopping.set()

    async def _work(self, queue: str) -> None:
        with self.metrics.workers.labels(queue).track_inprogress():
            while not self._stopping.is_set():
                worked = False
                try:
                    worked = await self.work_once(queue)
                except (redis.RedisError, OSError) as error:
                    LOG.warning("the queue %s cannot be read: %s", queue, reason_of(error))
                if not worked:
                    with suppress(TimeoutError):  # the usual end of the pause
                        async with asyncio.timeout(IDLE_SECONDS):
                            await self._stopping.wait()

    async def work_once(self, queue: str) -> bool:
        """Do the queue's next job; tell whether there was one."""
        job = await self.store.take(queue)
        if job is None:
            return False
        started = time.perf_counter()
        with self.metrics.active.labels(queue).track_inprogress():
            await asyncio.sleep(job.seconds)
        self.metrics.finished(queue, job, time.perf_counter() - started)
        if job.fail:
            LOG.error("a job of the queue %s failed: asked to fail", queue)
        return True


def _queue(request: Request) -> str:
    queue: str = request.path_params["queue"]
    if queue not in KPIS:
        raise HTTPException(404, f"there is no such queue, only {', '.join(KPIS)}")
    return queue
