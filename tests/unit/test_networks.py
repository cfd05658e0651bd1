"""What holds the networks of a stack: released where it is nobody's, named where it is somebody else's."""

import pytest

from machine.progress import SetupError
from machine.workdir import WorkDir
from ops.deploy.networks import free_networks, networks_in_use, restart_own_engine
from ops.events import RunOutcome
from tests.support.fake_docker import FakeDocker
from tests.support.states import container, network, state
from toolchain.private_dockerd import PrivateDockerd

OURS = {"dockyard.stack": "shop"}


@pytest.fixture
def docker(docker):
    docker.add_network("net")
    return docker


@pytest.mark.parametrize(
    ("key", "known"),
    [
        ("ep-1f2e", []),
        ("gone", []),
        # The engine lost a container that the state still knows.
        ("web", [container("web")]),
    ],
)
def test_an_endpoint_without_a_container_is_disconnected(key, known, docker, progress, printed):
    docker.add_network("net", lost={key: "gone"})
    free_networks(state(network("net"), *known), docker, "shop", progress)
    assert docker.endpoints("net") == {}
    assert "disconnected gone, which is gone, from net" in printed.getvalue()


def test_a_container_that_the_state_knows_is_left_to_the_engine(docker, progress, printed):
    docker.add_container("web", labels=OURS, networks=["net"])
    free_networks(state(network("net"), container("web")), docker, "shop", progress)
    assert docker.endpoints("net") == {"web": "web"}
    assert printed.getvalue() == ""


def test_a_container_of_an_interrupted_run_is_removed(docker, progress, printed):
    docker.add_container("stray", labels=OURS, networks=["net"])
    free_networks(state(network("net")), docker, "shop", progress)
    assert docker.container_names == []
    assert "removed the stray container of an interrupted run" in printed.getvalue()


def test_containers_of_others_are_all_named_and_left_alone(docker, progress):
    docker.add_container("theirs", networks=["net"])
    docker.add_container("more", labels={"dockyard.stack": "another"}, networks=["net"])
    docker.add_container("stray", labels=OURS, networks=["net"])
    with pytest.raises(SetupError) as raised:
        free_networks(state(network("net")), docker, "shop", progress)
    assert "outside the stack shop use its networks: theirs on net, more on net" in raised.value.message
    assert "docker network disconnect net theirs; docker network disconnect net more" in raised.value.remedy
    assert docker.changes == []


def test_an_endpoint_that_the_engine_does_not_disconnect_is_reported(docker, progress, printed):
    docker.add_network("net", lost={"ep-1": "gone"})
    docker.refuse("disconnect_container_from_network", "gone", "will not")
    free_networks(state(network("net")), docker, "shop", progress)
    assert "gone cannot be disconnected from net: will not" in printed.getvalue()


def test_a_network_that_is_gone_holds_nothing_up(progress, printed):
    free_networks(state(network("net")), FakeDocker(), "shop", progress)
    assert printed.getvalue() == ""


@pytest.mark.parametrize(
    ("message", "name"),
    [
        ("Unable to remove network: …: network shop-monitoring id 1f2e3d has active endpoints", "shop-monitoring"),
        ("error while removing network: network shop-monitoring has active endpoints", "shop-monitoring"),
        ('network shop-monitoring has 1 active endpoint (name:"web" id:"1f")', "shop-monitoring"),
        ("network shop-monitoring has 2 active endpoints (web, app)", "shop-monitoring"),
        ("volume is in use", ""),
    ],
)
def test_a_network_in_use_is_recognised_by_the_engines_message(message, name):
    assert networks_in_use(RunOutcome(errors=["it broke", message])) == name


@pytest.mark.parametrize(
    ("own", "running", "restarted"), [(True, False, True), (True, True, False), (False, False, False)]
)
def test_only_an_own_engine_without_containers_is_restarted(own, running, restarted, progress, tmp_path, monkeypatch):
    calls = []
    monkeypatch.setattr(PrivateDockerd, "stop", lambda _: calls.append("stop"))
    monkeypatch.setattr(PrivateDockerd, "start", lambda _: calls.append("start"))
    docker, work = FakeDocker(), WorkDir(tmp_path)
    if running:
        docker.add_container("another's")
    host = PrivateDockerd(work.engine).host if own else "unix:///var/run/docker.sock"
    assert restart_own_engine(work, host, docker, progress) is restarted
    assert calls == (["stop", "start"] if restarted else [])
