"""`alert-test` and `amtool`: their receivers and containers, and their errors where there are none."""

import functools
import getpass
from types import SimpleNamespace

import pytest

from machine.progress import SetupError
from ops.alert_test import receivers_to_test
from ops.inspect.amtool import _author, instances, run_amtool
from settings.loader import Configuration, load
from tests.support.checkout import SOURCE
from tests.support.states import container


@functools.cache
def settings_of(environment: str = "production", **alerts):
    values = {"product": "products/tumulte.yaml", "environment": environment, "alerts": alerts}
    values["preview_without_secrets"] = True
    return load(Configuration(values, frozenset()), "prod", checkout=SOURCE, preview=True)


def without_receivers():
    settings = settings_of()
    alerts = settings.product.alerts.model_copy(update={"receivers": {}})
    return SimpleNamespace(**{**vars(settings), "product": SimpleNamespace(alerts=alerts)})


@pytest.mark.parametrize(
    ("alerts", "receiver", "receivers"),
    [
        ({}, None, ["monitoring", "alertes-critiques"]),
        ({"heartbeat": "beat"}, None, ["monitoring", "alertes-critiques", "heartbeat"]),
        ({}, "monitoring", ["monitoring"]),
    ],
)
def test_all_receivers_of_the_environment_are_tried_unless_one_is_named(alerts, receiver, receivers):
    assert receivers_to_test(settings_of(**alerts), receiver) == receivers


@pytest.mark.parametrize(
    ("settings", "receiver", "message", "remedy"),
    [
        (settings_of(), "pager", "the stack prod has no receiver pager", "it has: monitoring, alertes-critiques"),
        (settings_of("development"), None, "none of monitoring, alertes-critiques gets its alerts", "add development"),
        (settings_of("development"), "monitoring", "gets alerts of staging, production only", "environments"),
        (without_receivers(), None, "no receiver gets alerts of prod", "alerts.receivers"),
    ],
)
def test_a_receiver_that_cannot_be_tried_is_refused_with_a_remedy(settings, receiver, message, remedy):
    with pytest.raises(SetupError) as raised:
        receivers_to_test(settings, receiver)
    assert message in raised.value.message
    assert remedy in raised.value.remedy


def ready(resources, client):
    engine = SimpleNamespace(stack="prod", read=lambda *_: {"deployment": {"resources": resources}})
    return SimpleNamespace(pulumi_cli=engine, settings=settings_of(), docker_client=lambda: client)


def test_every_running_alertmanager_is_asked_in_order(docker):
    names = ["alertmanager-2", "alertmanager", "alertmanager-3", "backend"]
    for name in names:
        status = "exited" if name == "alertmanager-3" else "running"
        docker.add_container(name, status=status, labels={"dockyard.service": name})
    found = instances(ready([container(name) for name in names], docker))
    assert [instance.id for instance in found] == ["alertmanager", "alertmanager-2"]


def test_a_stack_without_a_running_alertmanager_is_refused_with_its_health(docker):
    docker.add_container("alertmanager", health="unhealthy")
    with pytest.raises(SetupError, match="alertmanager is unhealthy"):
        instances(ready([container("alertmanager")], docker))


def test_amtool_gets_every_argument_and_its_output_and_exit_code_come_back(docker, capfd):
    docker.add_container("am", run=lambda _: (3, b"one\n", b"two\n"))
    assert run_amtool(docker.api, "am", ["silence", "query", "--expired"]) == 3
    arguments = ["amtool", "--alertmanager.url=http://127.0.0.1:9093", "silence", "query", "--expired"]
    assert docker.api.executed == [("am", arguments)]
    assert capfd.readouterr() == ("one\n", "two\n")


@pytest.mark.parametrize(
    ("arguments", "options"),
    [
        (["silence", "add", "alertname=X"], [f"--author={getpass.getuser()}"]),
        (["silence", "add", "-a", "me", "alertname=X"], []),
        (["silence", "query"], []),
    ],
)
def test_a_silence_gets_the_person_as_its_author(arguments, options):
    assert _author(arguments) == options
