"""The dotenv variables of alert receivers: each is a secret or a setting of a receiver."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ops.dotenv.plan import ImportPlan, Verdict
from settings.alerts import Receiver

ADDRESSES = frozenset({"webhook", "url"})
"""Fields whose secret is a URL."""

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
    """Return an integer, or the text as it is: the settings then reject it."""
    return int(text) if text.removeprefix("-").isdigit() else text


@dataclass(frozen=True)
class Kind:
    """How `.env` files describe one kind of receiver."""

    type: str
    name: str
    """Name of the receiver to create if the stack has none of its kind: the seeds' own name, if they have one."""

    secrets: Mapping[str, str]
    """Variable → receiver field that names the secret."""

    defaults: Mapping[str, str]
    """Field → default name of the secret, for a new receiver."""

    settings: Mapping[str, tuple[str, Callable[[str], Any]]] = field(default_factory=dict)
    """Variable → field in the stack file, and the parser of its value."""

    needs: tuple[str, ...] = ()
    """Required fields of a new receiver."""

    severities: tuple[str, ...] = ()
    """Severities of a new receiver; empty: all."""

    suits: Callable[[Receiver], bool] = lambda _: True
    """Whether the variables apply to an existing receiver of the type."""


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


def alerts(plan: ImportPlan) -> None:
    """Plan the import of the variables of receivers and of the dead man's switch."""
    for kind in KINDS:
        fields = _read_fields(plan, kind)
        if kind.type == "email":
            fields = _smarthost(plan) | fields
        if fields:
            _fill_receiver(plan, kind, fields)
    for name in ("SMTP_HOST", "SMTP_PORT"):
        whole = "SMTP_SMARTHOST" if plan.real_value("SMTP_SMARTHOST") else "SMTP_HOST"
        if plan.value(name) is not None and plan.real_value(whole):
            plan.add_row(name, Verdict.ALREADY, f"part of what {whole} says")
    for name in HEARTBEATS:
        if (value := plan.value(name)) is None:
            continue
        current = plan.effective.alerts.heartbeat
        if plan.environment == "development":
            plan.add_row(name, Verdict.SKIPPED, "development calls no dead man's switch: it may stop at any time")
        elif _is_address(value):
            plan.named_secret(name, ("alerts", "heartbeat"), current or HEARTBEAT_SECRET, value, current)
        else:
            plan.add_row(name, Verdict.SKIPPED, "no address: https://…")


def alert_hint(variable: str) -> str | None:
    """Return why a variable of a known channel cannot be imported, None for any other variable."""
    return next((text for prefix, text in NO_PLACE.items() if variable.startswith(prefix)), None)


def _is_address(value: str) -> bool:
    return value.startswith(("https://", "http://"))


def _smarthost(plan: ImportPlan) -> dict[str, tuple[str, Any]]:
    """Return the mail server from SMTP_HOST and SMTP_PORT, unless SMTP_SMARTHOST names both."""
    host, port = plan.value("SMTP_HOST"), plan.value("SMTP_PORT")
    if host is None or plan.real_value("SMTP_SMARTHOST"):
        return {}
    return {"smarthost": ("SMTP_HOST", host if ":" in host else f"{host}:{port or 587}")}


def _fill_receiver(plan: ImportPlan, kind: Kind, fields: dict[str, tuple[str, Any]]) -> None:
    """Set the imported fields of one kind on its receiver, or on a new one."""
    name, receiver = _receiver(plan, kind)
    if reason := _reason_to_skip(plan, kind, fields, receiver):
        for variable, _ in fields.values():
            plan.add_row(variable, Verdict.SKIPPED, reason)
        return
    if receiver is None:
        fields = _with_whole_login(plan, fields)
        first = next(iter(fields.values()))[0]
        plan.edit(first, (*RECEIVERS, name, "type"), kind.type)
        # A single channel gets all severities.
        if kind.severities and not (kind.name == "monitoring" and not plan.real_value("DISCORD_CRITICAL_WEBHOOK_URL")):
            plan.edit(first, (*RECEIVERS, name, "severities"), list(kind.severities))
    for field_name, (variable, value) in fields.items():
        place = (*RECEIVERS, name, *field_name.split("."))
        current = _current_value(receiver, field_name)
        if field_name in kind.defaults:
            plan.named_secret(variable, place, current or kind.defaults[field_name], value, current)
        else:
            plan.setting(variable, place, value, current)


def _reason_to_skip(plan: ImportPlan, kind: Kind, fields: Mapping[str, Any], receiver: Receiver | None) -> str | None:
    if plan.environment not in (receiver.environments if receiver else ("staging", "production")):
        return f"{plan.environment} tells nobody: `environments` of a receiver says otherwise"
    missing = [field_name for field_name in kind.needs if field_name not in fields] if receiver is None else []
    return f"for a receiver of the type {kind.type} {_variable(kind, missing[0])} is missing" if missing else None


def _with_whole_login(plan: ImportPlan, fields: dict[str, tuple[str, Any]]) -> dict[str, tuple[str, Any]]:
    half = {"username", "password"} & fields.keys()
    if len(half) != 1:
        return fields
    plan.add_row(fields[half.pop()][0], Verdict.SKIPPED, "user name and password together, or neither")
    return {field_name: source for field_name, source in fields.items() if field_name not in ("username", "password")}


def _read_fields(plan: ImportPlan, kind: Kind) -> dict[str, tuple[str, Any]]:
    """Return field → its variable and value. Of several variables for one field the first counts."""
    fields: dict[str, tuple[str, Any]] = {}
    readers: dict[str, tuple[str, Callable[[str], Any]]] = {
        name: (field_name, str) for name, field_name in kind.secrets.items()
    }
    readers |= kind.settings
    for variable, (field_name, read) in readers.items():
        if (value := plan.value(variable)) is None:
            continue
        if field_name in ADDRESSES and not _is_address(value):
            plan.add_row(variable, Verdict.SKIPPED, "no address of a webhook: https://…")
        elif field_name in fields:
            first, first_value = fields[field_name]
            same = read(value) == first_value
            text = f"the same as {first}" if same else f"not used: {first} says something else"
            plan.add_row(variable, Verdict.ALREADY if same else Verdict.DIFFERS, text)
        else:
            fields[field_name] = variable, read(value)
    return fields


def _receiver(plan: ImportPlan, kind: Kind) -> tuple[str, Receiver | None]:
    """Return the receiver to change: the one of the default name, else the first that suits, else a new one."""
    same_type = {
        name: receiver for name, receiver in plan.effective.alerts.receivers.items() if receiver.type == kind.type
    }
    if kind.name in same_type:
        return kind.name, same_type[kind.name]
    suiting = [name for name, receiver in same_type.items() if kind.suits(receiver)]
    if suiting:
        return suiting[0], same_type[suiting[0]]
    existing = plan.effective.alerts.receivers.keys()
    return (f"{kind.type}-imported" if kind.name in existing else kind.name), None


def _current_value(receiver: Receiver | None, field_name: str) -> Any:
    if receiver is None:
        return None
    head, *rest = field_name.split(".")
    value = getattr(receiver, "sender" if head == "from" else head, None)
    return value.get(rest[0]) if rest and isinstance(value, dict) else value


def _variable(kind: Kind, field_name: str) -> str:
    """Return the first variable that sets a field."""
    fields = {**kind.secrets, **{variable: target for variable, (target, _) in kind.settings.items()}}
    return next(variable for variable, target in fields.items() if target == field_name)
