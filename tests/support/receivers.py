"""Receivers of every kind that lead to the sink."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.sink.server import Sink

PAGERDUTY_KEY = "0123456789abcdef0123456789abcdef"
BOT = "123456:AAbbCCddEEff"


def secrets_for(
    receivers: Mapping[str, Mapping[str, Any]], sink: Sink, authority: Path, at: str | None = None
) -> dict[str, str]:
    """Return the secrets that `every_kind` names; addresses lead to the sink, or to `at`."""
    return {
        **{f"{name}-url": at or sink.address(name, receiver["type"]) for name, receiver in receivers.items()},
        **{name: name for name in ("mail-password", "opsgenie-key", "hook-token", "sms-token", "ntfy-token")},
        "mail-ca": (authority / "ca.pem").read_text(),
        "pagerduty-key": PAGERDUTY_KEY,
        "bot": BOT,
        "heartbeat-url": sink.address("heartbeat", "webhook"),
    }


def every_kind(sink: Sink) -> dict[str, dict[str, Any]]:
    assert sink.mail
    mail = {"username": "dockyard", "password": "mail-password", "ca": "mail-ca"}
    telegram = {"type": "telegram", "bot_token": "bot", "url": sink.address("telegram", "telegram")}
    return {
        "chat": {"type": "discord", "webhook": "chat-url"},
        "ops": {"type": "slack", "webhook": "ops-url", "channel": "#ops-love-parser"},
        "mail": {
            **{"type": "email", "smarthost": f"localhost:{sink.mail.port}", **mail},
            **{"from": "dockyard@example.org", "to": ["mail@example.org", "second@example.org"]},
        },
        "hook": {"type": "webhook", "url": "hook-url", "token": "hook-token"},
        "phone": {
            **{"type": "sms", "url": "phone-url", "token": "sms-token"},
            **{"fields": {"to": "+33612345678"}, "labels": {}},
        },
        "pager": {"type": "pagerduty", "routing_key": "pagerduty-key", "url": sink.address("pager", "pagerduty")},
        "genie": {"type": "opsgenie", "api_key": "opsgenie-key", "url": sink.address("genie", "opsgenie")},
        "telegram": {**telegram, "chat_id": -1001, "thread": 7},
        "teams": {"type": "teams", "webhook": "teams-url"},
        "bell": {"type": "ntfy", "server": sink.address("bell", "ntfy"), "topic": "alerts", "token": "ntfy-token"},
    }
