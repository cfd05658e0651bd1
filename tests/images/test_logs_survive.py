"""Lines while the collector and the store are killed: what is lost, and what is counted twice."""

import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta

import docker
import pytest

from tests.images.log_stage import LOG_IMAGES, LogStage, running_pipeline
from tests.support.kit import KitImages

WRITERS = 4  # containers that write at the same time

SCRIPT = "i=0; while [ $i -lt {lines} ]; do echo line $i of {mark}; i=$((i+1)); [ $((i%{burst})) = 0 ] && sleep 1; done"
SECONDS = 240  # for everything to arrive, from the last kill on

UNWRITTEN = timedelta(seconds=6)
"""VictoriaLogs writes what it takes in to its disk within a second or two; the collector brings it there in as many."""


@pytest.fixture(scope="module")
def stage(engine: docker.DockerClient, kit: KitImages) -> Iterator[LogStage]:
    kit.ensure(LOG_IMAGES)
    with running_pipeline(engine, kit) as running:
        yield running


def write(stage: LogStage, service: str, lines: int) -> set[str]:
    """Have several containers write for ten seconds or more; return their lines."""
    each = lines // WRITERS
    for number in range(WRITERS):
        script = SCRIPT.format(lines=each, mark=f"writer {number}", burst=each // 10)
        stage.writer(service, script, name=f"{service}-{number}")
    return {f"line {line} of writer {number}" for number in range(WRITERS) for line in range(each)}


def kill_the_collector(stage: LogStage) -> None:
    stage.collector.kill()
    stage.collector.start()


def restart_the_store(stage: LogStage) -> None:
    stage.store.restart(timeout=60)
    stage.healthy("victorialogs")


@pytest.mark.parametrize("lines", [10_000, pytest.param(100_000, marks=pytest.mark.soak)])
@pytest.mark.parametrize(("disturb", "times"), [(kill_the_collector, 3), (restart_the_store, 2)])
def test_every_line_is_counted_once_whatever_is_killed_or_restarted(
    stage: LogStage, disturb: Callable[[LogStage], None], times: int, lines: int
):
    service = f"{disturb.__name__.replace('_', '-')}-{lines}"
    expected = write(stage, service, lines)
    selector = f'{{service="{service}"}}'
    for _ in range(times):
        time.sleep(2)
        disturb(stage)
    if disturb is kill_the_collector:
        assert stage.count(selector) < lines, "all had arrived before the last kill: it proved nothing"
    stage.wait_for(selector, lines, SECONDS)
    stored = [line["_msg"] for line in stage.lines(selector)]
    assert set(stored) == expected
    assert len(stored) == stage.count(selector) == lines


def test_a_killed_store_loses_no_line_older_than_what_it_had_not_written(stage: LogStage):
    writer = stage.writer("store-killed", "i=0; while [ $i -lt 400 ]; do echo line $i; i=$((i+1)); sleep 0.05; done")
    selector = '{service="store-killed"}'
    stage.wait_for(selector, 200)
    stage.store.kill()
    killed = datetime.fromisoformat(stage_time(stage))
    time.sleep(2)
    stage.store.start()
    stage.healthy("victorialogs")
    writer.wait(timeout=120)
    stage.wait_for(f'{selector} _msg:="line 399"', 1, SECONDS)
    stored = {line["_msg"] for line in stage.lines(selector)}
    written = dict(reversed(line.split(" ", 1)) for line in writer.logs(timestamps=True).decode().splitlines())
    assert len(written) == 400
    lost = [datetime.fromisoformat(moment[:26]) for message, moment in written.items() if message not in stored]
    assert all(killed - UNWRITTEN < moment < killed for moment in lost), (killed, min(lost), max(lost))


def stage_time(stage: LogStage) -> str:
    """Return when the store ended, as the engine wrote it down, to the microsecond."""
    stage.store.reload()
    moment: str = stage.store.attrs["State"]["FinishedAt"]
    return moment.rstrip("Z")[:26]
