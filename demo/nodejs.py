"""The metrics that prom-client, Node's Prometheus client, exports by default, as this process has them.

The demo stands for services in Node and is Python. Rules and dashboards shall find Node's names with values that move
as a real process moves, so each name carries what is nearest to it here:

- `nodejs_eventloop_lag_*`: how late asyncio wakes a task that asked to be woken, since the last scrape;
- `nodejs_heap_size_used_bytes`: private memory that is resident; `…_total_bytes`: private memory that is mapped;
  `…_limit_bytes`: the container's memory limit, else the machine's memory;
  `nodejs_external_memory_bytes`: mapped files;
- `nodejs_heap_space_size_*`: the same by kind of memory, as the kernel tells them apart;
- `nodejs_gc_duration_seconds`: CPython's collector, its three generations as `minor`, `incremental` and `major`;
- `nodejs_active_handles`: open files, sockets and pipes; `nodejs_active_requests`: asyncio's tasks;
- `nodejs_version_info`: the version of Python.

`process_*` comes from the Prometheus client for Python, which has the names of prom-client.
"""

from __future__ import annotations

import asyncio
import bisect
import gc
import math
import platform
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from statistics import fmean, pstdev

from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

PAUSE_SECONDS = 0.1
"""How often the lag is taken: ten wake-ups a second are 0.1 % of a core."""

MOST_SAMPLES = 6000
"""Lags that are kept while nobody scrapes: those of ten minutes."""

GC_BUCKETS_SECONDS = (0.001, 0.01, 0.1, 1.0, 2.0, 5.0)
"""prom-client's own."""

GC_KINDS = ("minor", "incremental", "major")
"""By CPython's generation."""

STATUS = Path("/proc/self/status")
MEMINFO = Path("/proc/meminfo")
OPEN_FILES = Path("/proc/self/fd")
MEMORY_LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))
"""Of cgroups version 2 and 1."""


def percentile(ordered: list[float], share: float) -> float:
    """Return the smallest value that `share` (0 to 1) of the ordered values do not exceed."""
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def read_sizes(path: Path) -> dict[str, int]:
    """Return the sizes that a file of /proc tells in kB, in bytes; empty where there is no such file."""
    sizes = {}
    with suppress(FileNotFoundError):  # no Linux, no such file
        for line in path.read_text().splitlines():
            name, _, rest = line.partition(":")
            words = rest.split()
            if len(words) == 2 and words[1] == "kB":
                sizes[name] = int(words[0]) * 1024
    return sizes


def memory_limit() -> int:
    """Return how many bytes this process may use: the container's limit, else the machine's memory."""
    whole = read_sizes(MEMINFO).get("MemTotal", 0)
    for path in MEMORY_LIMITS:
        with suppress(OSError, ValueError):  # each machine has one version of control groups, not both
            # "max" of version 2 is no number; version 1 says 2^63 and a little where there is no limit.
            return min(int(path.read_text()), whole)
    return whole


class LoopLag:
    """How late the event loop wakes a task. Times are in seconds."""

    def __init__(self) -> None:
        self.now = 0.0
        self._samples: list[float] = []
        self._shown = [0.0]

    @asynccontextmanager
    async def watched(self) -> AsyncIterator[None]:
        """Take the lag from entering to leaving."""
        task = asyncio.create_task(self._watch())
        try:
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):  # as asked for in the line before
                await task

    async def _watch(self) -> None:
        while True:
            due = time.perf_counter() + PAUSE_SECONDS
            await asyncio.sleep(PAUSE_SECONDS)
            self.note(max(0.0, time.perf_counter() - due))

    def note(self, seconds: float) -> None:
        """Note one lag; beyond MOST_SAMPLES the oldest half is forgotten."""
        if len(self._samples) >= MOST_SAMPLES:
            del self._samples[: MOST_SAMPLES // 2]
        self._samples.append(seconds)

    async def measure(self) -> None:
        """Note how long the event loop takes to come back now."""
        started = time.perf_counter()
        await asyncio.sleep(0)
        self.now = time.perf_counter() - started

    def figures(self) -> dict[str, float]:
        """Return the figures of the lags since the last call, and the last ones again where there are none yet."""
        if self._samples:
            self._shown, self._samples = sorted(self._samples), []
        ordered = self._shown
        return {
            "": self.now,
            "min_": ordered[0],
            "max_": ordered[-1],
            "mean_": fmean(ordered),
            "stddev_": pstdev(ordered),
            "p50_": percentile(ordered, 0.5),
            "p90_": percentile(ordered, 0.9),
            "p99_": percentile(ordered, 0.99),
        }


@dataclass
class Pauses:
    """How long runs of the garbage collector took.

    Plain numbers and not the client's histogram: the collector can run while that holds its lock, and would wait for
    itself.
    """

    buckets: list[int] = field(default_factory=lambda: [0] * (len(GC_BUCKETS_SECONDS) + 1))
    seconds: float = 0.0

    def note(self, seconds: float) -> None:
        """Count one run."""
        self.buckets[bisect.bisect_left(GC_BUCKETS_SECONDS, seconds)] += 1
        self.seconds += seconds

    def cumulative(self) -> list[tuple[str, float]]:
        """Return the buckets as Prometheus counts them: each with all that is below it."""
        total, counted = 0, []
        limits = [*(f"{limit:g}" for limit in GC_BUCKETS_SECONDS), "+Inf"]
        for limit, count in zip(limits, self.buckets, strict=True):
            total += count
            counted.append((limit, float(total)))
        return counted


class GcWatch:
    """Notes every run of CPython's garbage collector from its making on, to the end of the process."""

    def __init__(self) -> None:
        self.pauses = {kind: Pauses() for kind in GC_KINDS}
        self._started = 0.0
        gc.callbacks.append(self._note)

    def _note(self, phase: str, info: dict[str, int]) -> None:
        if phase == "start":
            self._started = time.perf_counter()
        else:
            self.pauses[GC_KINDS[min(info["generation"], 2)]].note(time.perf_counter() - self._started)


@cache
def gc_watch() -> GcWatch:
    """Return the one watch of the process, which has one collector."""
    return GcWatch()


class NodeMetrics(Collector):
    """prom-client's default metrics of this process, read when they are asked for."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.lag = LoopLag()
        self.gc = gc_watch()
        registry.register(self)

    def collect(self) -> Iterator[Metric]:
        """Return all families."""
        for name, value in self.lag.figures().items():
            said = f"Event loop lag, {name[:-1] or 'now'}, in seconds"
            yield GaugeMetricFamily(f"nodejs_eventloop_lag_{name}seconds", said, value=value)
        pauses = HistogramMetricFamily("nodejs_gc_duration_seconds", "Time of garbage collections", labels=["kind"])
        for kind, found in self.gc.pauses.items():
            pauses.add_metric([kind], found.cumulative(), found.seconds)
        yield pauses
        yield from _memory()
        yield from _counts("handles", "Open files, sockets and pipes", _open_files())
        yield from _counts("requests", "Tasks of the event loop", _tasks())
        parts = platform.python_version_tuple()
        version = GaugeMetricFamily(
            "nodejs_version_info", "The version, in its labels", labels=["version", "major", "minor", "patch"]
        )
        version.add_metric([f"v{platform.python_version()}", *parts], 1)
        yield version


def _memory() -> Iterator[Metric]:
    sizes = read_sizes(STATUS)
    used, total = sizes.get("RssAnon", 0), sizes.get("VmData", 0)
    files = sizes.get("RssFile", 0)
    yield GaugeMetricFamily("nodejs_heap_size_used_bytes", "Private memory that is resident", value=used)
    yield GaugeMetricFamily("nodejs_heap_size_total_bytes", "Private memory that is mapped", value=total)
    yield GaugeMetricFamily("nodejs_heap_size_limit_bytes", "Memory that it may use", value=memory_limit())
    yield GaugeMetricFamily("nodejs_external_memory_bytes", "Mapped files that are resident", value=files)
    code = sizes.get("VmExe", 0) + sizes.get("VmLib", 0)
    spaces = {"private": (used, total), "code": (min(files, code), code)}
    for figure in ("total", "used", "available"):
        family = GaugeMetricFamily(f"nodejs_heap_space_size_{figure}_bytes", f"Memory, {figure}", labels=["space"])
        for space, (resident, mapped) in spaces.items():
            shown = {"total": mapped, "used": resident, "available": max(0, mapped - resident)}
            family.add_metric([space], shown[figure])
        yield family


def _counts(what: str, documentation: str, counts: Counter[str]) -> Iterator[Metric]:
    by_type = GaugeMetricFamily(f"nodejs_active_{what}", documentation, labels=["type"])
    for kind, count in sorted(counts.items()):
        by_type.add_metric([kind], count)
    yield by_type
    yield GaugeMetricFamily(f"nodejs_active_{what}_total", documentation, value=counts.total())


def _open_files() -> Counter[str]:
    counts: Counter[str] = Counter()
    for entry in OPEN_FILES.iterdir():
        # One of them is the listing itself, and gone.
        with suppress(FileNotFoundError):
            target = str(entry.readlink())
            counts[target.partition(":[")[0].capitalize() if ":[" in target else "File"] += 1
    return counts


def _tasks() -> Counter[str]:
    try:
        tasks = asyncio.all_tasks()
    except RuntimeError:
        # Outside of a loop there are none.
        return Counter()
    return Counter(getattr(task.get_coro(), "__name__", "task") for task in tasks)
