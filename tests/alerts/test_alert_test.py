"""`./dockyard alert-test` against a real Alertmanager: what it says of each receiver is what the sink saw."""

import subprocess
import time
from types import SimpleNamespace

import httpx

from ops.alert_test import hide, secret_parts, try_receivers
from ops.inspect.amtool import URL
from tests.promtools import promtools
from tests.sink.server import Fault
from tests.support.alertmanager import firing
from tests.support.receivers import every_kind
from tests.support.waiting import wait_until

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


def outcomes(running, names, language="en", **more):
    return {one.receiver: one for one in try_receivers([container_of(running)], list(names), LABELS, language, **more)}


def test_each_receiver_is_told_once_that_it_is_a_test_and_of_its_end(sink, run):
    receivers = every_kind(sink)
    running = run(receivers)
    result = outcomes(running, receivers)
    assert {name: one.detail.split(" (")[0] for name, one in result.items()} == dict.fromkeys(receivers, "delivered")
    assert all(receiver.delivered for receiver in result.values())
    for name in receivers:
        fired, _ended = sink.wait(name, count=2)
        assert "TEST" in fired.text, name
        assert name in fired.text, name
    wait_until(lambda: running.get("alerts/groups") == [], "no group has an alert left")
    assert {name: len(sink.told(name)) for name in receivers} == dict.fromkeys(receivers, 2)
    assert sink.refused() == []


def test_a_receiver_that_fails_has_alertmanager_s_own_reason_and_holds_nobody_up(sink, run):
    receivers = {name: every_kind(sink)[name] for name in ("chat", "ops", "hook", "pager", "bell", "mail")}
    running = run(receivers)
    sink.faults |= {"chat": Fault(404), "hook": Fault(500), "pager": Fault(0)}
    sink.tokens["bell"] = "another"
    sink.mail.failing = "550 5.7.1 no such mailbox"
    result = outcomes(running, receivers)
    assert {name for name, one in result.items() if one.delivered} == {"ops"}
    assert result["chat"].detail.startswith("failed: unexpected status code 404")
    assert "unexpected status code 500" in result["hook"].detail
    assert "context deadline exceeded" in result["pager"].detail
    assert "unexpected status code 401" in result["bell"].detail
    assert "no such mailbox" in result["mail"].detail
    assert running.get("alerts", active="true") == [], "the synthetic alerts have ended"


def test_a_second_test_is_a_message_of_its_own_and_reaches_no_other_receiver(sink, run):
    running = run({name: every_kind(sink)[name] for name in ("chat", "hook")})
    for language in ("fr", "en"):
        assert outcomes(running, ["chat"], language)["chat"].delivered
        time.sleep(1.1)  # The second in which it was sent tells one test from the next.
    sink.wait("chat", count=4)
    assert sink.told("hook") == []


def test_a_receiver_that_was_not_tried_is_reported_as_such(sink, run):
    running = run({"chat": every_kind(sink)["chat"]})
    running.silence({"alertname": "DockyardTest"})
    result = outcomes(running, ["chat", "later"], seconds=2)
    assert not result["chat"].delivered and "not tried" in result["chat"].detail and "silence" in result["chat"].detail
    assert not result["later"].delivered and "does not have this receiver yet" in result["later"].detail


def test_a_real_alert_that_fails_meanwhile_is_not_taken_for_the_test(sink, run):
    running = run({name: every_kind(sink)[name] for name in ("chat", "hook")})
    sink.faults["chat"] = Fault(404, times=1)
    running.post([firing("RedisDown")])
    sink.wait("hook")
    assert outcomes(running, ["chat"])["chat"].delivered


def test_no_part_of_a_secret_is_shown():
    address = "https://discord.com/api/webhooks/123456789/abcDEF-secret?wait=true"
    parts = secret_parts([address, "bot-token-1"])
    text = 'Post "https://discord.com/api/webhooks/123456789/abcDEF-secret": no; bot-token-1, abcDEF-secret, wait=true'
    assert hide(text, parts) == 'Post "https://discord.com(secret)": no; (secret), (secret), (secret)'
