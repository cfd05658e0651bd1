"""Taking a stack down: a destroy that is tried again, and data that is protected."""

import io
import subprocess
import tarfile

import click
import pytest

from ops import data, down
from ops.events import Outcome
from tests.unit.fake_docker import CONTAINER, NET, STACK, VOLUME, WEB, FakeDocker, resource, state
from toolchain.progress import SetupError
from toolchain.workdir import WorkDir


class FakeEngine:
    """A Pulumi engine whose destroys come out as they are told to."""

    stack = STACK

    def __init__(self, docker: FakeDocker, *resources, fails: tuple = ()) -> None:
        self.docker, self.resources, self.fails = docker, list(resources), list(fails)
        self.log = []

    def read(self, *_):
        return {"deployment": {"resources": list(self.resources)}}

    def run(self, *arguments):
        self.log.append(list(arguments))
        for one in self.resources:
            if one["urn"] in arguments:
                one["protect"] = False

    def change(self, verb, arguments, _):
        self.log.append([verb, *arguments])
        if self.fails and (said := self.fails.pop(0)):
            return 1, Outcome(errors=[said])
        kept = [one for one in self.resources if f"--exclude={one['urn']}" in arguments]
        assert not any(one.get("protect") for one in self.resources if one not in kept), "the engine refuses that"
        for one in self.resources:
            if one not in kept and one["type"] == CONTAINER:
                self.docker.all.pop(one["id"], None)
            if one not in kept and one["type"] == VOLUME and not one.get("retainOnDelete"):
                self.docker.there.pop(one["id"], None)
        self.resources = kept
        return 0, Outcome()


@pytest.fixture
def take_down(tmp_path, progress, monkeypatch):
    """`down` of a stack that stands in a fake engine."""

    def run(engine: FakeEngine, **options) -> int:
        monkeypatch.setattr(down, "ensure_engine", lambda *_: "unix:///nowhere")
        monkeypatch.setattr(down.docker, "DockerClient", lambda **_: engine.docker)
        monkeypatch.setattr(down, "prepare_engine", lambda *_: engine)
        monkeypatch.setattr(down, "settle_locks", lambda *_: None)
        return down.down(WorkDir(tmp_path), STACK, None, progress, **{"volumes": False, **options})

    return run


IN_USE = "network net id 1f has active endpoints"


class TestDestroy:
    def test_a_destroy_that_met_a_network_in_use_is_run_again_once_it_is_let_go_of(self, take_down):
        docker = FakeDocker({"net": {}})
        engine = FakeEngine(docker, NET, fails=(IN_USE,))
        assert take_down(engine) == 0
        assert engine.log == [["destroy"], ["destroy"]]

    def test_where_nothing_helps_the_person_is_told_to_restart_docker(self, take_down, printed, tmp_path):
        engine = FakeEngine(FakeDocker({"net": {}}), NET, fails=(IN_USE, IN_USE))
        assert take_down(engine) == 1
        assert engine.log == [["destroy"], ["destroy"]]
        assert "Nothing is left on net, and the Docker engine still counts something there" in printed.getvalue()
        assert "restart Docker" in printed.getvalue()

    def test_a_failure_of_another_kind_is_not_tried_again(self, take_down):
        engine = FakeEngine(FakeDocker(), NET, fails=("disk full",))
        assert take_down(engine) == 1
        assert engine.log == [["destroy"]]

    def test_a_stranger_on_a_network_is_told_before_anything_is_removed(self, take_down):
        docker = FakeDocker({"net": {"theirs": "theirs"}})
        docker.container("theirs", stack="")
        engine = FakeEngine(docker, NET)
        with pytest.raises(SetupError, match="theirs on net"):
            take_down(engine)
        assert engine.log == []


class TestData:
    @pytest.fixture
    def docker(self):
        return FakeDocker(there={"store": 2_500_000, "of-others": 1})

    @pytest.fixture
    def engine(self, docker):
        docker.container("web", volumes=("store",))
        return FakeEngine(docker, WEB | {}, resource("store", VOLUME, protect=True, retainOnDelete=True))

    def test_without_volumes_protected_data_stays_and_the_state_goes_on_to_know_it(self, engine, take_down):
        assert take_down(engine) == 0
        assert [one["id"] for one in engine.resources] == ["store"]
        assert engine.resources[0]["protect"]
        assert "store" in engine.docker.there

    def test_with_the_stacks_name_protected_volumes_go_from_the_engine_and_then_from_the_state(self, engine, take_down):
        assert take_down(engine, volumes=True, named=STACK) == 0
        assert engine.log == [
            ["destroy", "--exclude=urn:store"],
            ["state unprotect", "--yes", "urn:store"],
            ["destroy"],
        ]
        assert engine.resources == []
        assert engine.docker.there == {"of-others": 1}

    def test_yes_alone_does_not_delete_protected_data(self, engine, take_down, printed):
        with pytest.raises(SetupError, match="--yes-delete-data shop"):
            take_down(engine, volumes=True, yes=True)
        assert engine.log == []
        assert "volume store: 2.5 MB" in printed.getvalue(), "what would go is told first"
        assert "no restore of a backup is known" in printed.getvalue()

    def test_another_stacks_name_deletes_nothing(self, engine, take_down):
        with pytest.raises(SetupError, match="names other, and the stack is shop"):
            take_down(engine, volumes=True, named="other")
        assert engine.log == []

    @pytest.mark.parametrize(("typed", "goes"), [(STACK, True), ("shopp", False), ("", False)])
    def test_a_person_must_type_the_stacks_name(self, typed, goes, engine, take_down, monkeypatch):
        monkeypatch.setattr(down.typer, "prompt", lambda *_, **__: typed)
        if goes:
            assert take_down(engine, volumes=True) == 0
            return
        with pytest.raises(SetupError, match="nothing was removed"):
            take_down(engine, volumes=True)
        assert engine.log == []

    def test_data_that_is_not_protected_is_asked_about_by_yes_or_no(self, docker, take_down, monkeypatch):
        engine = FakeEngine(docker, resource("store", VOLUME))

        def no(*_, abort):
            assert abort
            raise click.Abort

        monkeypatch.setattr(down.typer, "confirm", no)
        with pytest.raises(click.Abort):
            take_down(engine, volumes=True)
        assert engine.log == []
        assert take_down(engine, volumes=True, yes=True) == 0
        assert engine.log == [["destroy"]]
        assert "store" not in docker.there

    def test_what_else_uses_a_data_volume_is_named_before_anything_is_removed(self, engine, take_down):
        engine.docker.container("theirs", stack="", volumes=("store",))
        with pytest.raises(SetupError, match="theirs uses store"):
            take_down(engine, volumes=True, named=STACK)
        assert engine.log == []

    def test_a_volume_that_the_engine_holds_stays_in_the_state(self, engine, take_down):
        engine.docker.stubborn = ("store",)
        with pytest.raises(SetupError, match="the volume store was not deleted: volume is in use"):
            take_down(engine, volumes=True, named=STACK)
        assert [one["id"] for one in engine.resources] == ["store"]
        assert engine.resources[0]["protect"], "the next try asks again"

    def test_the_last_verified_restore_is_told_where_it_is_known(self, docker):
        packed = io.BytesIO()
        text = f'{data.VERIFIED}{{store="postgres"}} 1.7e+09\nother{{store="redis"}} 1\n'.encode()
        with tarfile.open(fileobj=packed, mode="w") as tar:
            member = tarfile.TarInfo("written/verified.prom")
            member.size = len(text)
            tar.addfile(member, io.BytesIO(text))
        docker.metrics = packed.getvalue()
        docker.container("writer")
        writer = resource(
            "writer", CONTAINER, inputs={"labels": [{"label": "dockyard.service", "value": "metrics-writer"}]}
        )
        told = list(data.described(state(writer), docker))
        assert len(told) == 1
        assert "the last restore of a backup of postgres that was verified: 1" in told[0]
        assert "November 2023" in told[0]

    def test_an_unprotect_that_fails_deletes_nothing_more(self, engine, take_down, monkeypatch):
        def refuse(*_):
            raise subprocess.CalledProcessError(1, "pulumi")

        monkeypatch.setattr(engine, "run", refuse)
        with pytest.raises(subprocess.CalledProcessError):
            take_down(engine, volumes=True, named=STACK)
        assert [one["id"] for one in engine.resources] == ["store"]
