"""What users of the official Docker plugin have to know of it holds for the stand-in too, on a real engine."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

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

    def create(self) -> Resource:
        self.inputs = self.check(self.given)
        answer = self.call("Create", properties=self.inputs)
        self.identity, self.outputs = answer["id"], answer["properties"]
        return self

    def diff(self, **changes: Any) -> Json:
        """Compare with the given inputs, or with changed ones."""
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


def test_memory_without_swap_shows_a_change_for_ever(make: Maker) -> None:
    container = make(memory=64).create()
    assert container.diff()["detailedDiff"] == {"memorySwap": {"kind": "DELETE"}}
    container.update()
    container.refresh()
    assert changed(container.diff()) == ["memorySwap"]


def test_memory_with_swap_is_clean_after_create_and_after_refresh(make: Maker) -> None:
    container = make(memory=64, memorySwap=64).create()
    assert changed(container.diff()) == []
    container.refresh()
    assert changed(container.diff()) == []


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


@pytest.mark.parametrize(
    "inputs",
    [
        {"cpus": "1.0"},
        {"cpus": "0.25"},
        {"healthcheck": HEALTHY | {"interval": "1m0s"}},
        {"pidMode": "host", "securityOpts": ["no-new-privileges:true", "label=disable"]},
        {"capabilities": {"drops": ["ALL"], "adds": ["CAP_NET_BIND_SERVICE", "CAP_CHOWN"]}},
        {"tmpfs": {"/tmp": "rw,noexec,nosuid,size=16m"}, "readOnly": True},
        {"ulimits": [{"name": "nofile", "soft": 1024, "hard": 2048}]},
        {"envs": ["B=2", "A=1"], "labels": [{"label": "b", "value": "2"}, {"label": "a", "value": "1"}]},
        {"hosts": [{"host": "host.docker.internal", "ip": "host-gateway"}]},
        {"mounts": [{"type": "tmpfs", "target": "/x", "tmpfsOptions": {"sizeBytes": 1048576, "mode": 448}}]},
        {"stopSignal": "SIGINT", "stopTimeout": 7, "init": True, "user": "65534:65534", "workingDir": "/tmp"},
        {"logDriver": "json-file", "logOpts": {"max-size": "10m", "max-file": "3", "labels": "a,b"}},
    ],
    ids="+".join,
)
def test_spellings_for_a_hardened_container_are_clean_before_and_after_a_refresh(make: Maker, inputs: Json) -> None:
    container = make(**inputs).create()
    assert changed(container.diff()) == []
    container.refresh()
    assert changed(container.diff()) == []


def test_uploads_into_a_read_only_root_fail_and_the_container_is_known(make: Maker) -> None:
    container = make(readOnly=True, uploads=[{"file": "/etc/x", "content": "x"}])
    with pytest.raises(CallError, match="container rootfs is marked read-only") as failure:
        container.create()
    assert failure.value.details, "the engine is not told of the container that was left"


def test_uploads_have_the_content_mode_and_owner_that_were_asked_for(make: Maker, engine: docker.DockerClient) -> None:
    uploads = [
        {"file": "/etc/deep/er/a.yml", "content": "a: 1\n"},
        {"file": "/run/b.sh", "content": "#!/bin/sh\n", "executable": True},
        {"file": "/c.bin", "contentBase64": "aGVsbG8=", "permissions": "0600"},
    ]
    container = make(uploads=uploads).create()
    running = engine.containers.get(container.identity)
    _, listing = running.exec_run(["stat", "-c", "%a %u %n", "/etc/deep/er/a.yml", "/run/b.sh", "/c.bin"])
    assert listing.decode().splitlines() == [
        "644 0 /etc/deep/er/a.yml",
        "744 0 /run/b.sh",
        "600 0 /c.bin",
    ]
    assert running.exec_run(["cat", "/c.bin"]).output == b"hello"


def test_a_failing_health_check_fails_the_create_and_leaves_the_container(
    make: Maker, engine: docker.DockerClient
) -> None:
    container = make(healthcheck=HEALTHY | {"tests": ["CMD-SHELL", "false"]}, wait=True, waitTimeout=2)
    with pytest.raises(CallError, match="container failed to be in healthy state") as failure:
        container.create()
    assert failure.value.details
    (left,) = engine.containers.list(filters={"name": f"{container.name}-"})
    assert left.status == "running"


def test_waiting_without_a_health_check_says_so(make: Maker) -> None:
    with pytest.raises(CallError, match="does not have a healthcheck defined"):
        make(wait=True).create()


def test_a_job_that_fails_is_no_error_and_tells_its_exit_code_and_logs(make: Maker) -> None:
    job = make(command=["sh", "-c", "echo out; echo err >&2; exit 3"], mustRun=False, attach=True, logs=True).create()
    assert job.outputs["exitCode"] == 3
    assert sorted(job.outputs["containerLogs"].split()) == ["err", "out"]
    job.refresh()
    assert changed(job.diff()) == []


def test_aliases_resolve_between_containers_of_a_network(make: Maker, engine: docker.DockerClient) -> None:
    network = make(NETWORK).create()
    make(networksAdvanced=[{"name": network.identity, "aliases": ["web", "web.internal"]}]).create()
    asking = make(networksAdvanced=[{"name": network.outputs["name"]}]).create()
    running = engine.containers.get(asking.identity)
    for name in ("web", "web.internal"):
        code, output = running.exec_run(["busybox", "nslookup", "-type=a", name])
        assert code == 0, output
    networks = running.attrs["NetworkSettings"]["Networks"]
    assert list(networks) == [network.outputs["name"]], "the default bridge was not left"


def test_a_removed_container_and_network_are_seen_as_gone(make: Maker, engine: docker.DockerClient) -> None:
    container, network = make().create(), make(NETWORK).create()
    engine.containers.get(container.identity).remove(force=True)
    engine.networks.get(network.identity).remove()
    assert not container.refresh().get("id")
    assert not network.refresh().get("id")
    container.delete()


def test_a_stopped_container_is_seen_and_started_again(make: Maker, engine: docker.DockerClient) -> None:
    container = make().create()
    engine.containers.get(container.identity).kill()
    answer = container.refresh()
    assert answer["properties"]["mustRun"] is False
    assert answer["inputs"]["mustRun"] is False
    assert container.diff()["detailedDiff"] == {"mustRun": {"kind": "UPDATE"}}
    container.update()
    assert engine.containers.get(container.identity).status == "running"


@pytest.mark.parametrize(
    ("by_hand", "kind"),
    [
        ({"mem_limit": "96m", "memswap_limit": "96m"}, "UPDATE"),
        ({"restart_policy": {"Name": "always"}}, "UPDATE"),
        ({"nano_cpus": 700_000_000}, "UPDATE_REPLACE"),
    ],
    ids=["memory", "restart policy", "cpus"],
)
def test_limits_changed_by_hand_are_seen_by_a_refresh(
    make: Maker, engine: docker.DockerClient, by_hand: Json, kind: str
) -> None:
    container = make(memory=64, memorySwap=64, cpus="0.5").create()
    if nano := by_hand.pop("nano_cpus", None):
        url = f"{engine.api.base_url}/v{engine.api.api_version}/containers/{container.identity}/update"
        engine.api.post(url, json={"NanoCpus": nano}).raise_for_status()
    else:
        engine.containers.get(container.identity).update(**by_hand)
    container.refresh()
    assert {entry["kind"] for entry in container.diff()["detailedDiff"].values()} == {kind}
    if kind == "UPDATE":
        container.update()
        container.refresh()
        assert changed(container.diff()) == []


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
        assert (
            engine.containers.run(
                container.given["image"], ["ls", "/out"], volumes=[f"{volume.name}:/out"], remove=True
            )
            == b"bye\n"
        )
    finally:
        volume.remove()
