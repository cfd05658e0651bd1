"""Ten thousand alerts at once: a handful of messages in each channel, and none of the alerts is left out of them."""

import json
import re
import time
from collections import Counter

from settings.alerts import Alerts
from tests.alerts.conftest import every_kind
from tests.alerts.examples import known, storm

ALERTS = 10_000
BATCH = 500
MOST_MESSAGES = 20
PACES = {name: {**pace, "wait": "45s"} for name, pace in Alerts().model_dump(include={"critical", "rest"}).items()}
"""The defaults, but for the wait before a group's first message: a busy machine takes longer to post all of them than
the 10 s of a critical group, and what comes later is told again with what was told before."""


def count(text: str) -> int:
    """Return of how many alerts a message tells."""
    found = re.search(r"(\d+) alerts? firing", text)
    assert found, text[:300]
    return int(found[1])


def test_ten_thousand_alerts_at_once_are_a_handful_of_messages_that_leave_none_out(sink, run):
    receivers = every_kind(sink)
    # Channels that are told of everything, beside Tumulte's two and those of who is called.
    for name in ("chat", "teams", "genie", "telegram", "bell"):
        del receivers[name]
    for name in ("mail", "pager", "phone"):
        receivers[name]["severities"] = ["critical"]
    for name, severities in {"monitoring": ["warning", "info"], "alertes-critiques": ["critical"]}.items():
        receivers[name] = {"type": "discord", "webhook": f"{name}-url", "severities": severities}
    running = run(receivers, **PACES)
    alerts = storm(ALERTS)
    assert len({json.dumps(one["labels"], sort_keys=True) for one in alerts}) == ALERTS
    severities = Counter(one["labels"]["severity"] for one in alerts)
    began = time.monotonic()
    for start in range(0, ALERTS, BATCH):
        running.post(alerts[start : start + BATCH])
    posted = time.monotonic() - began

    expected = dict.fromkeys(receivers, ALERTS)
    expected |= dict.fromkeys(("mail", "pager", "phone", "alertes-critiques"), severities["critical"])
    expected["monitoring"] = ALERTS - severities["critical"]
    told: dict[str, int] = {}
    while told != expected and time.monotonic() - began < 120:
        time.sleep(1)
        told = {name: sum(count(one.text) for one in sink.told(name) if name != "hook") for name in receivers}
        told["hook"] = sum(len(one.body["alerts"]) for one in sink.told("hook"))
    lasted = max(one.at for one in sink.messages) - began
    messages = {name: len(sink.told(name)) for name in receivers}
    longest = max(len(one.text) for one in sink.messages if one.kind != "webhook")
    print(  # noqa: T201 - figures worth seeing
        f"{ALERTS} alerts of {len(known())} kinds ({dict(severities)}), posted in {posted:.1f} s, told in"
        f" {lasted:.0f} s; messages: {messages}; the longest text: {longest} characters"
    )
    assert sink.refused() == []
    assert told == expected
    assert max(messages.values()) <= MOST_MESSAGES, messages
    assert running.get("alerts", active="false", silenced="false", inhibited="true") == []
    labels = {json.dumps(one["labels"], sort_keys=True) for told in sink.told("hook") for one in told.body["alerts"]}
    assert len(labels) == ALERTS, "each of them once"
