"""`alert-test` and `amtool`: which receivers and containers they mean, and what they say where there is none."""

import getpass
from pathlib import Path
from types import SimpleNamespace

import pytest

from ops.alert_test import chosen
from ops.amtool import _author, instances, run_amtool
from settings.loader import Configuration, load
from tests.unit.test_ops_status import Engine, attrs, container
from toolchain.progress import SetupError

ROOT = Path(__file__).resolve().parents[2]


def settings_of(environment: str = "production", **alerts):
    said = {"product": "products/tumulte.yaml", "environment": environment, "alerts": alerts}
    said["preview_without_secrets"] = True
    return load(Configuration(said, frozenset()), "prod", checkout=ROOT, preview=True)


def test_all_receivers_of_the_environment_are_meant_unless_one_is_named():
    assert chosen(settings_of(), None) == ["monitoring", "alertes-critiques"]
    assert chosen(settings_of(heartbeat="beat"), None)[-1] == "heartbeat"
    assert chosen(settings_of(), "monitoring") == ["monitoring"]


@pytest.mark.parametrize(
    ("settings", "receiver", "message", "remedy"),
    [
        (settings_of(), "pager", "no receiver pager in prod", "it has: monitoring, alertes-critiques"),
        (settings_of("development"), None, "none of monitoring, alertes-critiques is told there", "[development]"),
        (settings_of("development"), "monitoring", "told in staging, production only", "environments"),
    ],
)
def test_who_cannot_be_told_is_said_and_what_to_do(settings, receiver, message, remedy):
    with pytest.raises(SetupError) as raised:
        chosen(settings, receiver)
    assert message in raised.value.message
    assert remedy in raised.value.remedy


def test_a_stack_without_receivers_says_so_and_where_to_name_them():
    settings = settings_of()
    nobody = settings.product.alerts.model_copy(update={"receivers": {}})
    with pytest.raises(SetupError) as raised:
        chosen(SimpleNamespace(**{**vars(settings), "product": SimpleNamespace(alerts=nobody)}), None)
    assert raised.value.message == "prod tells nobody of alerts"
    assert "alerts.receivers" in raised.value.remedy


def ready(resources, client):
    engine = SimpleNamespace(stack="prod", read=lambda *_: {"deployment": {"resources": resources}})
    return SimpleNamespace(engine=engine, settings=settings_of(), docker_client=lambda: client)


def test_every_running_alertmanager_is_asked_the_first_one_first():
    names = ["alertmanager-2", "alertmanager", "alertmanager-3", "backend"]
    client = Engine(**{f"{name}-id": attrs() for name in names})
    client.known["alertmanager-3-id"]["State"]["Status"] = "exited"
    found = instances(ready([container(name) for name in names], client))
    assert [one.id for one in found] == ["alertmanager-id", "alertmanager-2-id"]


def test_where_none_runs_that_is_said_with_how_it_is():
    client = Engine(**{"alertmanager-id": attrs("unhealthy")})
    with pytest.raises(SetupError, match="alertmanager is unhealthy"):
        instances(ready([container("alertmanager")], client))


def test_amtool_gets_every_argument_and_its_output_and_exit_code_come_back(capfd):
    ran = []

    class Api:
        def exec_create(self, container, command):
            ran.append((container, command))
            return {"Id": "run"}

        def exec_start(self, run, *, stream, demux):
            return iter([(b"one\n", None), (None, b"two\n")])

        def exec_inspect(self, run):
            return {"ExitCode": 3}

    code = run_amtool(Api(), "am-id", ["silence", "query", "--expired"])
    assert code == 3
    assert ran == [("am-id", ["amtool", "--alertmanager.url=http://127.0.0.1:9093", "silence", "query", "--expired"])]
    said = capfd.readouterr()
    assert (said.out, said.err) == ("one\n", "two\n")


def test_a_silence_gets_the_person_as_its_author():
    assert _author(["silence", "add", "alertname=X"]) == [f"--author={getpass.getuser()}"]
    assert _author(["silence", "add", "-a", "me", "alertname=X"]) == []
    assert _author(["silence", "query"]) == []
