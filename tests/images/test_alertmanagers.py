"""Alertmanager as AlertRouting runs it: what it keeps, and three of it that know each other by their names."""

import json
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace

import docker
import pytest
from docker.models.containers import Container

from components.alerting.alertmanager import AlertRouting
from components.common import replica_roles
from settings.alerts import Alerts
from tests.support.component_stage import ComponentStage
from tests.support.containers import inside, succeeded
from tests.support.recording import RecordedProgram, record
from tests.support.waiting import wait_until

WRITES_EACH_MINUTE = "--data.maintenance-interval=1m"  # how often it writes its data. The tests make it 2 s


@dataclass
class Stage(ComponentStage):
    replicas: int
    receivers: Mapping[str, object] = field(default_factory=dict)
    running: dict[str, Container] = field(default_factory=dict)

    def world(self, **more: object) -> RecordedProgram:
        def program() -> None:
            context = self.context(environment="production")
            alerts = Alerts.model_validate({"replicas": self.replicas, "receivers": self.receivers, **more})
            AlertRouting("a", context, alerts=alerts, environment="production", grafana="https://grafana.test")

        return record(program, stack=self.mark, secrets={"hook": "http://nobody.test/"})

    def up(self) -> None:
        self.make_network()
        self.write()
        for role in replica_roles("alertmanager", self.replicas):
            self.run(role)

    def write(self, **more: object) -> None:
        """Run the job that writes the configuration, and tells those that run to load it."""
        succeeded(self.job(self.world(**more)["a-config-writer"]))

    def run(self, role: str) -> None:
        made = self.world()[f"a-{role}"]
        command = made.inputs["command"]
        assert WRITES_EACH_MINUTE in command
        quick = [argument.replace(WRITES_EACH_MINUTE, "--data.maintenance-interval=2s") for argument in command]
        self.running[role] = self.start(replace(made, inputs={**made.inputs, "command": quick}))

    def replace(self, role: str) -> None:
        """Put a new container in the place of one, as an `up` with another image does."""
        old = self.running.pop(role)
        old.stop(timeout=10)
        old.remove()
        self.run(role)

    def amtool(self, role: str, *command: str) -> str:
        said = " ".join(f"'{one}'" for one in command)
        return succeeded(inside(self.running[role], f"amtool --alertmanager.url=http://127.0.0.1:9093 {said}"))

    def silences(self, role: str) -> list[str]:
        found = json.loads(self.amtool(role, "silence", "query", "-o", "json") or "[]")
        return [one["comment"] for one in found]

    def silence(self, role: str, comment: str) -> None:
        self.amtool(
            role, "silence", "add", "alertname=RedisDown", f"--comment={comment}", "--author=a", "--duration=1h"
        )

    def members(self, role: str) -> list[dict[str, str]]:
        """Return the members that one knows, itself among them."""
        said = succeeded(inside(self.running[role], "wget -q -O - http://127.0.0.1:9093/api/v2/status"))
        return list(json.loads(said)["cluster"]["peers"])

    def tell(self) -> str:
        """Return what each knows and has printed, for a test that fails."""
        each = self.running.items()
        return "\n".join(f"{role}: {self.members(role)}\n{one.logs(tail=30).decode()}" for role, one in each)


@pytest.fixture
def stage(engine: docker.DockerClient, kit: Mapping[str, str]) -> Iterator[object]:
    with ExitStack() as stages:

        def start(replicas: int, **more: object) -> Stage:
            made = stages.enter_context(Stage(engine, kit, replicas, **more))  # type: ignore[arg-type] # receivers alone
            made.up()
            return made

        yield start


def test_a_silence_survives_a_new_container_and_a_kill(stage) -> None:
    one = stage(1)
    one.silence("alertmanager", "disks are being changed")
    one.replace("alertmanager")
    assert one.silences("alertmanager") == ["disks are being changed"]
    one.silence("alertmanager", "and memory")
    file = "/alertmanager/silences"
    wait_until(
        lambda: inside(one.running["alertmanager"], f"grep -q 'and memory' {file}")[0] == 0, "it writes its data"
    )
    one.running["alertmanager"].kill()
    one.replace("alertmanager")
    assert sorted(one.silences("alertmanager")) == ["and memory", "disks are being changed"]


def test_three_find_each_other_share_silences_and_load_one_configuration(stage) -> None:
    three = stage(3, receivers={"hook": {"type": "webhook", "url": "hook"}})
    roles = replica_roles("alertmanager", 3)
    wait_until(lambda: all(len(three.members(role)) == 3 for role in roles), "all know all", 60, details=three.tell)
    three.silence("alertmanager-2", "made at the second")
    wait_until(lambda: all(three.silences(role) for role in roles), "all know the silence")
    three.running["alertmanager"].kill()
    three.replace("alertmanager")
    wait_until(lambda: three.silences("alertmanager") == ["made at the second"], "the new one knows the silence")
    wait_until(
        lambda: all(len(three.members(role)) >= 3 for role in roles), "all know all again", 60, details=three.tell
    )
    three.write(group_by=["alertname"])
    for role in roles:
        assert "- alertname" in three.amtool(role, "config", "show"), role
