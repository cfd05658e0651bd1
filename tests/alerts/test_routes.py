"""Who is told, over the wire: the routing of the products' own documents, quiet hours, environments, test alerts."""

from datetime import UTC, datetime, timedelta

import pytest

from tests.support.alertmanager import firing
from tests.support.receivers import every_kind


def told(sink, names) -> dict[str, int]:
    return {name: len(sink.told(name)) for name in names}


def quiet_at(sink, run, start, end):
    quiet = {"hours": f"{start:%H:%M}-{end:%H:%M}"}
    running = run({"chat": {"type": "discord", "webhook": "chat-url", "quiet": quiet}}, timezone="UTC")
    running.post([firing("DiskSpaceLow", severity="warning", scope="host"), firing("RedisDown", scope="store")])
    return running


def test_quiet_hours_hold_warnings_and_never_what_is_critical(sink, run):
    now = datetime.now(UTC)
    running = quiet_at(sink, run, now - timedelta(hours=1), now + timedelta(hours=1))
    (message,) = sink.wait("chat")
    assert "RedisDown" in message.text
    running.wait_for_rounds()
    assert len(sink.told("chat")) == 1


def test_warnings_are_told_out_of_quiet_hours(sink, run):
    now = datetime.now(UTC)
    quiet_at(sink, run, now - timedelta(hours=2), now - timedelta(minutes=1))
    assert "DiskSpaceLow" in "".join(message.text for message in sink.wait("chat", count=2))


@pytest.mark.soak
def test_a_warning_held_by_quiet_hours_is_told_when_they_end(sink, run):
    now = datetime.now(UTC)
    # They end with a minute: the next one, or the one after it where that comes too soon.
    end = (now + timedelta(seconds=75)).replace(second=0, microsecond=0)
    quiet_at(sink, run, now - timedelta(hours=1), end)
    assert "RedisDown" in sink.wait("chat")[0].text
    # Prometheus says it again every minute while it fires.
    (_, held) = sink.wait("chat", 180, count=2)
    assert "DiskSpaceLow" in held.text
    assert datetime.now(UTC) >= end


def test_a_test_alert_reaches_the_one_receiver_that_it_names_at_once_whatever_else_it_says(sink, run):
    quiet = {"days": ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]}
    receivers = every_kind(sink)
    receivers["chat"] |= {"quiet": quiet, "severities": ["warning"]}
    running = run(receivers, critical={"wait": "5s", "interval": "1m", "repeat": "4h"})
    running.post([firing("RedisDown"), firing("DockyardTest", severity="info", dockyard_test="chat")])
    (test,) = sink.wait("chat")
    for name in receivers.keys() - {"chat"}:
        (real,) = sink.wait(name)
        assert real.at > test.at and "DockyardTest" not in real.text, name
    assert told(sink, ["chat"]) == {"chat": 1}


def test_the_watchdog_calls_the_dead_man_s_switch_and_no_person(sink, run):
    running = run({"chat": {"type": "discord", "webhook": "chat-url"}}, heartbeat="heartbeat-url")
    running.post([firing("Watchdog", severity="info", scope="monitoring")])
    sink.wait("heartbeat")
    running.post([firing("RedisDown", scope="store")])
    (message,) = sink.wait("chat")
    assert "RedisDown" in message.text
    assert [group["receiver"]["name"] for group in running.get("alerts/groups")].count("chat") == 1


def test_in_development_only_those_are_told_who_ask_for_it(sink, run):
    asking = {"type": "webhook", "url": "asking-url", "environments": ["development"]}
    receivers = {"asking": asking, "other": {"type": "webhook", "url": "other-url"}}
    running = run(receivers, environment="development")
    running.post([firing("RedisDown", environment="development")])
    sink.wait("asking")
    running.wait_for_rounds()
    assert told(sink, receivers) == {"asking": 1, "other": 0}
