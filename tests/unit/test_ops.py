"""The command's own parts: events, state, ports."""

import io
import json
import socket
from types import SimpleNamespace

import pytest
from rich.console import Console

from ops.events import EventFollower
from ops.ports import check_ports, claim_port_offset
from ops.state import State, remove_strays
from toolchain.progress import Progress, SetupError, spell_seconds
from toolchain.workdir import WorkDir

URN = "urn:pulumi:dev::dockyard::dockyard:app_services:AppServices$docker:index/container:Container::shop-app-web"


@pytest.fixture
def printed():
    return io.StringIO()


@pytest.fixture
def progress(printed):
    return Progress(Console(file=printed, width=200))


def metadata(op: str, urn: str = URN, kind: str = "docker:index/container:Container") -> dict:
    return {"metadata": {"op": op, "urn": urn, "type": kind}}


class TestEvents:
    def follow(self, progress, tmp_path, *events):
        log = tmp_path / "events"
        with EventFollower(log, progress) as follower:
            log.write_text("".join(json.dumps(event) + "\n" for event in events))
        return follower.outcome

    def test_each_change_is_told_with_what_it_was_and_counted(self, progress, printed, tmp_path):
        outcome = self.follow(
            progress, tmp_path, {"resourcePreEvent": metadata("create")}, {"resOutputsEvent": metadata("create")}
        )
        assert "+ container shop-app-web: created (0.0 s)" in printed.getvalue()
        assert outcome.summary() == "1 change: 1 created"

    def test_what_stays_the_same_is_no_change_and_no_line(self, progress, printed, tmp_path):
        outcome = self.follow(progress, tmp_path, {"resOutputsEvent": metadata("same")})
        assert outcome.summary() == "0 changes"
        assert printed.getvalue() == ""

    def test_a_replacement_counts_what_was_made_and_what_went(self, progress, tmp_path):
        outcome = self.follow(
            progress,
            tmp_path,
            {"resOutputsEvent": metadata("create-replacement")},
            {"resOutputsEvent": metadata("replace")},
            {"resOutputsEvent": metadata("delete-replaced")},
        )
        assert outcome.summary() == "2 changes: 1 created, 1 removed"
        assert outcome.operations == {"create-replacement": 1, "delete-replaced": 1}

    def test_the_stack_and_its_providers_are_no_changes_of_ours(self, progress, tmp_path):
        event = metadata(
            "create", "urn:pulumi:dev::dockyard::pulumi:providers:docker::default", "pulumi:providers:docker"
        )
        assert self.follow(progress, tmp_path, {"resOutputsEvent": event}).summary() == "0 changes"

    def test_each_error_is_kept_once_and_warnings_are_told(self, progress, printed, tmp_path):
        error = {"diagnosticEvent": {"severity": "error", "message": "it broke\n<{%reset%}>"}}
        warning = {"diagnosticEvent": {"severity": "warning", "message": "have a care"}}
        assert self.follow(progress, tmp_path, error, error, warning).errors == ["it broke"]
        assert "! have a care" in printed.getvalue()


def resource(name: str, kind: str, inputs: dict, outputs: dict | None = None) -> dict:
    return {"urn": f"urn:{name}", "type": kind, "id": f"{name}-id", "inputs": inputs, "outputs": outputs or {}}


class TestState:
    def state(self, *resources, interrupted=False) -> State:
        return State(tuple(resources), interrupted)

    def test_failed_jobs_are_those_that_ended_with_another_code_than_0(self):
        job = "docker:index/container:Container"
        state = self.state(
            resource("good", job, {}, {"mustRun": False, "exitCode": 0}),
            resource("bad", job, {}, {"mustRun": False, "exitCode": 3}),
            resource("service", job, {}, {"mustRun": True, "exitCode": 137}),
        )
        assert state.failed_jobs() == ["urn:bad"]

    def test_data_volumes_are_kept_together_with_the_secrets_that_open_them(self):
        volume = "docker:index/volume:Volume"
        state = self.state(
            resource("data", volume, {"labels": [{"label": "dockyard.volume", "value": "data"}]}),
            resource("config", volume, {"labels": [{"label": "dockyard.volume", "value": "config"}]}),
            resource("password", "pulumi-python:dynamic:Resource", {}),
            resource("web", "docker:index/container:Container", {}),
        )
        assert state.kept_with_data() == ["urn:data", "urn:password"]

    def test_only_unknown_containers_on_our_own_networks_or_with_our_own_volumes_are_strays(self, progress):
        removed = []

        def container(identity: str, network: str, volume: str = "else"):
            attached = {"NetworkSettings": {"Networks": {"n": {"NetworkID": network}}}, "Mounts": [{"Name": volume}]}
            return SimpleNamespace(
                id=identity, name=identity, labels={}, attrs=attached, remove=lambda force: removed.append(identity)
            )

        found = [
            container("known-id", "net-id"),
            container("stray", "net-id"),
            container("elsewhere", "other"),
            container("not-joined", "", volume="files-id"),
        ]
        client = SimpleNamespace(containers=SimpleNamespace(list=lambda **_: found))
        state = self.state(
            resource("known", "docker:index/container:Container", {}),
            resource("net", "docker:index/network:Network", {}),
            resource("files", "docker:index/volume:Volume", {}),
        )
        remove_strays(state, client, "dev", progress)
        assert removed == ["stray", "not-joined"]


def claim(work: WorkDir, stack: str, wanted: list[int], held=frozenset(), **options) -> int:
    """Claim ports on a machine where other programs have `held`."""
    return claim_port_offset(work, stack, wanted, is_free=lambda port: port not in held, **options)


class TestPorts:
    @pytest.fixture
    def checkouts(self, tmp_path, monkeypatch):
        monkeypatch.setenv("DOCKYARD_CACHE", str(tmp_path / "cache"))

        def checkout(name: str) -> WorkDir:
            work = WorkDir(tmp_path / name)
            work.root.mkdir(parents=True, exist_ok=True)
            return work

        return checkout

    def test_what_another_program_has_is_left_to_it_by_a_stack_that_comes_up_for_the_first_time(self, checkouts):
        here = checkouts("here")
        assert claim(here, "dev", [3000, 9090], held={9090}) == 100
        assert claim(here, "dev", [3000, 9090], held={3100, 9190}) == 100, "its own, by now"

    def test_staging_and_production_have_the_ports_that_their_files_say_and_others_keep_off_them(self, checkouts):
        here = checkouts("here")
        assert claim(here, "dev", [3000]) == 0
        assert claim(here, "production", [3000], movable=False) == 0
        assert claim(here, "other", [3000]) == 100

    def test_stacks_that_want_the_same_port_are_kept_apart_and_keep_their_places(self, checkouts):
        one, two = checkouts("one"), checkouts("two")
        assert claim(one, "dev", [3000, 9090]) == 0
        assert claim(one, "shop", [8080]) == 0
        assert claim(one, "other", [3000]) == 100
        assert claim(two, "dev", [3000, 9090]) == 200
        assert claim(one, "dev", [3000, 9090]) == 0
        assert claim(one, "other", [3000]) == 100

    def test_a_port_that_another_stack_got_by_its_offset_is_taken_too(self, checkouts):
        here = checkouts("here")
        assert claim(here, "first", [3000]) == 0
        assert claim(here, "second", [3000]) == 100
        assert claim(here, "third", [3100]) == 100

    def test_a_stack_moves_only_where_a_port_that_is_new_to_it_is_taken(self, checkouts):
        here = checkouts("here")
        claim(here, "first", [3000])
        assert claim(here, "second", [8080]) == 0
        assert claim(here, "second", [8080, 8081]) == 0
        assert claim(here, "second", [8080, 3000]) == 100

    def test_ports_of_a_checkout_that_is_gone_are_free_again(self, checkouts):
        gone = checkouts("gone")
        assert claim(gone, "dev", [3000]) == 0
        gone.root.rmdir()
        assert claim(checkouts("next"), "dev", [3000]) == 0

    def test_a_stack_that_can_be_kept_apart_from_nobody_is_told_so(self, checkouts):
        claim(checkouts("one"), "dev", [65_500])
        with pytest.raises(SetupError, match="the ports of the stack dev cannot be kept apart"):
            claim(checkouts("two"), "dev", [65_500])

    def settings(self, port: int):
        return SimpleNamespace(stack_name="dev", wanted_ports={"grafana": port}, port=lambda _: port)

    def test_a_taken_port_is_told_with_who_wanted_it_and_what_to_do(self):
        with socket.socket() as other:
            other.bind(("127.0.0.1", 0))
            other.listen()
            port = other.getsockname()[1]
            with pytest.raises(
                SetupError, match=rf"grafana wants 127.0.0.1:{port}.*dockyard:publish in Pulumi.dev.yaml"
            ):
                check_ports(self.settings(port), held=set())

    def test_a_port_that_the_stack_itself_holds_is_not_taken(self):
        with socket.socket() as own:
            own.bind(("127.0.0.1", 0))
            own.listen()
            port = own.getsockname()[1]
            check_ports(self.settings(port), held={port})


class TestProgress:
    def test_a_step_tells_its_outcome_and_time(self, progress, printed):
        with progress.step("Images") as step:
            step.say("pulling")
            step.outcome = "3 pulled"
        assert "· Images: pulling" in printed.getvalue()
        assert "✓ Images: 3 pulled (0.0 s)" in printed.getvalue()

    def test_a_failure_is_told_once_with_its_remedy(self, progress, printed):
        with pytest.raises(SetupError) as caught, progress.step("Engine"):
            raise SetupError("no engine", "start one")
        progress.tell(caught.value)
        assert printed.getvalue().count("✗ Engine: no engine") == 1
        assert "→ start one" in printed.getvalue()

    @pytest.mark.parametrize(("seconds", "text"), [(0.42, "0.4 s"), (12.3, "12 s"), (125, "2 m 05 s")])
    def test_times_read_as_people_say_them(self, seconds, text):
        assert spell_seconds(seconds) == text
