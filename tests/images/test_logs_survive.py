"""Nothing lost and nothing doubled: 100,000 lines while the collector is killed twice and Loki once."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator

import docker
import pytest

from tests.images.edge_stage import wait
from tests.images.helpers import kit_images
from tests.images.log_stage import LogStage, running_pipeline

LINES = 100_000
WRITERS = 4
"""Containers that write at the same time."""

SCRIPT = "i=0; while [ $i -lt {lines} ]; do echo line $i of {mark}; i=$((i+1)); [ $((i%1000)) = 0 ] && sleep 1; done"
SECONDS = 150
"""For everything to arrive, from the last kill on."""


@pytest.fixture(scope="module")
def stage(
    engine: docker.DockerClient, docker_host: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[LogStage]:
    wanted = ["busybox", "loki", "otel-collector"]
    with (
        kit_images(tmp_path_factory.mktemp("logs"), docker_host, wanted) as images,
        running_pipeline(engine, images) as made,
    ):
        yield made


def test_100_000_lines_arrive_once_each_while_the_collector_is_killed_twice_and_loki_once(stage: LogStage):
    each = LINES // WRITERS
    for number in range(WRITERS):
        stage.writer("counted", SCRIPT.format(lines=each, mark=f"writer {number}"), name=f"counted-{number}")
    selector = '{service="counted"}'
    wait(lambda: stage.count(selector) > 4000, lambda: stage.collector.logs(tail=5).decode(), 60)
    stage.collector.kill()
    time.sleep(3)
    stage.collector.start()
    time.sleep(4)
    stage.loki.kill()
    time.sleep(4)
    stage.loki.start()
    stage.healthy(stage.loki)
    time.sleep(3)
    stage.collector.kill()
    assert stage.count(selector) < LINES, "all had arrived before the last kill: it proved nothing"
    stage.collector.start()
    wait(lambda: stage.count(selector) >= LINES, lambda: f"{stage.count(selector)} of {LINES}", SECONDS)
    found: Counter[str] = Counter()

    def all_there() -> bool:
        found.clear()
        found.update(line for _, line in stage.lines(selector))
        return len(found) >= LINES

    wait(all_there, lambda: f"{len(found)} of {LINES} different lines", 60)
    expected = {f"line {line} of writer {number}" for number in range(WRITERS) for line in range(each)}
    assert set(found) == expected
    assert set(found.values()) == {1}
