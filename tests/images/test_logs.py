"""The log pipeline with the real Loki and collector: what LogPipeline registers, made on an engine."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterator, Mapping

import docker
import pytest

from tests.images.helpers import kit_images, once
from tests.images.log_stage import LogStage, running_pipeline


@pytest.fixture(scope="module")
def images(docker_host: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mapping[str, str]]:
    with kit_images(tmp_path_factory.mktemp("logs"), docker_host, ["busybox", "loki", "otel-collector"]) as found:
        yield found


@pytest.fixture(scope="module")
def stage(engine: docker.DockerClient, images: Mapping[str, str]) -> Iterator[LogStage]:
    with running_pipeline(engine, images) as made:
        yield made


def test_a_line_arrives_once_with_the_labels_of_its_container(stage: LogStage):
    container = stage.writer("greeter", "echo hello; sleep 1; echo oh >&2")
    found = stage.arrived("greeter", 2)
    assert [line for _, line in found] == ["hello", "oh"]
    for (labels, _), stream in zip(found, ("stdout", "stderr"), strict=True):
        assert labels == {
            "product": "shop",
            "environment": "development",
            "service": "greeter",
            "container": f"{stage.mark}-greeter",
            "container_name": container.name,
            "stream": stream,
            "container_id": container.id[:12],
            "detected_level": "unknown",
        }


def test_lines_are_indexed_by_four_labels_that_no_release_changes_and_by_no_other(stage: LogStage):
    stage.writer("indexed", "echo here")
    stage.arrived("indexed", 1)
    (series,) = stage.ask("/loki/api/v1/series", **{"match[]": '{service="indexed"}'})
    assert series == {
        "product": "shop",
        "environment": "development",
        "service": "indexed",
        "container": f"{stage.mark}-indexed",
    }


def test_lines_of_another_stack_and_of_other_containers_do_not_arrive(stage: LogStage, engine: docker.DockerClient):
    stage.writer("neighbour", "echo theirs", stack="another")
    engine.containers.run(stage.images["busybox"], ["echo", "nobody's"], network_mode="none", remove=True)
    stage.writer("ours", "sleep 2; echo ours")
    stage.arrived("ours", 1)
    assert stage.lines('{product=~".+"} |~ "theirs|nobody"') == []


def test_the_time_is_that_at_which_the_line_was_written(stage: LogStage):
    container = stage.writer("clock", "echo tick")
    stage.arrived("clock", 1)
    answer = stage.ask("/loki/api/v1/query_range", query='{service="clock"}', since="1h")
    moment = int(answer["result"][0]["values"][0][0])
    said = container.logs(timestamps=True).decode().split("Z")[0]
    whole, _, fraction = said.partition(".")
    assert time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(moment // 10**9)) == whole
    assert f"{moment % 10**9:09}".rstrip("0") == fraction.rstrip("0")


def test_a_line_that_the_driver_splits_is_one_line_again(stage: LogStage):
    stage.writer("long", "head -c 100000 /dev/zero | tr '\\0' x; echo; echo short; printf 'no end'")
    lines = [line for _, line in stage.arrived("long", 3)]
    assert [len(line) for line in lines] == [100000, len("short"), len("no end")]


@pytest.mark.parametrize(
    ("line", "level"),
    [
        ('{"level":50,"time":1732200000000,"msg":"refused"}', "error"),
        ('{"time":1732200000000,"msg":"said","level":30}', "info"),
        ('{"level":"warning","message":"words"}', "warn"),
        ("level=error msg=logfmt", "error"),
        ('{"levels":50,"msg":"none"}', "unknown"),
    ],
)
def test_the_level_is_known_however_it_is_written(stage: LogStage, line: str, level: str):
    service = f"level-{len(line)}"
    stage.writer(service, f"echo '{line}'")
    ((labels, said),) = stage.arrived(service, 1)
    assert said == line
    assert labels["detected_level"] == level


NUMBERED = "i=0; while [ $i -lt {lines} ]; do echo number $i; i=$((i+1)); [ $((i%200)) = 0 ] && sleep 0.1; done"


def test_a_collector_that_is_killed_again_and_again_loses_nothing_and_doubles_nothing(stage: LogStage):
    stage.writer("numbered", NUMBERED.format(lines=20000))
    for _ in range(4):
        time.sleep(1.7)
        stage.collector.kill()
        stage.collector.start()
    found = Counter(line for _, line in stage.arrived("numbered", 20000))
    assert len(found) == 20000
    assert set(found.values()) == {1}


def test_what_is_written_while_loki_is_away_arrives_when_it_is_back(stage: LogStage):
    stage.loki.kill()
    stage.writer("patient", NUMBERED.format(lines=5000))
    time.sleep(5)
    stage.collector.kill()
    stage.collector.start()
    stage.loki.start()
    stage.healthy(stage.loki)
    found = Counter(line for _, line in stage.arrived("patient", 5000))
    assert len(found) == 5000
    assert set(found.values()) == {1}


def test_what_was_rotated_while_the_collector_was_away_arrives_too(stage: LogStage):
    stage.collector.stop()
    # Seven files of at most 1 MB.
    script = "i=0; while [ $i -lt 20000 ]; do echo rotated number $i; i=$((i+1)); done"
    writer = stage.writer("rotated", script, rotated_at="1m")
    writer.wait(timeout=120)
    stage.collector.start()
    assert len({line for _, line in stage.arrived("rotated", 20000)}) == 20000


def test_loki_keeps_its_lines_over_a_restart(stage: LogStage):
    stage.writer("kept", "echo kept")
    stage.arrived("kept", 1)
    stage.loki.restart(timeout=60)
    stage.healthy(stage.loki)
    assert [line for _, line in stage.arrived("kept", 1)] == ["kept"]


def test_the_health_check_of_the_collector_fails_where_it_does_not_answer(stage: LogStage, images: Mapping[str, str]):
    command = stage.world()["l-collector"].inputs["healthcheck"]["tests"][1:]
    program, *arguments = command
    config = {f"{stage.mark}-l-collector-config-0a1b2c3": {"bind": "/etc/otelcol-contrib", "mode": "ro"}}
    code, said = once(stage.engine, images["otel-collector"], *arguments, entrypoint=program, user="0", volumes=config)
    assert code != 0
    assert "13133" in said
    assert stage.collector.exec_run(command)[0] == 0


@pytest.mark.parametrize(
    ("address", "metric"),
    [
        ("loki:3100", "loki_distributor_lines_received_total"),
        ("collector:8888", "otelcol_exporter_sent_log_records"),
    ],
)
def test_prometheus_gets_metrics_of_both(stage: LogStage, address: str, metric: str):
    # They count since their last start.
    service = f"counted-by-{address.partition(':')[0]}"
    stage.writer(service, "echo counted")
    stage.arrived(service, 1)
    code, said = stage.loki.exec_run(["wget", "-q", "-O", "-", f"http://{address}/metrics"])
    assert code == 0
    assert metric in said.decode()


def test_loki_deletes_what_is_older_than_the_retention(stage: LogStage):
    code, said = stage.loki.exec_run(["wget", "-q", "-O", "-", "http://127.0.0.1:3100/config"])
    assert code == 0
    assert "retention_period: 30d" in said.decode()
    assert "retention_enabled: true" in said.decode()


def test_the_collector_tells_that_loki_was_away_and_gave_nothing_up(stage: LogStage):
    told = [json.loads(line) for line in stage.collector.logs().decode().splitlines()]
    assert any("Will retry" in one["msg"] for one in told)
    assert [one for one in told if one["level"] == "error"] == []
