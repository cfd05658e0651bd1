"""The log pipeline with the real VictoriaLogs and collector: what LogPipeline registers, made on an engine."""

import json
import time
from collections.abc import Iterator

import docker
import pytest

from tests.images.log_stage import LOG_IMAGES, LogStage, running_pipeline
from tests.support.containers import once
from tests.support.kit import KitImages

PLAIN = "a duration: of 5 ms and a request of GET"  # a line that looks like one of which more is known, and is none


@pytest.fixture(scope="module")
def stage(engine: docker.DockerClient, kit: KitImages) -> Iterator[LogStage]:
    kit.ensure(LOG_IMAGES)
    with running_pipeline(engine, kit) as running:
        yield running


def test_a_line_arrives_once_with_the_labels_of_its_container(stage: LogStage):
    container = stage.writer("greeter", f"echo '{PLAIN}'; sleep 1; echo oh >&2")
    lines = stage.arrived("greeter", 2)
    assert [line["_msg"] for line in lines] == [PLAIN, "oh"]
    for line, stream in zip(lines, ("stdout", "stderr"), strict=True):
        assert {key: value for key, value in line.items() if not key.startswith("_")} == {
            "product": "shop",
            "environment": "development",
            "service": "greeter",
            "container": f"{stage.mark}-greeter",
            "container_name": container.name,
            "stream": stream,
            "container_id": container.id[:12],
            "level": "unknown",
        }


def test_a_stream_has_four_labels_that_no_release_changes(stage: LogStage):
    stage.writer("indexed", "echo here")
    (line,) = stage.arrived("indexed", 1)
    labels = {"container": f"{stage.mark}-indexed", "environment": "development", "product": "shop"}
    labels["service"] = "indexed"
    assert line["_stream"] == "{" + ",".join(f'{name}="{value}"' for name, value in labels.items()) + "}"


def test_lines_of_another_stack_and_of_other_containers_do_not_arrive(stage: LogStage, engine: docker.DockerClient):
    stage.writer("neighbour", "echo theirs", stack="another")
    engine.containers.run(stage.images["busybox"], ["echo", "nobody's"], network_mode="none", remove=True)
    stage.writer("ours", "sleep 2; echo ours")
    stage.arrived("ours", 1)
    assert stage.lines('~"theirs|nobody"') == []


def test_the_time_is_that_at_which_the_line_was_written(stage: LogStage):
    container = stage.writer("clock", "echo tick")
    (line,) = stage.arrived("clock", 1)
    docker_time = container.logs(timestamps=True).decode().split("Z")[0]
    assert line["_time"].rstrip("Z").rstrip("0") == docker_time.rstrip("0")


def test_a_line_that_the_driver_splits_is_one_line_again(stage: LogStage):
    stage.writer("long", "head -c 100000 /dev/zero | tr '\\0' x; echo; echo short; printf 'no end'")
    assert [len(line["_msg"]) for line in stage.arrived("long", 3)] == [100000, len("short"), len("no end")]


def test_lines_rotated_while_the_collector_is_away_arrive_too(stage: LogStage):
    stage.collector.stop()
    # Seven files of at most 1 MB.
    script = "i=0; while [ $i -lt 20000 ]; do echo rotated number $i; i=$((i+1)); done"
    writer = stage.writer("rotated", script, rotated_at="1m")
    writer.wait(timeout=120)
    stage.collector.start()
    assert len({line["_msg"] for line in stage.arrived("rotated", 20000)}) == 20000


def test_the_health_check_of_the_collector_fails_where_it_does_not_answer(stage: LogStage):
    command = stage.world()["l-collector"].inputs["healthcheck"]["tests"][1:]
    program, *arguments = command
    config = {f"{stage.mark}-l-collector-config-0a1b2c3": {"bind": "/etc/otelcol-contrib", "mode": "ro"}}
    image = stage.images["otel-collector"]
    code, output = once(stage.engine, image, *arguments, entrypoint=program, user="0", volumes=config)
    assert code != 0
    assert "13133" in output
    assert stage.collector.exec_run(command)[0] == 0


@pytest.mark.parametrize("part", ["victorialogs", "vmalert"])
def test_the_health_check_of_a_store_fails_where_it_does_not_answer(stage: LogStage, part: str):
    command = stage.world()[f"l-{part}"].inputs["healthcheck"]["tests"][1:]
    assert stage.containers[part].exec_run(command)[0] == 0
    assert stage.containers[part].exec_run([*command[:-1], "http://127.0.0.1:1/health"])[0] != 0


def test_lines_written_while_the_store_is_away_arrive_and_the_collector_gives_nothing_up(stage: LogStage):
    stage.store.stop()
    numbered = "i=0; while [ $i -lt 5000 ]; do echo number $i; i=$((i+1)); [ $((i%200)) = 0 ] && sleep 0.1; done"
    stage.writer("patient", numbered)
    time.sleep(3)
    stage.collector.kill()
    stage.collector.start()
    stage.store.start()
    stage.healthy("victorialogs")
    lines = stage.arrived("patient", 5000)
    assert sorted(line["_msg"] for line in lines) == sorted(f"number {number}" for number in range(5000))
    messages = [json.loads(line) for line in stage.collector.logs().decode().splitlines()]
    assert any("Will retry" in message["msg"] for message in messages)
    assert [message for message in messages if message["level"] == "error"] == []
