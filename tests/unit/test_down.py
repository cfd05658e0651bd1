"""Taking a stack down: what still holds its networks, and data that is protected."""

import io
import subprocess
import tarfile
from dataclasses import dataclass, field
from types import SimpleNamespace

import click
import pytest
from docker.errors import APIError, NotFound
from rich.console import Console

from ops import data, down
from ops.events import Outcome
from ops.networks import free_networks, networks_in_use, restart_own_engine
from ops.state import State
from toolchain.private_engine import Engine as PrivateEngine
from toolchain.progress import Progress, SetupError
from toolchain.workdir import WorkDir

CONTAINER, NETWORK, VOLUME = (
    f"docker:index/{kind}" for kind in ("container:Container", "network:Network", "volume:Volume")
)
STACK = "shop"


def resource(name: str, kind: str, **more) -> dict:
    labels = [{"label": "dockyard.volume", "value": "data"}] if kind == VOLUME else []
    return {
        "urn": f"urn:{name}",
        "type": kind,
        "id": name,
        "inputs": {"labels": labels},
        "outputs": {"name": name},
    } | more


@dataclass
class FakeContainer:
    """A container of the fake engine."""

    engine: "FakeDocker"
    id: str
    stack: str = STACK
    volumes: tuple = ()

    @property
    def name(self) -> str:
        return self.id

    @property
    def labels(self) -> dict:
        return {"dockyard.stack": self.stack} if self.stack else {}

    @property
    def attrs(self) -> dict:
        on = {name: {"NetworkID": name} for name, held in self.engine.networks_held.items() if self.id in held}
        return {"NetworkSettings": {"Networks": on}}

    def remove(self, *, force: bool) -> None:
        assert force
        del self.engine.all[self.id]
        for held in self.engine.networks_held.values():
            held.pop(self.id, None)

    def get_archive(self, path: str) -> tuple:
        return iter([self.engine.metrics]), {}


@dataclass
class FakeDocker:
    """As much of a Docker engine as `down` asks."""

    networks_held: dict = field(default_factory=dict)
    """Network → what its inspection calls an endpoint → the endpoint's name."""

    all: dict = field(default_factory=dict)
    there: dict = field(default_factory=dict)
    """Volumes and their bytes."""

    metrics: bytes = b""
    stubborn: tuple = ()
    """Volumes and endpoints that the engine does not let go of."""

    def container(self, identity: str, **more) -> FakeContainer:
        self.all[identity] = FakeContainer(self, identity, **more)
        return self.all[identity]

    @property
    def containers(self):
        def get(identity):
            if identity not in self.all:
                raise NotFound(identity)
            return self.all[identity]

        def listed(*, filters=None, **_):
            found = list(self.all.values())
            if "volume" in (filters or {}):
                return [one for one in found if filters["volume"] in one.volumes]
            if "label" in (filters or {}):
                return [one for one in found if filters["label"] == f"dockyard.stack={one.stack}"]
            return found

        return SimpleNamespace(get=get, list=listed)

    @property
    def networks(self):
        def get(name):
            if name not in self.networks_held:
                raise NotFound(name)
            held = self.networks_held[name]

            def disconnect(endpoint, *, force):
                assert force
                if endpoint in self.stubborn:
                    raise APIError("no", explanation="will not")
                for identity, called in list(held.items()):
                    if called == endpoint:
                        del held[identity]

            inspected = {identity: {"Name": called} for identity, called in held.items()}
            return SimpleNamespace(name=name, attrs={"Containers": inspected}, disconnect=disconnect)

        return SimpleNamespace(get=get)

    @property
    def volumes(self):
        def get(name):
            if name not in self.there:
                raise NotFound(name)

            def remove():
                if name in self.stubborn:
                    raise APIError("no", explanation="volume is in use")
                del self.there[name]

            return SimpleNamespace(remove=remove)

        return SimpleNamespace(get=get)

    def df(self) -> dict:
        return {"Volumes": [{"Name": name, "UsageData": {"Size": size}} for name, size in self.there.items()]}


@pytest.fixture
def printed():
    return io.StringIO()


@pytest.fixture
def progress(printed):
    return Progress(Console(file=printed, width=200))


def state(*resources) -> State:
    return State(tuple(resources), interrupted=False)


NET = resource("net", NETWORK)
WEB = resource("web", CONTAINER)


class TestNetworks:
    @pytest.mark.parametrize("identity", ["ep-1f2e", "gone"])
    def test_an_endpoint_whose_container_is_gone_is_disconnected_whatever_the_engine_calls_it(
        self, identity, progress, printed
    ):
        docker = FakeDocker({"net": {identity: "gone"}})
        free_networks(state(NET), docker, STACK, progress)
        assert docker.networks_held == {"net": {}}
        assert "took gone, which is gone, off the network net" in printed.getvalue()

    def test_a_container_that_the_state_knows_is_left_to_the_engine(self, progress, printed):
        docker = FakeDocker({"net": {"web": "web"}})
        docker.container("web")
        free_networks(state(NET, WEB), docker, STACK, progress)
        assert docker.networks_held == {"net": {"web": "web"}}
        assert printed.getvalue() == ""

    def test_an_endpoint_that_the_engine_lost_the_state_s_own_container_of_is_disconnected(self, progress):
        docker = FakeDocker({"net": {"web": "web"}})
        free_networks(state(NET, WEB), docker, STACK, progress)
        assert docker.networks_held == {"net": {}}

    def test_a_container_of_an_interrupted_run_is_removed(self, progress, printed):
        docker = FakeDocker({"net": {"stray": "stray"}})
        docker.container("stray")
        free_networks(state(NET), docker, STACK, progress)
        assert docker.all == {}
        assert "removed the stray container of an interrupted run" in printed.getvalue()

    def test_all_containers_of_others_are_named_at_once_and_left_alone(self, progress):
        docker = FakeDocker({"net": {"theirs": "theirs", "more": "more", "stray": "stray"}})
        docker.container("theirs", stack="")
        docker.container("more", stack="another")
        docker.container("stray")
        with pytest.raises(SetupError) as told:
            free_networks(state(NET), docker, STACK, progress)
        assert "not of the stack shop use its networks: theirs on net, more on net" in told.value.message
        assert "docker network disconnect net theirs; docker network disconnect net more" in told.value.remedy
        assert len(docker.all) == 3, "nothing was touched"

    def test_what_the_engine_does_not_disconnect_is_told(self, progress, printed):
        docker = FakeDocker({"net": {"ep-1": "gone"}}, stubborn=("gone",))
        free_networks(state(NET), docker, STACK, progress)
        assert "gone cannot be taken off net: will not" in printed.getvalue()

    def test_networks_that_are_gone_hold_nothing_up(self, progress, printed):
        free_networks(state(NET), FakeDocker(), STACK, progress)
        assert printed.getvalue() == ""

    @pytest.mark.parametrize(
        "said",
        [
            "Unable to remove network: Error response from daemon: error while removing network: "
            "network shop-monitoring id 1f2e3d has active endpoints",
            "error while removing network: network shop-monitoring has active endpoints",
            'network shop-monitoring has 1 active endpoint (name:"web" id:"1f")',
            "network shop-monitoring has 2 active endpoints (web, app)",
        ],
    )
    def test_a_network_in_use_is_known_by_what_engines_say_of_it(self, said):
        assert networks_in_use(Outcome(errors=["it broke", said])) == "shop-monitoring"

    def test_another_error_is_none_of_a_network_in_use(self):
        assert networks_in_use(Outcome(errors=["volume is in use"])) == ""

    @pytest.mark.parametrize(
        ("own", "running", "restarted"), [(True, False, True), (True, True, False), (False, False, False)]
    )
    def test_only_an_engine_of_our_own_in_which_nothing_runs_is_restarted(
        self, own, running, restarted, progress, tmp_path, monkeypatch
    ):
        done = []
        monkeypatch.setattr(PrivateEngine, "stop", lambda _: done.append("stop"))
        monkeypatch.setattr(PrivateEngine, "start", lambda _: done.append("start"))
        docker, work = FakeDocker(), WorkDir(tmp_path)
        if running:
            docker.container("another's")
        host = PrivateEngine(work.engine).host if own else "unix:///var/run/docker.sock"
        assert restart_own_engine(work, host, docker, progress) is restarted
        assert done == (["stop", "start"] if restarted else [])


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
