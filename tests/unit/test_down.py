"""`down`: a destroy that is tried again, and data that is protected."""

import io
import subprocess
import tarfile

import click
import pytest

from machine.progress import SetupError
from machine.workdir import WorkDir
from ops.deploy import data_volumes, down
from ops.events import RunOutcome
from runtime.pulumi_state import CONTAINER, NETWORK, VOLUME
from settings.names import METRICS_FOLDER
from tests.support.fake_docker import FakeDocker
from tests.support.states import container, data_volume, network, state

STACK = "shop"
IN_USE = "network net id 1f has active endpoints"


class FakePulumi:
    """A Pulumi engine with a stack on a Docker engine. The first destroys fail with the messages in `failures`."""

    stack = STACK

    def __init__(self, docker: FakeDocker, *resources, failures: tuple = ()) -> None:
        self.docker, self.resources, self.failures = docker, list(resources), list(failures)
        self.commands = []

    def read(self, *_):
        return {"deployment": {"resources": list(self.resources)}}

    def run(self, *arguments):
        self.commands.append(list(arguments))
        for resource in self.resources:
            if resource["urn"] in arguments:
                resource["protect"] = False

    def change(self, verb, arguments, _):
        self.commands.append([verb, *arguments])
        if self.failures:
            return 1, RunOutcome(errors=[self.failures.pop(0)])
        going = [resource for resource in self.resources if f"--exclude={resource['urn']}" not in arguments]
        assert not any(resource.get("protect") for resource in going), "the engine refuses that"
        for resource in going:
            self._remove(resource)
        self.resources = [resource for resource in self.resources if resource not in going]
        return 0, RunOutcome()

    def _remove(self, resource) -> None:
        if resource.get("retainOnDelete"):
            return
        if resource["type"] == CONTAINER:
            self.docker.api.remove_container(resource["id"], force=True)
        elif resource["type"] == NETWORK:
            self.docker.api.remove_network(resource["id"])
        elif resource["type"] == VOLUME:
            self.docker.api.remove_volume(resource["id"])


@pytest.fixture
def docker(docker):
    docker.add_network("net")
    return docker


@pytest.fixture
def take_down(tmp_path, progress, monkeypatch):
    """Return a function that runs `down` for a stack of a fake Pulumi engine."""

    def run(pulumi: FakePulumi, **options) -> int:
        monkeypatch.setattr(down, "ensure_engine", lambda *_: "unix:///nowhere")
        monkeypatch.setattr(down.docker, "DockerClient", lambda **_: pulumi.docker)
        monkeypatch.setattr(down, "prepare_pulumi", lambda *_: pulumi)
        monkeypatch.setattr(down, "wait_for_locks", lambda *_: None)
        return down.down(WorkDir(tmp_path), STACK, None, progress, **{"volumes": False, **options})

    return run


class TestDestroy:
    @pytest.mark.parametrize(
        ("failures", "code", "destroys"), [((IN_USE,), 0, 2), ((IN_USE, IN_USE), 1, 2), (("disk full",), 1, 1)]
    )
    def test_a_destroy_is_run_again_once_where_a_network_was_in_use(self, docker, take_down, failures, code, destroys):
        pulumi = FakePulumi(docker, network("net"), failures=failures)
        assert take_down(pulumi) == code
        assert pulumi.commands == [["destroy"]] * destroys

    def test_a_network_that_stays_in_use_asks_the_person_to_restart_docker(self, docker, take_down, printed):
        take_down(FakePulumi(docker, network("net"), failures=(IN_USE, IN_USE)))
        assert "net: no container is connected, but the Docker engine still counts one" in printed.getvalue()
        assert "restart Docker" in printed.getvalue()


class TestData:
    @pytest.fixture
    def docker(self, docker):
        docker.add_container("web", volumes=["store"])
        docker.add_volume("store", size=2_500_000)
        docker.add_volume("of-others", size=1)
        return docker

    @pytest.fixture
    def pulumi(self, docker):
        return FakePulumi(docker, container("web"), data_volume("store", protect=True, retainOnDelete=True))

    def test_protected_volumes_go_from_the_engine_and_then_from_the_state(self, pulumi, take_down):
        assert take_down(pulumi, volumes=True, named=STACK) == 0
        assert pulumi.commands == [
            ["destroy", "--exclude=urn:store"],
            ["state unprotect", "--yes", "urn:store"],
            ["destroy"],
        ]
        assert pulumi.resources == []
        assert pulumi.docker.volume_names == ["of-others"]

    def test_yes_alone_does_not_delete_protected_data(self, pulumi, take_down, printed):
        with pytest.raises(SetupError, match="--yes-delete-data shop"):
            take_down(pulumi, volumes=True, yes=True)
        assert pulumi.commands == []
        assert "volume store: 2.5 MB" in printed.getvalue(), "what would go is listed first"
        assert "no verified restore of a backup is recorded" in printed.getvalue()

    def test_the_name_of_another_stack_deletes_nothing(self, pulumi, take_down):
        with pytest.raises(SetupError, match="names other, but the stack is shop"):
            take_down(pulumi, volumes=True, named="other")
        assert pulumi.commands == []

    @pytest.mark.parametrize(("typed", "goes"), [(STACK, True), ("shopp", False), ("", False)])
    def test_a_person_must_type_the_name_of_the_stack(self, typed, goes, pulumi, take_down, monkeypatch):
        monkeypatch.setattr(down.typer, "prompt", lambda *_, **__: typed)
        if goes:
            assert take_down(pulumi, volumes=True) == 0
            return
        with pytest.raises(SetupError, match="nothing was removed"):
            take_down(pulumi, volumes=True)
        assert pulumi.commands == []

    def test_unprotected_data_goes_after_a_yes_or_a_question(self, docker, take_down, monkeypatch):
        pulumi = FakePulumi(docker, container("web"), data_volume("store"))

        def refuse(*_, abort):
            assert abort
            raise click.Abort

        monkeypatch.setattr(down.typer, "confirm", refuse)
        with pytest.raises(click.Abort):
            take_down(pulumi, volumes=True)
        assert pulumi.commands == []
        assert take_down(pulumi, volumes=True, yes=True) == 0
        assert pulumi.commands == [["destroy"]]
        assert "store" not in docker.volume_names

    def test_a_volume_that_the_engine_does_not_remove_stays_in_the_state(self, pulumi, take_down):
        pulumi.docker.refuse("remove_volume", "store", "volume is in use")
        with pytest.raises(SetupError, match="the volume store was not deleted: volume is in use"):
            take_down(pulumi, volumes=True, named=STACK)
        assert [resource["id"] for resource in pulumi.resources] == ["store"]
        assert pulumi.resources[0]["protect"], "the next try asks again"

    def test_the_last_verified_restore_is_reported(self, docker):
        text = f'{data_volumes.VERIFIED}{{store="postgres"}} 1.7e+09\nother{{store="redis"}} 1\n'.encode()
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w") as tar:
            member = tarfile.TarInfo("written/verified.prom")
            member.size = len(text)
            tar.addfile(member, io.BytesIO(text))
        docker.add_container("metrics-writer", status="exited")
        docker.api.archives["metrics-writer", METRICS_FOLDER] = packed.getvalue()
        (line,) = data_volumes.describe_volumes(state(container("metrics-writer")), docker)
        assert "last verified restore of a postgres backup: 1" in line
        assert "November 2023" in line

    def test_an_unprotect_that_fails_deletes_nothing_more(self, pulumi, take_down, monkeypatch):
        def refuse(*_):
            raise subprocess.CalledProcessError(1, "pulumi")

        monkeypatch.setattr(pulumi, "run", refuse)
        with pytest.raises(subprocess.CalledProcessError):
            take_down(pulumi, volumes=True, named=STACK)
        assert [resource["id"] for resource in pulumi.resources] == ["store"]
