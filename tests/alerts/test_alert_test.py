"""`./dockyard alert-test` against a real Alertmanager: what it says of each receiver is what the sink saw."""

import subprocess
import time
from types import SimpleNamespace

import httpx
import pytest

from ops.alert_test import hide, secret_parts, try_receivers
from ops.amtool import URL
from tests.alerts.conftest import every_kind
from tests.support.alertmanager import firing
from tests.promtools import promtools
from tests.sink.server import Fault

LABELS = {"product": "tumulte", "environment": "production"}


def container_of(running):
    """Return an Alertmanager of this machine as a container: what runs in it runs here."""

    def exec_run(command):
        program, *arguments = [part.replace(URL, running.url) for part in command]
        if program == "wget":
            return SimpleNamespace(exit_code=0, output=httpx.get(arguments[-1]).content)
        done = subprocess.run([promtools() / program, *arguments], capture_output=True)
        return SimpleNamespace(exit_code=done.returncode, output=done.stdout + done.stderr)

    return SimpleNamespace(name="am", exec_run=exec_run, logs=lambda since: running.log.encode())


@pytest.fixture
def test_all(sink, run):
    def tried(receivers, names=None, **more):
        running = run(receivers)
        found = try_receivers([container_of(running)], list(names or receivers), LABELS, "en", **more)
        return {one.receiver: one for one in found}, running

    return tried


def test_each_receiver_is_told_once_that_it_is_a_test_and_of_its_end(sink, test_all):
    receivers = every_kind(sink)
    found, _ = test_all(receivers)
    assert {name: one.said.split(" (")[0] for name, one in found.items()} == dict.fromkeys(receivers, "delivered")
    assert all(one.well for one in found.values())
    for name in receivers:
        fired, _ended = sink.wait(name, 15, count=2)
        assert "TEST" in fired.text, name
        assert name in fired.text, name
    time.sleep(6)
    assert {name: len(sink.told(name)) for name in receivers} == dict.fromkeys(receivers, 2)
    assert sink.refused() == []


def test_one_that_fails_is_told_with_alertmanager_s_own_reason_and_the_others_are_not_held_up(sink, test_all):
    receivers = {name: every_kind(sink)[name] for name in ("chat", "ops", "hook", "pager", "bell", "mail")}
    sink.faults |= {"chat": Fault(404), "hook": Fault(500), "pager": Fault(0)}
    sink.tokens["bell"] = "another"
    sink.mail.failing = "550 5.7.1 no such mailbox"
    found, running = test_all(receivers)
    assert {name for name, one in found.items() if one.well} == {"ops"}
    assert found["chat"].said.startswith("failed: unexpected status code 404")
    assert "unexpected status code 500" in found["hook"].said
    assert "context deadline exceeded" in found["pager"].said
    assert "unexpected status code 401" in found["bell"].said
    assert "no such mailbox" in found["mail"].said
    assert running.get("alerts", active="true") == [], "the synthetic alerts have ended"


def test_a_second_test_is_a_message_of_its_own(sink, run):
    running = run({"chat": every_kind(sink)["chat"]})
    for _ in range(2):
        (one,) = try_receivers([container_of(running)], ["chat"], LABELS, "fr")
        assert one.well
        time.sleep(1.1)
    sink.wait("chat", 15, count=4)


def test_only_the_one_that_is_asked_for_is_told(sink, test_all):
    receivers = {name: every_kind(sink)[name] for name in ("chat", "hook")}
    found, _ = test_all(receivers, ["hook"])
    assert found["hook"].well
    assert sink.told("chat") == []


def test_what_was_not_tried_is_told_as_such(sink, run):
    running = run({"chat": every_kind(sink)["chat"]})
    running.silence({"alertname": "DockyardTest"})
    chat, later = try_receivers([container_of(running)], ["chat", "later"], LABELS, "en", seconds=2)
    assert not chat.well and "not tried" in chat.said and "silence" in chat.said
    assert not later.well and "does not know it yet" in later.said


def test_a_real_alert_that_fails_meanwhile_is_not_taken_for_the_test(sink, run):
    receivers = {name: every_kind(sink)[name] for name in ("chat", "hook")}
    running = run(receivers)
    sink.faults["chat"] = Fault(404, times=1)
    running.post([firing("RedisDown")])
    sink.wait("hook", 10)
    (chat,) = try_receivers([container_of(running)], ["chat"], LABELS, "en")
    assert chat.well


def test_no_part_of_a_secret_is_shown():
    address = "https://discord.com/api/webhooks/123456789/abcDEF-secret?wait=true"
    parts = secret_parts([address, "bot-token-1"])
    said = 'Post "https://discord.com/api/webhooks/123456789/abcDEF-secret": no; bot-token-1, abcDEF-secret, wait=true'
    assert hide(said, parts) == 'Post "https://discord.com(secret)": no; (secret), (secret), (secret)'
