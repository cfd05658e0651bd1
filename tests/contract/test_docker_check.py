"""The Docker stand-in refuses what it cannot do, and says why; all of it without an engine."""

from typing import Any

import pytest

from machine.workdir import CHECKOUT
from offline.standins.docker.container_mapping import container_body
from offline.standins.docker.conversion import format_cpus
from offline.standins.docker.durations import format_duration, parse_duration
from offline.standins.install import VERSIONS
from offline.standins.values import UNKNOWN, secret
from tests.contract.transcripts import CallError, Json, Plugin

CONTAINER = "docker:index/container:Container"


def call(method: str, kind: str = CONTAINER, **arguments: Any) -> Json:
    target = {"urn": f"urn:pulumi:t::t::{kind}::x", "type": kind, "name": "x"}
    return Plugin("unix:///nowhere/docker.sock").call(method, target | arguments)


def failures(kind: str = CONTAINER, **news: Any) -> dict[str, str]:
    answer = call("Check", kind, news=news)
    return {failure["property"]: failure["reason"] for failure in answer.get("failures", [])}


@pytest.mark.parametrize(
    ("inputs", "path", "reason"),
    [
        ({"pidsLimit": 5}, "pidsLimit", "is no input"),
        ({"exitCode": 0}, "exitCode", "is no input"),
        ({"memory": "much"}, "memory", "whole number"),
        ({"memory": -1}, "memory", "less than 0"),
        ({"restart": "sometimes"}, "restart", "does not match"),
        ({"healthcheck": {"interval": "5 s"}}, "healthcheck.interval", "not a duration"),
        ({"ports": [{"external": 80}]}, "ports[0].internal", "missing required"),
        ({"mounts": [{"target": "/a", "type": "nfs"}]}, "mounts[0].type", "does not match"),
        ({"volumes": [{"containerPath": "/a", "hostPath": "rel"}]}, "volumes[0].hostPath", "absolute"),
        ({"uploads": [{"file": "/a", "contentBase64": "~"}]}, "uploads[0].contentBase64", "base64"),
        ({"uploads": [{"file": "/a", "content": "", "permissions": "rw"}]}, "uploads[0].permissions", "match"),
        ({"labels": {"a": "b"}}, "labels", "expected a list"),
        ({"gpus": "all", "deviceRequests": []}, "deviceRequests", "conflicts with gpus"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_wrong_input_is_refused_by_its_path(inputs: Json, path: str, reason: str) -> None:
    found = failures(image="i", **inputs)
    assert list(found) == [path]
    assert reason in found[path]


def test_all_wrong_inputs_are_told_at_once() -> None:
    assert set(failures(memory=-1, restart="x")) == {"image", "memory", "restart"}


def test_what_the_stand_in_does_not_support_is_refused_and_not_ignored() -> None:
    image = failures("docker:index/remoteImage:RemoteImage", name="a", build={"context": "."})
    volume = failures("docker:index/volume:Volume", cluster={"scope": "single"})
    assert "not supported by this stand-in" in image["build"]
    assert "not supported by this stand-in" in volume["cluster"]
    with pytest.raises(CallError, match="not supported by this stand-in plugin"):
        call("Check", "docker:index/plugin:Plugin", news={})
    provider = Plugin().call("CheckConfig", {"news": {"sshOpts": ["-v"]}})
    assert provider["failures"][0]["property"] == "sshOpts"


def test_a_name_once_generated_is_kept_and_a_new_seed_gives_another() -> None:
    first = call("Check", news={"image": "i"}, randomSeed="AAAA")["inputs"]
    again = call("Check", news={"image": "i"}, olds=first, randomSeed="BBBB")["inputs"]
    other = call("Check", news={"image": "i"}, randomSeed="BBBB")["inputs"]
    assert again["name"] == first["name"] != other["name"]


def test_a_name_that_was_given_is_replaced_in_place_of_the_old_one() -> None:
    kind = "docker:index/network:Network"
    inputs = call("Check", kind, news={"name": "fixed", "driver": "bridge"})["inputs"]
    state = {"name": "fixed", "driver": "overlay", "ipamDriver": "default", "options": {}}
    diff = call("Diff", kind, olds=state, news=inputs)
    assert diff["replaces"] == ["driver"]
    assert diff["deleteBeforeReplace"] is True


def test_secrets_among_the_inputs_are_taken_for_what_they_hide() -> None:
    inputs = call("Check", news={"image": "i", "envs": [secret("A=1")]})["inputs"]
    assert inputs["envs"] == ["A=1"]


def test_an_engine_that_is_not_there_fails_a_create_with_its_address_but_no_preview() -> None:
    inputs = call("Check", news={"image": "i"})["inputs"]
    assert call("Create", properties=inputs, preview=True)["properties"]["hostname"] == UNKNOWN
    with pytest.raises(CallError, match="Cannot connect to the Docker daemon at unix:///nowhere/"):
        call("Create", properties=inputs)


def test_unconfined_system_paths_clear_the_masked_and_the_read_only_paths() -> None:
    host = container_body({"image": "i", "securityOpts": ["systempaths=unconfined", "a=b"]})["HostConfig"]
    assert host["SecurityOpt"] == ["a=b"]
    assert (host["MaskedPaths"], host["ReadonlyPaths"]) == ([], [])


def test_durations_are_spelled_as_go_spells_them() -> None:
    spelled = [format_duration(parse_duration(given)) for given in ("60s", "90m", "1500ms", "0", "20ms", "1.5us")]
    assert spelled == ["1m0s", "1h30m0s", "1.5s", "0s", "20ms", "1.5µs"]


@pytest.mark.parametrize(
    ("cores", "spelled"),
    [(0.5, "0.5"), (1, "1.0"), (0.25, "0.25"), (1.5, "1.5"), (0.05, "0.1"), (10, "10."), (0.1, "0.1")],
)
def test_cpus_are_spelled_with_the_official_plugins_own_rounding(cores: float, spelled: str) -> None:
    assert format_cpus(round(cores * 1_000_000_000)) == spelled


def test_the_versions_are_those_of_the_pinned_packages() -> None:
    pins = dict(
        line.split("==", 1)
        for line in (CHECKOUT / "requirements.txt").read_text().splitlines()
        if line.startswith("pulumi-")
    )
    assert {name: pins[f"pulumi-{name}"] for name in VERSIONS} == VERSIONS
