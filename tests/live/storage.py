"""What a stack's samples cost on disk, measured: the figures of docs/long-term.md.

    python -m tests.live.storage PROMETHEUS_URL [--data FOLDER]

Asks a running Prometheus how many series it has, of which jobs, and how many samples come in. What a sample costs is
taken from its data folder (the volume `…-prometheus-data`): Prometheus writes blocks, the form in which samples stay,
only after two to three hours; so a copy is dumped and written as blocks by promtool, with the same encoding.
"""

import argparse
import json
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import httpx
from rich.console import Console

from tests.promtools import promtool, promtools

DAY = 86_400
WINDOW = "10m"
CHUNK_HEAD_BYTES = 2 + 1 + 4 + 2 + 7 + 8  # length, encoding, checksum, number of samples, first time, first value

DOTTED = re.compile(r'[{,][^"=,]*\.[^"=,]*="')


@dataclass(frozen=True)
class Prometheus:
    url: str

    def by(self, query: str, label: str) -> dict[str, float]:
        answer = httpx.get(f"{self.url}/api/v1/query", params={"query": query}, timeout=30)
        answer.raise_for_status()
        return {
            series["metric"].get(label, ""): float(series["value"][1]) for series in answer.json()["data"]["result"]
        }

    def value(self, query: str) -> float:
        """Return the sum of an instant query, 0 where there is nothing."""
        return sum(self.by(f"sum({query})", "").values())


@dataclass(frozen=True)
class Live:
    series: int
    samples: float  # a second
    jobs: Mapping[str, int]  # series of each job. Those without one are of rules about no job
    containers: int
    per_container: float  # cAdvisor's series of one container


@dataclass(frozen=True)
class Stored:
    samples: int
    series: int
    chunks: int  # bytes
    chunk_count: int
    index: int  # bytes
    hours: float

    @property
    def heads(self) -> int:
        """Bytes of all chunks that do not grow with their samples: length, encoding, checksum, number, first sample."""
        return self.chunk_count * CHUNK_HEAD_BYTES

    @property
    def per_sample(self) -> float:
        """Bytes of a sample, its share of the index included."""
        return (self.chunks + self.index) / self.samples


def look(prometheus: Prometheus) -> Live:
    containers = prometheus.by('count by (id) ({job="cadvisor", id=~"/docker/.+", __name__=~"container_.+"})', "id")
    jobs = prometheus.by('count by (job) ({__name__=~".+"})', "job")
    return Live(
        series=int(prometheus.value("prometheus_tsdb_head_series")),
        samples=prometheus.value(f"rate(prometheus_tsdb_head_samples_appended_total[{WINDOW}])"),
        jobs={job: int(number) for job, number in sorted(jobs.items(), key=lambda pair: -pair[1])},
        containers=len(containers),
        per_container=sum(containers.values()) / len(containers) if containers else 0.0,
    )


def write_blocks(data: Path, work: Path) -> Stored:
    """Write the samples of a data folder, which may be in use, as blocks into a work folder; without series that have
    a dot in the name of a label: promtool dumps them without the quotes that it needs."""
    copy, text, blocks = work / "data", work / "samples.om", work / "blocks"
    shutil.copytree(data, copy, ignore=shutil.ignore_patterns("lock", "queries.active"))
    command = [str(promtools() / "promtool"), "tsdb", "dump-openmetrics", str(copy)]
    with text.open("w") as target, subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as dumping:
        assert dumping.stdout
        target.writelines(line for line in dumping.stdout if not DOTTED.search(line))
    assert dumping.returncode == 0, "promtool could not dump it (see above)"
    made = promtool(["tsdb", "create-blocks-from", "openmetrics", text, blocks], cwd=work)
    assert made.returncode == 0, made.stdout + made.stderr
    return measured(blocks)


def measured(blocks: Path) -> Stored:
    metas = [json.loads(path.read_text()) | {"folder": path.parent} for path in blocks.glob("*/meta.json")]
    return Stored(
        samples=sum(meta["stats"]["numSamples"] for meta in metas),
        series=sum(meta["stats"]["numSeries"] for meta in metas),
        chunk_count=sum(meta["stats"]["numChunks"] for meta in metas),
        chunks=sum(path.stat().st_size for meta in metas for path in (meta["folder"] / "chunks").iterdir()),
        index=sum((meta["folder"] / "index").stat().st_size for meta in metas),
        hours=(max(meta["maxTime"] for meta in metas) - min(meta["minTime"] for meta in metas)) / 3_600_000,
    )


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.live.storage", description=__doc__.partition("\n")[0])
    parser.add_argument("url", help="address of a running Prometheus")
    parser.add_argument("--data", type=Path, metavar="FOLDER", help="the data folder of that Prometheus")
    asked = parser.parse_args(arguments)
    console = Console(highlight=False, emoji=False)
    live = look(Prometheus(asked.url))
    console.print(f"{live.series} series, {live.samples:.0f} samples/s")
    for job, number in live.jobs.items():
        console.print(f"  {job or '(no job)'}: {number} series")
    console.print(f"{live.containers} containers with {live.per_container:.0f} series each, of cAdvisor")
    if asked.data:
        with tempfile.TemporaryDirectory(prefix="storage-") as folder:
            stored = write_blocks(asked.data, Path(folder))
        console.print(
            f"{stored.samples} samples of {stored.series} series in {stored.hours:.2f} h:"
            f" chunks {stored.chunks / stored.samples:.2f} B a sample, index {stored.index / stored.series:.0f} B a"
            f" series; {stored.per_sample:.2f} B a sample in all"
        )
        month = live.samples * DAY * 30 * stored.per_sample
        console.print(f"30 days at this rate: {month / 2**30:.2f} GiB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
