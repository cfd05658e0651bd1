"""What goes wrong between Alertmanager and its receivers: all are told in the end, and nobody waits for another."""

import time

import pytest

from tests.alerts.conftest import every_kind
from tests.support.alertmanager import firing
from tests.sink.server import Fault

DELAY = 1.5
"""Seconds that a receiver may wait beyond its group's own, on a busy machine."""

TWO = {"broken": {"type": "webhook", "url": "broken-url"}, "well": {"type": "discord", "webhook": "well-url"}}


def redis(**more):
    return firing("RedisDown", scope="store", service="redis", **more)


def test_who_answers_500_is_told_once_it_is_well_again_and_the_others_at_once(sink, run):
    running = run(every_kind(sink))
    broken = {"hook", "chat", "pager"}
    sink.faults.update({name: Fault(500, times=3) for name in broken})
    began = time.monotonic()
    running.post([redis()])
    for name in every_kind(sink).keys() - broken:
        (message,) = sink.wait(name, 10)
        assert message.at - began < 1 + DELAY, name
    for name in broken:
        sink.wait(name, 20)
        assert [one.status for one in sink.attempts if one.receiver == name][:3] == [500] * 3
    time.sleep(2.5)
    assert {name: len(sink.told(name)) for name in broken} == dict.fromkeys(broken, 1), "told once"


@pytest.mark.parametrize("kind", ["webhook", "discord", "slack", "teams", "pagerduty", "opsgenie", "telegram"])
def test_who_asks_for_patience_is_told_when_its_group_comes_round_again(kind, sink, run):
    """Alertmanager reads no Retry-After. Of a 429 most kinds are told again with the group's next interval, PagerDuty,
    Opsgenie and Telegram sooner."""
    names = {"webhook": "hook", "discord": "chat", "slack": "ops", "teams": "teams"}
    names |= {"pagerduty": "pager", "opsgenie": "genie", "telegram": "telegram"}
    name = names[kind]
    running = run({name: every_kind(sink)[name], "well": TWO["well"]})
    sink.faults[name] = Fault(429, retry_after=1, times=2)
    began = time.monotonic()
    running.post([redis()])
    (well,) = sink.wait("well", 10)
    assert well.at - began < 1 + DELAY
    (told,) = sink.wait(name, 20)
    assert [one.status for one in sink.attempts if one.receiver == name][:2] == [429, 429]
    assert told.at - began < 1 + 2 * 2 + DELAY, "a wait and two intervals"


def test_who_hangs_is_tried_again_and_delays_nobody(sink, run):
    running = run(TWO)
    sink.faults["broken"] = Fault(0, times=1)
    began = time.monotonic()
    running.post([redis()])
    (well,) = sink.wait("well", 10)
    assert well.at - began < 1 + DELAY
    running.post([firing("PostgresDown", scope="store", service="postgres")])
    (_, second) = sink.wait("well", 10, count=2)
    assert second.at - well.at < 2 + DELAY, "nor the next message"
    (told, *_) = sink.wait("broken", 20)
    # Alertmanager gives a try the group's interval, and at least ten seconds.
    assert 9 < told.at - began < 16
    assert {"RedisDown", "PostgresDown"} <= {one["labels"]["alertname"] for one in told.body["alerts"]}


def test_a_mail_server_that_defers_is_asked_again(sink, run):
    running = run({"mail": every_kind(sink)["mail"]})
    sink.mail.failing = "451 4.3.0 try again later"
    running.post([redis()])
    until = time.monotonic() + 10
    while sink.mail.attempts == 0 and time.monotonic() < until:
        time.sleep(0.1)
    assert sink.mail.attempts
    sink.mail.failing = ""
    (mail,) = sink.wait("mail", 15)
    assert "RedisDown" in mail.text


def test_a_mail_server_of_an_unknown_authority_gets_no_password(sink, run):
    stranger = {name: value for name, value in every_kind(sink)["mail"].items() if name != "ca"}
    running = run({"mail": stranger})
    running.post([redis()])
    time.sleep(4)
    assert sink.mail.attempts == 0
    assert "certificate signed by unknown authority" in running.log


def test_nothing_is_lost_where_alertmanager_is_killed_and_started_again(sink, run):
    running = run(TWO)
    sink.faults["broken"] = Fault(500)
    running.post([redis()])
    sink.wait("well", 10)
    while not any(one.receiver == "broken" for one in sink.attempts):
        time.sleep(0.1)
    running.kill()
    del sink.faults["broken"]
    running.start()
    # Prometheus sends what fires again every minute, and what has ended for a quarter of an hour.
    running.post([redis()])
    (told,) = sink.wait("broken", 10)
    assert "RedisDown" in told.text


def test_what_was_told_before_a_stop_is_not_told_again_and_its_end_is(sink, run):
    running = run(TWO)
    running.post([redis()])
    sink.wait("broken", 10)
    sink.wait("well", 10)
    running.stop()
    running.start()
    running.post([redis()])
    time.sleep(4)
    assert [len(sink.told(name)) for name in TWO] == [1, 1]
    running.post([redis(ended=True)])
    for name in TWO:
        sink.wait(name, 10, count=2)


def test_silences_outlive_a_kill_once_they_are_a_minute_old(sink, run, monkeypatch):
    # The product writes them to disk every minute; a test does not wait that long.
    monkeypatch.setattr("tests.support.alertmanager.FLAGS", ("--data.maintenance-interval=1s",))
    running = run({"well": TWO["well"]})
    running.silence({"alertname": "RedisDown"})
    time.sleep(2.5)
    running.kill()
    running.start()
    running.post([redis(), firing("PostgresDown", scope="store", service="postgres")])
    (told,) = sink.wait("well", 10)
    assert "PostgresDown" in told.text
    assert "RedisDown" not in told.text


def test_what_cannot_be_reached_is_told_in_the_log_without_a_secret(sink, run):
    nowhere = "http://127.0.0.1:9"
    receivers = every_kind(sink)
    for name in ("pager", "genie", "telegram"):
        receivers[name]["url"] = nowhere
    receivers["bell"]["server"] = nowhere
    receivers["mail"]["smarthost"] = "127.0.0.1:9"
    running = run(receivers, at=f"{nowhere}/secret-path")
    running.post([redis()])
    until = time.monotonic() + 15
    while not all(f"receiver={name} " in running.log for name in receivers):
        assert time.monotonic() < until, running.log
        time.sleep(0.2)
    for secret in running.secrets.values():
        assert secret not in running.log
    assert "/secret-path" not in running.log
