"""A sink with its mail server, and receivers of every kind that lead to it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.alertmanager import alertmanager
from tests.certificates import signed
from tests.sink.mail import MailServer
from tests.sink.server import Sink, running_sink

PAGERDUTY_KEY = "0123456789abcdef0123456789abcdef"
BOT = "123456:AAbbCCddEEff"
FAST = {
    "critical": {"wait": "1s", "interval": "2s", "repeat": "4h"},
    "rest": {"wait": "1s", "interval": "2s", "repeat": "12h"},
}
"""Paces at which a test need not wait."""


@pytest.fixture(scope="session")
def authority(tmp_path_factory) -> Path:
    """A folder with an authority's certificate and one of a mail server on this machine."""
    folder = tmp_path_factory.mktemp("authority")
    signed(folder, "localhost", "127.0.0.1")
    return folder


@pytest.fixture
def sink(authority) -> Iterator[Sink]:
    mail = MailServer(authority / "certificate.pem", authority / "key.pem", "dockyard", "mail-password")
    with running_sink(mail=mail) as running:
        running.tokens.update({"hook": "hook-token", "phone": "sms-token", "bell": "ntfy-token"})
        yield running


@pytest.fixture
def run(sink, authority, tmp_path):
    """Start an Alertmanager with receivers that are given, and the secrets of all that lead to the sink, or to `at`."""
    found = []

    def started(receivers: dict[str, Any], **more: Any) -> Any:
        at = more.pop("at", None)
        secrets = {f"{name}-url": at or sink.address(name, one["type"]) for name, one in receivers.items()}
        secrets |= {
            "mail-password": "mail-password",
            "mail-ca": (authority / "ca.pem").read_text(),
            "pagerduty-key": PAGERDUTY_KEY,
            "opsgenie-key": "opsgenie-key",
            "bot": BOT,
            "hook-token": "hook-token",
            "sms-token": "sms-token",
            "ntfy-token": "ntfy-token",
            "heartbeat-url": sink.address("heartbeat", "webhook"),
        }
        context = alertmanager(tmp_path / f"am{len(found)}", receivers, secrets, **{**FAST, **more})
        found.append(context)
        return context.__enter__()

    yield started
    for context in found:
        context.__exit__(None, None, None)


def every_kind(sink: Sink) -> dict[str, dict[str, Any]]:
    """Return a receiver of each kind, by a name of its own."""
    assert sink.mail
    return {
        "chat": {"type": "discord", "webhook": "chat-url"},
        "ops": {"type": "slack", "webhook": "ops-url", "channel": "#ops-love-parser"},
        "mail": {
            "type": "email",
            "to": ["mail@example.org", "second@example.org"],
            "from": "dockyard@example.org",
            "smarthost": f"localhost:{sink.mail.port}",
            "username": "dockyard",
            "password": "mail-password",
            "ca": "mail-ca",
        },
        "hook": {"type": "webhook", "url": "hook-url", "token": "hook-token"},
        "phone": {
            "type": "sms",
            "url": "phone-url",
            "token": "sms-token",
            "fields": {"to": "+33612345678"},
            "labels": {},
        },
        "pager": {"type": "pagerduty", "routing_key": "pagerduty-key", "url": sink.address("pager", "pagerduty")},
        "genie": {"type": "opsgenie", "api_key": "opsgenie-key", "url": sink.address("genie", "opsgenie")},
        "telegram": {
            "type": "telegram",
            "bot_token": "bot",
            "chat_id": -1001,
            "thread": 7,
            "url": sink.address("telegram", "telegram"),
        },
        "teams": {"type": "teams", "webhook": "teams-url"},
        "bell": {"type": "ntfy", "server": sink.address("bell", "ntfy"), "topic": "alerts", "token": "ntfy-token"},
    }
