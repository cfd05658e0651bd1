"""What users of the official Docker plugin have to know of it holds for the stand-in too, on a real engine."""

import itertools
from collections.abc import Iterator
from typing import Any, Self

import docker
import pytest

from tests.contract.transcripts import CallError, Json, Plugin
from tests.support.waiting import wait_until

CONTAINER = "docker:index/container:Container"
NETWORK = "docker:index/network:Network"
HEALTHY = {"tests": ["CMD-SHELL", "true"], "interval": "1s", "timeout": "1s", "retries": 2}


class Resource:
    """One resource that goes through the plugin as the engine would take it there."""

    numbers = itertools.count()

    def __init__(self, plugin: Plugin, kind: str, inputs: Json, prefix: str) -> None:
        self.plugin, self.kind, self.given = plugin, kind, inputs
        self.name = f"{prefix}-{next(self.numbers)}"
        self.inputs: Json = {}
        self.outputs: Json = {}
        self.identity = ""

    def call(self, method: str, **arguments: Any) -> Json:
        target = {"urn": f"urn:pulumi:t::t::{self.kind}::{self.name}", "type": self.kind, "name": self.name}
        return self.plugin.call(method, target | {"id": self.identity} | arguments)

    def check(self, inputs: Json) -> Json:
        answer = self.call("Check", olds=self.inputs, news=inputs)
        assert not answer.get("failures"), answer["failures"]
        return dict(answer["inputs"])

    def create(self) -> Self:
        self.inputs = self.check(self.given)
        answer = self.call("Create", properties=self.inputs)
        self.identity, self.outputs = answer["id"], answer["properties"]
        return self

    def diff(self, **changes: Any) -> Json:
        news = self.check(self.given | changes)
        return self.call("Diff", olds=self.outputs, oldInputs=self.inputs, news=news)

    def update(self, **changes: Any) -> None:
        news = self.check(self.given | changes)
        answer = self.call("Update", olds=self.outputs, oldInputs=self.inputs, news=news)
        self.inputs, self.outputs = news, answer["properties"]

    def refresh(self) -> Json:
        answer = self.call("Read", properties=self.outputs, inputs=self.inputs)
        if answer.get("id"):
            self.outputs = answer["properties"]
        return answer

    def delete(self) -> None:
        self.call("Delete", properties=self.outputs, oldInputs=self.inputs)


Maker = Any


@pytest.fixture
def make(plugin: Plugin, engine: docker.DockerClient, image: str, prefix: str) -> Iterator[Maker]:
    """Make resources that are gone after the test, those whose making failed included."""
    made: list[Resource] = []

    def maker(kind: str = CONTAINER, **inputs: Any) -> Resource:
        defaults: Json = {"image": image, "command": ["sleep", "1000"]} if kind == CONTAINER else {}
        resource = Resource(plugin, kind, defaults | inputs, prefix)
        made.append(resource)
        return resource

    yield maker
    for resource in reversed(made):
        for container in engine.containers.list(all=True, filters={"name": f"{resource.name}-"}):
            container.remove(force=True, v=True)
        if resource.kind == NETWORK and resource.identity:
            resource.delete()


def changed(diff: Json) -> list[str]:
    return list(diff.get("diffs", []))


@pytest.mark.parametrize(
    ("inputs", "differing"),
    [
        ({"cpus": "1"}, ["cpus"]),
        ({"cpus": "0.05"}, ["cpus"]),
        ({"healthcheck": HEALTHY | {"interval": "60s"}}, ["healthcheck"]),
        ({"pidMode": "host", "securityOpts": ["no-new-privileges:true"]}, ["securityOpts"]),
        ({"platform": "linux/amd64"}, ["platform"]),
    ],
    ids=["whole cores", "hundredths of a core", "a minute", "the host's processes", "a platform"],
)
def test_spellings_that_the_engine_gives_back_otherwise_never_come_to_rest(
    make: Maker, inputs: Json, differing: list[str]
) -> None:
    assert changed(make(**inputs).create().diff()) == differing


def test_uploads_into_a_read_only_root_fail_and_the_container_is_known(make: Maker) -> None:
    container = make(readOnly=True, uploads=[{"file": "/etc/x", "content": "x"}])
    with pytest.raises(CallError, match="container rootfs is marked read-only") as failure:
        container.create()
    assert failure.value.details, "the engine is not told of the container that was left"


def test_drift_that_the_official_plugin_does_not_see_is_not_seen_here_either(
    make: Maker, engine: docker.DockerClient
) -> None:
    network = make(NETWORK).create()
    container = make(
        uploads=[{"file": "/etc/x", "content": "declared"}], networksAdvanced=[{"name": network.identity}]
    ).create()
    running = engine.containers.get(container.identity)
    running.exec_run(["sh", "-c", "echo edited > /etc/x"])
    engine.networks.get(network.identity).disconnect(running, force=True)
    running.pause()
    container.refresh()
    assert changed(container.diff()) == []
    running.unpause()


def test_a_change_that_only_a_replacement_could_make_is_left_alone_by_an_update(
    make: Maker, engine: docker.DockerClient
) -> None:
    container = make(healthcheck=HEALTHY).create()
    changes = {"healthcheck": HEALTHY | {"tests": ["CMD-SHELL", "false"]}}
    assert container.diff(**changes)["detailedDiff"] == {"healthcheck.tests[1]": {"kind": "UPDATE"}}
    container.update(**changes)
    assert engine.containers.get(container.identity).attrs["Config"]["Healthcheck"]["Test"][1] == "true"


def test_a_container_that_is_to_be_deleted_has_its_grace_period(make: Maker, engine: docker.DockerClient) -> None:
    script = "trap 'echo bye > /out/bye; exit 0' TERM; echo ready; while true; do sleep 0.1; done"
    volume = engine.volumes.create()
    try:
        mount = {"type": "volume", "source": volume.name, "target": "/out"}
        container = make(command=["sh", "-c", script], mounts=[mount], destroyGraceSeconds=5).create()
        running = engine.containers.get(container.identity)
        wait_until(lambda: b"ready" in running.logs(), "the container handles signals")
        container.delete()
        options = {"volumes": [f"{volume.name}:/out"], "remove": True}
        assert engine.containers.run(container.given["image"], ["ls", "/out"], **options) == b"bye\n"
    finally:
        volume.remove()
