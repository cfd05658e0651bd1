"""Who is told, over the wire: the routing of the products' own documents, quiet hours, environments, test alerts."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import yaml

from tests.support.alertmanager import firing
from tests.support.receivers import every_kind

PRODUCTS = Path(__file__).resolve().parents[2] / "products"


def alerts_of(product: str) -> dict:
    return yaml.safe_load((PRODUCTS / f"{product}.yaml").read_text())["alerts"]


def told(sink, names) -> dict[str, int]:
    return {name: len(sink.told(name)) for name in names}


def test_tumulte_hears_of_warnings_in_monitoring_and_of_what_is_critical_in_alertes_critiques(sink, run):
    said = alerts_of("tumulte")
    receivers = said.pop("receivers")
    for name, receiver in receivers.items():
        receiver["webhook"] = f"{name}-url"
    running = run(receivers, **said)
    running.post([firing("TumulteBackendDown", service="backend")])
    running.post([firing("HighRequestLatency", severity="warning", service="backend")])
    (critical,) = sink.wait("alertes-critiques")
    (warning,) = sink.wait("monitoring")
    assert "TumulteBackendDown" in critical.text and "HighRequestLatency" not in critical.text
    assert "HighRequestLatency" in warning.text and "TumulteBackendDown" not in warning.text
    assert "depuis" in critical.text.lower(), "its document is French"
    running.post([firing("HighRequestLatency", severity="warning", service="backend", ended=True)])
    (_, recovery) = sink.wait("monitoring", count=2)
    assert recovery.body["embeds"][0]["color"] == 0x2ECC71
    assert told(sink, receivers) == {"monitoring": 2, "alertes-critiques": 1}
    assert sink.refused() == []


def test_love_parser_hears_by_slack_mail_pagerduty_and_of_the_few_that_say_so_by_sms(sink, run):
    said = alerts_of("love-parser")
    receivers = said.pop("receivers")
    own = every_kind(sink)
    receivers["slack-notifications"]["webhook"] = "slack-notifications-url"
    mail = {key: own["mail"][key] for key in ("smarthost", "username", "password", "ca")}
    receivers["email-critical"] |= mail | {"to": ["email-critical@love-parser.example"]}
    receivers["sms-escalation"] |= {"url": "sms-escalation-url", "fields": {"to": "+33612345678"}}
    receivers["pagerduty"] |= {"url": sink.address("pagerduty", "pagerduty")}
    running = run(receivers, product="love-parser", **said)

    def alert(name, **labels):
        return firing(name, **{"product": "love-parser", **labels})

    running.post([alert("QueueDepthHigh", severity="warning", scope="queue")])
    (warning,) = sink.wait("slack-notifications")
    assert warning.body["channel"] == "#ops-love-parser"
    running.post([alert("RedisDown", scope="store")])
    (mail,) = sink.wait("email-critical")
    (page,) = sink.wait("pagerduty")
    assert "RedisDown" in mail.text and "RedisDown" in page.text
    running.post([alert("PaymentCallbackFailures", notify_sms="true")])
    (sms,) = sink.wait("sms-escalation")
    assert "PaymentCallbackFailures" in sms.text or "payment" in sms.text.lower()
    running.post([alert("RedisDown", scope="store", product="tumulte"), alert("RedisDown", environment="staging")])
    sink.wait("pagerduty", count=2)
    running.wait_for_rounds()
    assert told(sink, receivers) == {
        "slack-notifications": 1,
        "email-critical": 2,
        "pagerduty": 2,
        "sms-escalation": 1,
    }, "neither another product's nor another environment's"
    assert sink.refused() == []


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
