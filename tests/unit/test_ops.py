"""The command's own parts: events, state, ports."""

import json
import socket
from types import SimpleNamespace

import pytest

from machine.progress import SetupError, format_seconds
from machine.workdir import WorkDir
from ops.events import EventFollower
from ops.ports import check_ports, claim_port_offset
from ops.state.snapshot import GENERATED
from runtime.pulumi_state import CONTAINER, VOLUME
from tests.support.states import data_volume, resource, state

URN = "urn:pulumi:dev::dockyard::dockyard:app_services:AppServices$docker:index/container:Container::shop-app-web"


def metadata(op: str, urn: str = URN, kind: str = "docker:index/container:Container") -> dict:
    return {"metadata": {"op": op, "urn": urn, "type": kind}}


class TestEvents:
    def follow(self, progress, tmp_path, *events):
        log = tmp_path / "events"
        with EventFollower(log, progress) as follower:
            log.write_text("".join(json.dumps(event) + "\n" for event in events))
        return follower.outcome

    @pytest.mark.parametrize(
        ("operations", "summary", "line"),
        [
            (["create"], "1 change: 1 created", "+ container shop-app-web: created (0.0 s)"),
            (["same"], "0 changes", ""),
            (["create-replacement", "replace", "delete-replaced"], "2 changes: 1 created, 1 removed", "created"),
        ],
    )
    def test_a_change_is_counted_and_printed(self, progress, printed, tmp_path, operations, summary, line):
        events = [{kind: metadata(op)} for op in operations for kind in ("resourcePreEvent", "resOutputsEvent")]
        outcome = self.follow(progress, tmp_path, *events)
        assert outcome.summary() == summary
        assert line in printed.getvalue() if line else printed.getvalue() == ""

    def test_a_provider_is_no_change(self, progress, tmp_path):
        urn, kind = "urn:pulumi:dev::dockyard::pulumi:providers:docker::default", "pulumi:providers:docker"
        assert (
            self.follow(progress, tmp_path, {"resOutputsEvent": metadata("create", urn, kind)}).summary() == "0 changes"
        )

    def test_an_error_is_kept_once_and_a_warning_is_printed(self, progress, printed, tmp_path):
        error = {"diagnosticEvent": {"severity": "error", "message": "it broke\n<{%reset%}>"}}
        warning = {"diagnosticEvent": {"severity": "warning", "message": "have a care"}}
        assert self.follow(progress, tmp_path, error, error, warning).errors == ["it broke"]
        assert "! have a care" in printed.getvalue()


def test_failed_jobs_are_those_that_ended_with_another_code_than_0():
    outputs = {
        "good": {"mustRun": False, "exitCode": 0},
        "bad": {"mustRun": False, "exitCode": 3},
        "service": {"mustRun": True, "exitCode": 137},
    }
    made = state(*(resource(name, CONTAINER, inputs=values, outputs=values) for name, values in outputs.items()))
    assert made.failed_jobs() == ["urn:bad"]


def test_data_volumes_are_kept_with_the_secrets_that_open_them():
    made = state(
        data_volume("data"),
        resource("config", VOLUME, inputs={"labels": [{"label": "dockyard.volume", "value": "config"}]}),
        resource("password", GENERATED),
        resource("web", CONTAINER),
    )
    assert made.kept_with_data() == ["urn:data", "urn:password"]


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

    @pytest.mark.parametrize(
        "claims",
        [
            # A new stack leaves ports to the programs that have them, and keeps its own from then on.
            [("one", "dev", [3000, 9090], {"held": {9090}}, 100), ("one", "dev", [3000, 9090], {"held": {3100}}, 100)],
            # Staging and production have the ports of their files, and others keep off them.
            [
                ("one", "dev", [3000], {}, 0),
                ("one", "production", [3000], {"movable": False}, 0),
                ("one", "other", [3000], {}, 100),
            ],
            # Stacks that want the same port are kept apart, and keep their places.
            [
                ("one", "dev", [3000, 9090], {}, 0),
                ("one", "shop", [8080], {}, 0),
                ("one", "other", [3000], {}, 100),
                ("two", "dev", [3000, 9090], {}, 200),
                ("one", "dev", [3000, 9090], {}, 0),
                ("one", "other", [3000], {}, 100),
            ],
            # A port that another stack got by its offset is taken too.
            [("one", "first", [3000], {}, 0), ("one", "second", [3000], {}, 100), ("one", "third", [3100], {}, 100)],
            # A stack moves only where a port that is new to it is taken.
            [
                ("one", "first", [3000], {}, 0),
                ("one", "second", [8080], {}, 0),
                ("one", "second", [8080, 8081], {}, 0),
                ("one", "second", [8080, 3000], {}, 100),
            ],
        ],
    )
    def test_stacks_of_one_machine_get_ports_of_their_own(self, checkouts, claims):
        works = {name: checkouts(name) for name in ("one", "two")}
        for checkout, stack, ports, options, offset in claims:
            assert claim(works[checkout], stack, ports, **options) == offset, (checkout, stack)

    def test_ports_of_a_checkout_that_is_gone_are_free_again(self, checkouts):
        gone = checkouts("gone")
        assert claim(gone, "dev", [3000]) == 0
        gone.root.rmdir()
        assert claim(checkouts("next"), "dev", [3000]) == 0

    def test_a_stack_without_room_for_its_ports_is_refused(self, checkouts):
        claim(checkouts("one"), "dev", [65_500])
        with pytest.raises(SetupError, match="the ports of the stack dev conflict"):
            claim(checkouts("two"), "dev", [65_500])

    def settings(self, port: int):
        return SimpleNamespace(stack_name="dev", requested_ports={"grafana": port}, port=lambda _: port)

    @pytest.fixture
    def taken(self):
        with socket.create_server(("127.0.0.1", 0)) as server:
            yield server.getsockname()[1]

    def test_a_taken_port_is_reported_with_a_remedy_unless_the_stack_itself_holds_it(self, taken):
        check_ports(self.settings(taken), own_ports={taken})
        with pytest.raises(SetupError, match=rf"grafana needs 127.0.0.1:{taken}.*dockyard:publish in Pulumi.dev.yaml"):
            check_ports(self.settings(taken), own_ports=set())


class TestProgress:
    def test_a_failure_is_printed_once_with_its_remedy(self, progress, printed):
        with pytest.raises(SetupError) as caught, progress.step("Engine"):
            raise SetupError("no engine", "start one")
        progress.tell(caught.value)
        assert printed.getvalue().count("✗ Engine: no engine") == 1
        assert "→ start one" in printed.getvalue()

    @pytest.mark.parametrize(("seconds", "text"), [(0.42, "0.4 s"), (12.3, "12 s"), (125, "2 m 05 s")])
    def test_seconds_are_spelled_in_the_units_of_people(self, seconds, text):
        assert format_seconds(seconds) == text
