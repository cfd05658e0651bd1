"""What still holds the networks of a stack: let go of where it is nobody's, named where it is somebody else's."""

import pytest

from ops.events import Outcome
from ops.networks import free_networks, networks_in_use, restart_own_engine
from tests.unit.fake_docker import NET, STACK, WEB, FakeDocker, state
from toolchain.private_engine import Engine as PrivateEngine
from toolchain.progress import SetupError
from toolchain.workdir import WorkDir


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
