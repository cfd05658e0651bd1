"""Who is told, over the wire: the routing of the products' own documents, quiet hours, environments, test alerts."""

import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import yaml

from tests.alerts.conftest import every_kind
from tests.support.alertmanager import firing

PRODUCTS = Path(__file__).resolve().parents[2] / "products"
SETTLED = 3.5
"""Seconds after which nothing more comes: a group's wait and an interval."""


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
    (critical,) = sink.wait("alertes-critiques", 10)
    (warning,) = sink.wait("monitoring", 10)
    assert "TumulteBackendDown" in critical.text and "HighRequestLatency" not in critical.text
    assert "HighRequestLatency" in warning.text and "TumulteBackendDown" not in warning.text
    assert "depuis" in critical.text.lower(), "its document is French"
    running.post([firing("HighRequestLatency", severity="warning", service="backend", ended=True)])
    (_, recovery) = sink.wait("monitoring", 10, count=2)
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
    (warning,) = sink.wait("slack-notifications", 10)
    assert warning.body["channel"] == "#ops-love-parser"
    running.post([alert("RedisDown", scope="store")])
    (mail,) = sink.wait("email-critical", 10)
    (page,) = sink.wait("pagerduty", 10)
    assert "RedisDown" in mail.text and "RedisDown" in page.text
    running.post([alert("PaymentCallbackFailures", notify_sms="true")])
    (sms,) = sink.wait("sms-escalation", 10)
    assert "PaymentCallbackFailures" in sms.text or "payment" in sms.text.lower()
    running.post([alert("RedisDown", scope="store", product="tumulte"), alert("RedisDown", environment="staging")])
    sink.wait("pagerduty", 10, count=2)
    time.sleep(SETTLED)
    assert told(sink, receivers) == {
        "slack-notifications": 1,
        "email-critical": 2,
        "pagerduty": 2,
        "sms-escalation": 1,
    }, "neither another product's nor another environment's"
    assert sink.refused() == []


def test_quiet_hours_hold_warnings_until_they_end_and_never_what_is_critical(sink, run):
    now = datetime.now(UTC)
    # They end with a minute: the next one, or the one after it where that comes too soon.
    end = (now + timedelta(seconds=75)).replace(second=0, microsecond=0)
    quiet = {"hours": f"{now - timedelta(hours=1):%H:%M}-{end:%H:%M}"}
    running = run({"chat": {"type": "discord", "webhook": "chat-url", "quiet": quiet}}, timezone="UTC")
    running.post([firing("DiskSpaceLow", severity="warning", scope="host"), firing("RedisDown", scope="store")])
    (first,) = sink.wait("chat", 10)
    assert "RedisDown" in first.text
    time.sleep(SETTLED)
    assert len(sink.told("chat")) == 1
    # Prometheus says it again every minute while it fires.
    left = (end - datetime.now(UTC)).total_seconds()
    (_, held) = sink.wait("chat", left + 10, count=2)
    assert "DiskSpaceLow" in held.text
    assert datetime.now(UTC) >= end


def test_a_test_alert_reaches_the_one_receiver_that_it_names_at_once_whatever_else_it_says(sink, run):
    quiet = {"days": ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]}
    receivers = every_kind(sink)
    receivers["chat"] |= {"quiet": quiet, "severities": ["warning"]}
    running = run(
        receivers,
        critical={"wait": "10s", "interval": "1m", "repeat": "4h"},
        rest={"wait": "30s", "interval": "5m", "repeat": "12h"},
    )
    began = time.monotonic()
    running.post([firing("DockyardTest", severity="info", dockyard_test="chat")])
    (message,) = sink.wait("chat", 5)
    assert message.at - began < 2
    time.sleep(SETTLED)
    assert told(sink, receivers) == {**dict.fromkeys(receivers, 0), "chat": 1}


def test_the_watchdog_calls_the_dead_man_s_switch_and_no_person(sink, run):
    running = run({"chat": {"type": "discord", "webhook": "chat-url"}}, heartbeat="heartbeat-url")
    running.post([firing("Watchdog", severity="info", scope="monitoring")])
    sink.wait("heartbeat", 5)
    time.sleep(SETTLED)
    assert told(sink, ["chat"]) == {"chat": 0}


def test_in_development_only_those_are_told_who_ask_for_it(sink, run):
    asking = {"type": "webhook", "url": "asking-url", "environments": ["development"]}
    receivers = {"asking": asking, "other": {"type": "webhook", "url": "other-url"}}
    running = run(receivers, environment="development")
    running.post([firing("RedisDown", environment="development")])
    sink.wait("asking", 10)
    time.sleep(SETTLED)
    assert told(sink, receivers) == {"asking": 1, "other": 0}
