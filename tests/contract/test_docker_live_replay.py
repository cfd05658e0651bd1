"""The Docker stand-in gives the official plugin's recorded answers on a real engine: Create, Read, Update, Delete.

Answers must be equal but for what no two engines share: ids, addresses, times, paths. The recordings were made on
engine 20.10; engine 28.5 was seen to give every one of these answers too.
"""

import itertools
import json
import re
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import docker
import docker.errors
import pytest
from google.protobuf import any_pb2
from pulumi.runtime.proto import provider_pb2, status_pb2

from offline.standins.values import from_struct
from tests.contract.transcripts import CallError, Json, Line, Plugin, of_method, transcripts_dir
from tests.support.ports import free_port

# A clone alone has no recordings; where CI runs they lie beside it.
pytestmark = pytest.mark.skipif(
    transcripts_dir() is None,
    reason="no transcripts of the official plugin here: set DOCKYARD_TRANSCRIPTS to their folder",
)

CONTAINER = "docker:index/container:Container"
RECORDED_IMAGE = "sha256:1f5dc762981415a9b3a11e9e2aef29b21bc65104028ba7b9892a5fd55d119628"
FIXED_NAMES = ("demo-net", "demo-vol", "demo-overlay", "demo-web", "demo-agent")
PORTS = ("18080", "18088")
VOLATILE = {
    "networkDatas": ("gateway", "ipAddress", "ipPrefixLength", "macAddress", "globalIpv6Address"),
    "ipamConfigs": ("gateway", "subnet"),
}


class Stage:
    def __init__(self, plugin: Plugin, engine: docker.DockerClient, image: str, prefix: str) -> None:
        self.plugin, self.engine = plugin, engine
        self.ours = {RECORDED_IMAGE: image} | {name: f"{prefix}-{name}" for name in FIXED_NAMES}
        self.ours |= {port: str(free_port()) for port in PORTS}
        self.failed: dict[str, list[str]] = {}
        self.alive: dict[tuple[str, str], Json] = {}
        self.replayed: Counter[str] = Counter()

    def to_ours(self, recorded: Any) -> Any:
        return json.loads(self._replace(recorded, self.ours))

    def to_recorded(self, answer: Any) -> Any:
        return json.loads(self._replace(answer, {ours: theirs for theirs, ours in self.ours.items()}))

    @staticmethod
    def _replace(value: Any, words: dict[str, str]) -> str:
        text = json.dumps(value)
        pattern = "|".join(re.escape(word) for word in sorted(words, key=len, reverse=True))
        return re.sub(pattern, lambda match: words[match.group()], text)

    def play(self, line: Line) -> str | None:
        """Replay a line; return what differs, or None."""
        self.replayed[line.method] += 1
        self._prepare(line)
        request = self.to_ours(line.request)
        try:
            answer = self.plugin.call(line.method, request)
        except CallError as error:
            self._remember_failure(line, error)
            return None if self._same_error(line, error) else f"{line.title}: {error}"
        if line.errors:
            return f"{line.title}: succeeded, recorded {line.errors[0]}"
        self._remember(line, request, answer)
        got, wanted = comparable(self.to_recorded(answer)), comparable(line.response or {})
        return None if got == wanted else f"{line.title}: {difference(got, wanted)}"

    def _prepare(self, line: Line) -> None:
        """Do what a hand did between two recorded calls, or find the id that the recording does not say."""
        identity = line.request.get("id", "")
        if line.method == "Delete" and identity not in self.ours and self.failed.get(line.request["urn"]):
            self.ours[identity] = self.failed[line.request["urn"]].pop(0)
        if line.method != "Read":
            return
        ours = self.to_ours(identity)
        if not line.response or not line.response.get("id"):
            self.alive.pop((line.request["type"], ours), None)
            kind = self.engine.containers if line.request["type"] == CONTAINER else self.engine.networks
            try:
                found = kind.get(ours)
            except docker.errors.NotFound:
                return
            found.remove(force=True) if line.request["type"] == CONTAINER else found.remove()
        elif line.response["properties"].get("mustRun") is False and line.request["properties"].get("mustRun"):
            self.engine.containers.get(ours).stop(timeout=10)

    def _remember(self, line: Line, request: Json, answer: Json) -> None:
        key = request["type"], answer.get("id") or request.get("id", "")
        if line.method == "Create" and not request.get("preview"):
            recorded = (line.response or {})["id"]
            if recorded not in self.ours and answer["id"] != recorded:
                self.ours[recorded] = answer["id"]
            self.alive[key] = request | {"id": answer["id"], "properties": answer["properties"]}
        elif line.method == "Delete":
            self.alive.pop(key, None)

    def _remember_failure(self, line: Line, error: CallError) -> None:
        if line.method == "Create" and error.details:
            detail = provider_pb2.ErrorResourceInitFailed()
            status = status_pb2.Status.FromString(error.details)
            packed: any_pb2.Any = status.details[0]
            packed.Unpack(detail)
            self.failed.setdefault(line.request["urn"], []).append(detail.id)
            request = self.to_ours(line.request)
            self.alive[request["type"], detail.id] = request | {
                "id": detail.id,
                "properties": from_struct(detail.properties),
            }

    def _same_error(self, line: Line, error: CallError) -> bool:
        task = re.compile(r"task \w+")
        recorded = task.sub("task", line.errors[0]) if line.errors else ""
        return task.sub("task", str(self.to_recorded(str(error)))) == recorded

    def clean_up(self) -> list[str]:
        """Delete what is left, newest first, so that nothing stays behind a failed test."""
        problems = []
        for request in reversed(list(self.alive.values())):
            try:
                self.plugin.call("Delete", request)
            except CallError as error:
                problems.append(str(error))
        return problems


def comparable(answer: Json) -> Json:
    """Strike out what no two engines share, and put sets in order."""
    answer = json.loads(json.dumps(answer))
    answer.pop("id", None)
    properties = answer.get("properties")
    if not properties:
        return answer
    for name, volatile in VOLATILE.items():
        if isinstance(properties.get(name), list):
            for item in properties[name]:
                item.update(dict.fromkeys(volatile, "…"))
    for name in ("id", "imageId", "mountpoint", "bridge"):
        if name in properties:
            properties[name] = type(properties[name]).__name__
    if re.fullmatch(r"[0-9a-f]{12}|vm", str(properties.get("hostname"))) or (
        properties.get("networkMode") == "host" and "hostname" in properties
    ):
        properties["hostname"] = "…"
    for name in ("envs", "uploads", "labels", "ulimits", "mounts", "volumes", "networksAdvanced"):
        if isinstance(properties.get(name), list):
            properties[name] = sorted(properties[name], key=lambda item: json.dumps(item, sort_keys=True))
    if "vxlanid_list" in str(properties.get("options")):
        properties["options"] = {"vxlan": "…"}
    # Bookkeeping of a preview that the engine never keeps.
    properties["__meta"] = re.sub(r'"_new_extra_shim":\{[^}]*\},', "", properties.get("__meta") or "")
    properties["__meta"] = properties["__meta"].replace(',"schema_version":"2"', "")
    return answer


def difference(got: Any, wanted: Any, path: str = "") -> str:
    if isinstance(got, dict) and isinstance(wanted, dict):
        parts = [
            difference(got.get(key, "absent"), wanted.get(key, "absent"), f"{path}.{key}")
            for key in sorted({*got, *wanted})
            if got.get(key, "absent") != wanted.get(key, "absent")
        ]
        return "; ".join(parts)
    return f"{path} is {got!r}, recorded {wanted!r}"


def waits_for_health(line: Line) -> bool:
    return line.method == "Create" and bool(line.request["properties"].get("wait"))


def replay(stage: Stage, files: str, capsys: pytest.CaptureFixture[str]) -> None:
    lines = [
        line
        for line in of_method("Create", "Read", "Update", "Delete")
        if re.match(files, line.file) and not line.request.get("preview")
    ]

    # The recorded program, too, waited for the health of its containers side by side.
    groups = itertools.groupby(lines, lambda line: (line.file, waits_for_health(line) or line.number))
    with ThreadPoolExecutor() as pool:
        problems = [problem for _, group in groups for problem in pool.map(stage.play, list(group)) if problem]
    left = list(stage.alive)
    problems += stage.clean_up()
    kept = f"{len(lines) - len(problems)} of {len(lines)} recorded calls reproduced: {dict(stage.replayed)}"
    with capsys.disabled():
        print(f"\n  {kept}")  # noqa: T201 - the figure is asked for
    assert not problems, "\n".join(problems)
    assert not left, f"the recorded program removed everything, here {left} was left"


def test_the_recorded_containers_networks_and_volumes_are_answered_alike(
    plugin: Plugin, engine: docker.DockerClient, image: str, prefix: str, capsys: pytest.CaptureFixture[str]
) -> None:
    replay(Stage(plugin, engine, image, prefix), r"0\d|1\d", capsys)


@pytest.fixture
def swarm(engine: docker.DockerClient) -> Iterator[None]:
    """A Swarm of one node, for as long as the test takes; an engine that has one already keeps it."""
    if engine.info()["Swarm"]["LocalNodeState"] == "active":
        yield
        return
    before = {network.name for network in engine.networks.list()}
    engine.swarm.init(advertise_addr="127.0.0.1")
    yield
    engine.swarm.leave(force=True)
    # The engine leaves its gateway bridge behind.
    for network in engine.networks.list(names=["docker_gwbridge"]):
        if network.name not in before:
            network.remove()


@pytest.mark.usefixtures("swarm")
def test_the_recorded_swarm_services_secrets_and_configs_are_answered_alike(
    plugin: Plugin, engine: docker.DockerClient, image: str, prefix: str, capsys: pytest.CaptureFixture[str]
) -> None:
    replay(Stage(plugin, engine, image, prefix), r"2\d", capsys)


def test_recorded_previews_are_answered_without_an_engine() -> None:
    plugin = Plugin("unix:///nowhere/docker.sock")
    previews = [line for line in of_method("Create", "Update") if line.request.get("preview")]
    problems = []
    for line in previews:
        got = comparable(plugin.call(line.method, line.request))
        wanted = comparable(line.response or {})
        if got != wanted:
            problems.append(f"{line.title}: {difference(got, wanted)}")
    assert previews
    assert not problems, "\n".join(problems)
