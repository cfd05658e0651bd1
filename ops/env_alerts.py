"""The variables that say who hears of alerts: each is a receiver's secret or setting."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ops.env_plan import Plan, Verdict
from settings.receivers import Receiver

ADDRESSES = frozenset({"webhook", "url"})
"""Fields whose secret is an address."""

RECEIVERS = ("alerts", "receivers")
HEARTBEATS = ("HEARTBEAT_URL", "HEALTHCHECKS_URL", "DEADMANSSNITCH_URL", "DEAD_MANS_SNITCH_URL")
HEARTBEAT_SECRET = "heartbeat-url"  # noqa: S105 - its name
NO_PLACE = {
    "TWILIO_": "Twilio's own API takes forms: SMS_WEBHOOK_URL is for a gateway that takes JSON",
    "SMTP_": "no setting of an e-mail receiver: SMTP_HOST, _PORT, _FROM, _TO, _USERNAME and _PASSWORD are",
    "DISCORD_": "no setting of a Discord receiver: DISCORD_MONITORING_WEBHOOK_URL and DISCORD_CRITICAL_WEBHOOK_URL are",
    "SLACK_": "no setting of a Slack receiver: SLACK_WEBHOOK_URL and SLACK_CHANNEL are",
    "PAGERDUTY_": "no setting of a PagerDuty receiver: PAGERDUTY_ROUTING_KEY is",
}


def _list(text: str) -> list[str]:
    return [part.strip() for part in text.replace(";", ",").split(",") if part.strip()]


def _number(text: str) -> int | str:
    """Return a number; what is none is for the settings to refuse."""
    return int(text) if text.removeprefix("-").isdigit() else text


@dataclass(frozen=True)
class Kind:
    """How a receiver stands in `.env` files."""

    type: str
    name: str
    """Of the receiver that is made where the stack has none of its kind. The seeds' own names, where they have one."""

    secrets: Mapping[str, str]
    """Variable → field that names a secret."""

    defaults: Mapping[str, str]
    """Field → the secret's name where a receiver is made."""

    settings: Mapping[str, tuple[str, Callable[[str], Any]]] = field(default_factory=dict)
    """Variable → field in the stack file, and how its value is read."""

    needs: tuple[str, ...] = ()
    """Fields without which there is no such receiver."""

    severities: tuple[str, ...] = ()
    """What one that is made takes. None: everything."""

    suits: Callable[[Receiver], bool] = lambda _: True
    """Which receiver of its type the variables are for."""


KINDS = (
    Kind(
        "discord",
        "monitoring",
        {"DISCORD_MONITORING_WEBHOOK_URL": "webhook", "DISCORD_WEBHOOK_URL": "webhook"},
        {"webhook": "discord-monitoring"},
        needs=("webhook",),
        severities=("warning", "info"),
        suits=lambda receiver: "warning" in receiver.severities,
    ),
    Kind(
        "discord",
        "alertes-critiques",
        {"DISCORD_CRITICAL_WEBHOOK_URL": "webhook"},
        {"webhook": "discord-critical"},
        needs=("webhook",),
        severities=("critical",),
        suits=lambda receiver: "critical" in receiver.severities,
    ),
    Kind(
        "slack",
        "slack-notifications",
        {"SLACK_WEBHOOK_URL": "webhook", "SLACK_API_URL": "webhook"},
        {"webhook": "slack-webhook"},
        {"SLACK_CHANNEL": ("channel", str)},
        needs=("webhook",),
    ),
    Kind(
        "email",
        "email-critical",
        {"SMTP_PASSWORD": "password", "SMTP_AUTH_PASSWORD": "password", "SMTP_PASS": "password"},
        {"password": "smtp-password"},
        {
            **dict.fromkeys(("SMTP_TO", "ALERT_EMAIL_TO", "ALERT_EMAIL"), ("to", _list)),
            **dict.fromkeys(("SMTP_FROM", "ALERT_EMAIL_FROM"), ("from", str)),
            "SMTP_SMARTHOST": ("smarthost", str),
            **dict.fromkeys(("SMTP_USERNAME", "SMTP_USER", "SMTP_AUTH_USERNAME"), ("username", str)),
        },
        needs=("to", "from", "smarthost"),
        severities=("critical",),
    ),
    Kind(
        "pagerduty",
        "pagerduty",
        dict.fromkeys(("PAGERDUTY_ROUTING_KEY", "PAGERDUTY_INTEGRATION_KEY", "PAGERDUTY_SERVICE_KEY"), "routing_key"),
        {"routing_key": "pagerduty-key"},
        needs=("routing_key",),
        severities=("critical",),
    ),
    Kind(
        "sms",
        "sms-escalation",
        {
            **dict.fromkeys(("SMS_WEBHOOK_URL", "SMS_URL", "TWILIO_WEBHOOK_URL"), "url"),
            **dict.fromkeys(("SMS_WEBHOOK_TOKEN", "SMS_TOKEN"), "token"),
        },
        {"url": "sms-url", "token": "sms-token"},
        {"SMS_TO": ("fields.to", str)},
        needs=("url",),
    ),
    Kind(
        "opsgenie",
        "opsgenie",
        {"OPSGENIE_API_KEY": "api_key"},
        {"api_key": "opsgenie-key"},
        needs=("api_key",),
        severities=("critical",),
    ),
    Kind(
        "telegram",
        "telegram",
        {"TELEGRAM_BOT_TOKEN": "bot_token"},
        {"bot_token": "telegram-bot-token"},
        {
            "TELEGRAM_CHAT_ID": ("chat_id", _number),
            **dict.fromkeys(("TELEGRAM_THREAD_ID", "TELEGRAM_MESSAGE_THREAD_ID"), ("thread", _number)),
        },
        needs=("bot_token", "chat_id"),
    ),
    Kind(
        "teams",
        "teams",
        dict.fromkeys(("TEAMS_WEBHOOK_URL", "MSTEAMS_WEBHOOK_URL"), "webhook"),
        {"webhook": "teams-webhook"},
        needs=("webhook",),
    ),
    Kind(
        "ntfy",
        "ntfy",
        {"NTFY_TOKEN": "token"},
        {"token": "ntfy-token"},
        {
            "NTFY_TOPIC": ("topic", str),
            **dict.fromkeys(("NTFY_URL", "NTFY_SERVER"), ("server", str)),
        },
        needs=("topic",),
    ),
)


def alerts(plan: Plan) -> None:
    """Say what becomes of the variables of receivers and of the dead man's switch."""
    for kind in KINDS:
        given = _given(plan, kind)
        if kind.type == "email":
            given = _smarthost(plan) | given
        if given:
            _take(plan, kind, given)
    for name in ("SMTP_HOST", "SMTP_PORT"):
        whole = "SMTP_SMARTHOST" if plan.given("SMTP_SMARTHOST") else "SMTP_HOST"
        if plan.value(name) is not None and plan.given(whole):
            plan.tell(name, Verdict.ALREADY, f"part of what {whole} says")
    for name in HEARTBEATS:
        if (value := plan.value(name)) is None:
            continue
        have = plan.now.alerts.heartbeat
        if plan.environment == "development":
            plan.tell(name, Verdict.LEFT, "development calls no dead man's switch: it may stop at any time")
        elif _is_address(value):
            plan.named_secret(name, ("alerts", "heartbeat"), have or HEARTBEAT_SECRET, value, have)
        else:
            plan.tell(name, Verdict.LEFT, "no address: https://…")


def alert_hint(variable: str) -> str | None:
    """Return why a variable of some channel has no place, None where it is of none."""
    return next((text for prefix, text in NO_PLACE.items() if variable.startswith(prefix)), None)


def _is_address(value: str) -> bool:
    return value.startswith(("https://", "http://"))


def _smarthost(plan: Plan) -> dict[str, tuple[str, Any]]:
    """Return the mail server by SMTP_HOST and SMTP_PORT, where no SMTP_SMARTHOST says both."""
    host, port = plan.value("SMTP_HOST"), plan.value("SMTP_PORT")
    if host is None or plan.given("SMTP_SMARTHOST"):
        return {}
    return {"smarthost": ("SMTP_HOST", host if ":" in host else f"{host}:{port or 587}")}


def _take(plan: Plan, kind: Kind, given: dict[str, tuple[str, Any]]) -> None:
    """Put what the file gives of one kind into its receiver, or into a new one."""
    name, there = _receiver(plan, kind)
    if reason := _no_use(plan, kind, given, there):
        for variable, _ in given.values():
            plan.tell(variable, Verdict.LEFT, reason)
        return
    if there is None:
        given = _with_whole_login(plan, given)
        first = next(iter(given.values()))[0]
        plan.quietly(first, (*RECEIVERS, name, "type"), kind.type)
        # One channel alone is told of everything.
        if kind.severities and not (kind.name == "monitoring" and not plan.given("DISCORD_CRITICAL_WEBHOOK_URL")):
            plan.quietly(first, (*RECEIVERS, name, "severities"), list(kind.severities))
    for one, (variable, value) in given.items():
        place = (*RECEIVERS, name, *one.split("."))
        have = _said(there, one)
        if one in kind.defaults:
            plan.named_secret(variable, place, have or kind.defaults[one], value, have)
        else:
            plan.setting(variable, place, value, have)


def _no_use(plan: Plan, kind: Kind, given: Mapping[str, Any], there: Receiver | None) -> str | None:
    if plan.environment not in (there.environments if there else ("staging", "production")):
        return f"{plan.environment} tells nobody: `environments` of a receiver says otherwise"
    missing = [one for one in kind.needs if one not in given] if there is None else []
    return f"for a receiver of the type {kind.type} {_variable(kind, missing[0])} is missing" if missing else None


def _with_whole_login(plan: Plan, given: dict[str, tuple[str, Any]]) -> dict[str, tuple[str, Any]]:
    half = {"username", "password"} & given.keys()
    if len(half) != 1:
        return given
    plan.tell(given[half.pop()][0], Verdict.LEFT, "user name and password together, or neither")
    return {one: said for one, said in given.items() if one not in ("username", "password")}


def _given(plan: Plan, kind: Kind) -> dict[str, tuple[str, Any]]:
    """Return field → the variable that gives it, and its value. Of several names of one field the first counts."""
    found: dict[str, tuple[str, Any]] = {}
    fields: dict[str, tuple[str, Callable[[str], Any]]] = {name: (one, str) for name, one in kind.secrets.items()}
    fields |= kind.settings
    for variable, (one, read) in fields.items():
        if (value := plan.value(variable)) is None:
            continue
        if one in ADDRESSES and not _is_address(value):
            plan.tell(variable, Verdict.LEFT, "no address of a webhook: https://…")
        elif one in found:
            first, said = found[one]
            same = read(value) == said
            text = f"the same as {first}" if same else f"not used: {first} says something else"
            plan.tell(variable, Verdict.ALREADY if same else Verdict.DIFFERS, text)
        else:
            found[one] = variable, read(value)
    return found


def _receiver(plan: Plan, kind: Kind) -> tuple[str, Receiver | None]:
    """Return the receiver that the variables are for: by its name, else the first that suits, else a new one."""
    those = {name: one for name, one in plan.now.alerts.receivers.items() if one.type == kind.type}
    if kind.name in those:
        return kind.name, those[kind.name]
    suiting = [name for name, one in those.items() if kind.suits(one)]
    if suiting:
        return suiting[0], those[suiting[0]]
    taken = plan.now.alerts.receivers.keys()
    return (f"{kind.type}-imported" if kind.name in taken else kind.name), None


def _said(receiver: Receiver | None, one: str) -> Any:
    if receiver is None:
        return None
    head, *rest = one.split(".")
    value = getattr(receiver, "sender" if head == "from" else head, None)
    return value.get(rest[0]) if rest and isinstance(value, dict) else value


def _variable(kind: Kind, one: str) -> str:
    """Return the first variable that gives a field."""
    fields = {**kind.secrets, **{variable: found for variable, (found, _) in kind.settings.items()}}
    return next(variable for variable, found in fields.items() if found == one)
