"""Every kind of receiver is told of an alert and of its end, in what the channel itself takes."""

import html

import pytest

from tests.support.alertmanager import firing
from tests.support.receivers import BOT, PAGERDUTY_KEY, every_kind

KINDS = ("chat", "ops", "mail", "hook", "phone", "pager", "genie", "telegram", "teams", "bell")
LINKED = tuple(name for name in KINDS if name != "phone")  # who gets links: in 160 characters there is no room for one


def backend(**more):
    return firing("TumulteBackendDown", service="backend", **more)


@pytest.fixture
def told(sink, run):
    running = run(every_kind(sink), language="en")
    running.post([backend()])
    for name in KINDS:
        sink.wait(name)
    running.post([backend(ended=True)])
    found = {name: sink.wait(name, count=2) for name in KINDS}
    assert sink.refused() == []
    assert {name: len(messages) for name, messages in found.items()} == dict.fromkeys(KINDS, 2)
    return found


def test_every_kind_is_told_of_an_alert_and_of_its_end_with_what_a_person_needs(told):
    for name, (fired, ended) in told.items():
        if name != "genie":  # Opsgenie's own end of an alert says nothing but which
            assert "TumulteBackendDown" in ended.text, name
        text = html.unescape(fired.text)
        assert "TumulteBackendDown" in text, name
        assert "tumulte" in text, name
        if name in LINKED:
            assert "https://grafana.example.org/d/dockyard-runbooks" in text, name
            assert "https://grafana.example.org/d/dockyard-overview" in text, name
        if name not in ("phone", "genie", "pager", "hook"):
            assert fired.text != ended.text, name

    # What of each channel is its own.
    chat, ops, mail, hook, pager, genie = (told[one] for one in ("chat", "ops", "mail", "hook", "pager", "genie"))
    assert [one.body["embeds"][0]["color"] for one in chat] == [0x992D22, 0x2ECC71], "red, then green"
    assert {one.body["channel"] for one in ops} == {"#ops-love-parser"}
    assert ops[0].body["attachments"][0]["color"] != ops[1].body["attachments"][0]["color"]
    for one in mail:
        assert one.body.tls and one.body.login == "dockyard"
        assert one.body.recipients == ("mail@example.org", "second@example.org")
        assert {part.get_content_type() for part in one.body.message.walk()} >= {"text/plain", "text/html"}
    assert [one.body["status"] for one in hook] == ["firing", "resolved"]
    assert {one.body["alerts"][0]["labels"]["service"] for one in hook} == {"backend"}
    assert [one.body["event_action"] for one in pager] == ["trigger", "resolve"]
    assert len({one.body["dedup_key"] for one in pager}) == 1, "the end closes the incident that was opened"
    assert {one.body["routing_key"] for one in pager} == {PAGERDUTY_KEY}
    assert pager[0].body["payload"]["severity"] == "critical"
    assert genie[1].request.path == f"/v2/alerts/{genie[0].body['alias']}/close?identifierType=alias"
    assert told["telegram"][0].request.path == f"/bot{BOT}/sendMessage"
    assert told["telegram"][0].body["chat_id"] == -1001
    assert told["telegram"][0].body["message_thread_id"] == 7
    assert told["bell"][0].body["topic"] == "alerts"
    assert {one.body["to"].strip() for one in told["phone"]} == {"+33612345678"}
    assert all(0 < len(one.body["text"]) <= 160 for one in told["phone"])


def test_what_is_long_is_cut_to_what_each_channel_takes(sink, run):
    running = run(every_kind(sink))
    long = "Ein Grund mit <b> & \"Zeichen\" 'darin', der nicht enden will. " * 200
    alerts = [firing("HighRequestLatency", service=f"service-{number}") for number in range(60)]
    for alert in alerts:
        alert["annotations"] |= {"summary": long[:2000], "description": long}
    running.post(alerts)
    for name in KINDS:
        (first, *_) = sink.wait(name)
        assert "HighRequestLatency" in first.text, name
        assert "60" in first.text, name
    assert sink.refused() == []


def test_who_wants_no_recoveries_is_told_of_none(sink, run):
    two = {"told": {"type": "webhook", "url": "told-url"}}
    two["spared"] = {"type": "webhook", "url": "spared-url", "recoveries": False}
    running = run(two)
    running.post([backend()])
    sink.wait("spared")
    running.post([backend(ended=True)])
    sink.wait("told", count=2)
    running.post([firing("RedisDown", scope="store", service="redis")])
    sink.wait("spared", count=2)
    assert [one.body["status"] for one in sink.told("spared")] == ["firing", "firing"]
