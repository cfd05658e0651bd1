"""Thousands of alerts at once: a handful of messages in each channel, and none of the alerts is left out of them."""

import itertools
import json
import re
from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest

from settings.alerts import Alerts
from tests.support.receivers import every_kind
from tests.support.shipped_rules import CASES
from tests.support.waiting import wait_until

BATCH = 500
MOST_MESSAGES = 20
PRODUCT = {"product": "tumulte", "environment": "production"}
APART = ("instance", "job", "service", "container")
"""Labels that tell one thing from another: with values of its own no alert is another's consequence."""


def known():
    """Return every alert that the rules' tests expect of this product, as labels and annotations, each once: without
    the Watchdog, and HostDown, which silences what runs on the host."""
    alerts = {}
    for _, case in CASES:
        for alert in case["exp_alerts"]:
            labels = {**PRODUCT, "alertname": case["alertname"], **alert["exp_labels"]}
            if labels.items() >= PRODUCT.items() and case["alertname"] not in ("Watchdog", "HostDown"):
                alerts[str(sorted(labels.items()))] = {"labels": labels, "annotations": alert["exp_annotations"]}
    return alerts.values()


def storm(number):
    now = datetime.now(UTC)
    times = {"startsAt": now.isoformat(), "endsAt": (now + timedelta(minutes=30)).isoformat()}
    raised = []
    for at, alert in zip(range(number), itertools.cycle(known()), strict=False):
        labels = {name: str(value) for name, value in alert["labels"].items()}
        labels |= {name: f"{labels.get(name, name)}-{at}" for name in APART}
        raised.append({"labels": labels, "annotations": alert["annotations"], **times})
    return raised


def count(text: str) -> int:
    """Return of how many alerts a message tells."""
    match = re.search(r"(\d+) alerts? firing", text)
    assert match, text[:300]
    return int(match[1])


# What comes after a group's first message is told again with what was told before: the wait is as long as a busy
# machine takes to post all of them. The interval is how soon a message that failed is tried again.
@pytest.mark.parametrize(("alerts", "wait"), [(1_000, "30s"), pytest.param(10_000, "45s", marks=pytest.mark.soak)])
def test_a_storm_of_alerts_is_a_handful_of_messages_that_leave_none_out(alerts, wait, sink, run):
    receivers = every_kind(sink)
    # Channels that are told of everything, beside Tumulte's two and those of who is called.
    for name in ("chat", "teams", "genie", "telegram", "bell"):
        del receivers[name]
    for name in ("mail", "pager", "phone"):
        receivers[name]["severities"] = ["critical"]
    for name, severities in {"monitoring": ["warning", "info"], "alertes-critiques": ["critical"]}.items():
        receivers[name] = {"type": "discord", "webhook": f"{name}-url", "severities": severities}
    defaults = Alerts().model_dump(include={"critical", "rest"})
    running = run(receivers, **{name: {**pace, "wait": wait, "interval": "10s"} for name, pace in defaults.items()})
    raised = storm(alerts)
    assert len({json.dumps(one["labels"], sort_keys=True) for one in raised}) == alerts
    for start in range(0, alerts, BATCH):
        running.post(raised[start : start + BATCH])

    critical = Counter(one["labels"]["severity"] for one in raised)["critical"]
    expected = dict.fromkeys(receivers, alerts)
    expected |= dict.fromkeys(("mail", "pager", "phone", "alertes-critiques"), critical)
    expected["monitoring"] = alerts - critical

    def counted() -> dict[str, int]:
        counts = {name: sum(count(message.text) for message in sink.told(name)) for name in receivers.keys() - {"hook"}}
        return {**counts, "hook": sum(len(message.body["alerts"]) for message in sink.told("hook"))}

    wait_until(lambda: counted() == expected, "all alerts are told", 180, details=lambda: f"{counted()} of {expected}")
    assert sink.refused() == []
    messages = {name: len(sink.told(name)) for name in receivers}
    assert max(messages.values()) <= MOST_MESSAGES, messages
    assert running.get("alerts", active="false", silenced="false", inhibited="true") == []
    labels = {
        json.dumps(alert["labels"], sort_keys=True) for message in sink.told("hook") for alert in message.body["alerts"]
    }
    assert len(labels) == alerts, "each of them once"
