"""The dotenv variables of alert receivers: each is a secret or a setting of a receiver, by receivers.yaml."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from ops.dotenv.plan import ImportPlan, Verdict
from settings.alerts import Receiver

ADDRESSES = frozenset({"webhook", "url"})
"""Fields whose secret is a URL."""

RECEIVERS = ("alerts", "receivers")
HEARTBEATS = ("HEARTBEAT_URL", "HEALTHCHECKS_URL", "DEADMANSSNITCH_URL", "DEAD_MANS_SNITCH_URL")
HEARTBEAT_SECRET = "heartbeat-url"  # noqa: S105 - its name


def _number(text: str) -> int | str:
    """Return an integer, or the text as it is: the settings then reject it."""
    return int(text) if text.removeprefix("-").isdigit() else text


PARSERS: Mapping[str, Callable[[str], Any]] = {
    "text": str,
    "list": lambda text: [part.strip() for part in text.replace(";", ",").split(",") if part.strip()],
    "number": _number,
}


@dataclass(frozen=True)
class ReceiverField:
    """One field of a receiver, and the variables that hold its value."""

    variables: tuple[str, ...]
    secret: str = ""
    """Default name of the secret, if the field names one."""

    parse: str = "text"


@dataclass(frozen=True)
class ReceiverKind:
    """How `.env` files describe one kind of receiver: receivers.yaml explains the fields."""

    type: str
    name: str
    fields: Mapping[str, ReceiverField]
    needs: tuple[str, ...]
    severities: tuple[str, ...] = ()
    existing: str = ""


_TABLE = yaml.safe_load(Path(__file__).with_suffix(".yaml").read_text())
HINTS: Mapping[str, str] = _TABLE["hints"]
"""Prefix of a variable → why it cannot be imported."""

KINDS = [
    ReceiverKind(**{**kind, "fields": {name: ReceiverField(**field) for name, field in kind["fields"].items()}})
    for kind in _TABLE["kinds"]
]

Fields = dict[str, tuple[str, Any]]
"""Field → its variable and value."""


def receivers(plan: ImportPlan) -> None:
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
            plan.add_row(name, Verdict.ALREADY, f"part of {whole}")
    for name in HEARTBEATS:
        if (value := plan.value(name)) is None:
            continue
        current = plan.effective.alerts.heartbeat
        if plan.environment == "development":
            plan.add_row(name, Verdict.SKIPPED, "development has no dead man's switch: it may stop at any time")
        elif _is_address(value):
            plan.named_secret(name, ("alerts", "heartbeat"), current or HEARTBEAT_SECRET, value, current)
        else:
            plan.add_row(name, Verdict.SKIPPED, "not an address: https://…")


def _is_address(value: str) -> bool:
    return value.startswith(("https://", "http://"))


def _smarthost(plan: ImportPlan) -> Fields:
    """Return the mail server from SMTP_HOST and SMTP_PORT, unless SMTP_SMARTHOST names both."""
    host, port = plan.value("SMTP_HOST"), plan.value("SMTP_PORT")
    if host is None or plan.real_value("SMTP_SMARTHOST"):
        return {}
    return {"smarthost": ("SMTP_HOST", host if ":" in host else f"{host}:{port or 587}")}


def _read_fields(plan: ImportPlan, kind: ReceiverKind) -> Fields:
    """Read the fields of one kind. Of several variables for one field the first counts."""
    fields: Fields = {}
    for field_name, field in kind.fields.items():
        for variable in field.variables:
            if (text := plan.value(variable)) is None:
                continue
            value = PARSERS[field.parse](text)
            if field_name in ADDRESSES and not _is_address(text):
                plan.add_row(variable, Verdict.SKIPPED, "not a webhook address: https://…")
            elif field_name in fields:
                first, first_value = fields[field_name]
                plan.compare(variable, value == first_value, f"the same as {first}", f"{first} has another value")
            else:
                fields[field_name] = variable, value
    return fields


def _fill_receiver(plan: ImportPlan, kind: ReceiverKind, fields: Fields) -> None:
    """Set the imported fields of one kind on its receiver, or on a new one."""
    name, receiver = _receiver(plan, kind)
    if reason := _reason_to_skip(plan, kind, fields, receiver):
        for variable, _ in fields.values():
            plan.add_row(variable, Verdict.SKIPPED, reason)
        return
    if receiver is None:
        half = {"username", "password"} & fields.keys()
        if len(half) == 1:
            variable, _ = fields.pop(half.pop())
            plan.add_row(variable, Verdict.SKIPPED, "set both user name and password, or neither")
        first = next(iter(fields.values()))[0]
        plan.edit(first, (*RECEIVERS, name, "type"), kind.type)
        # A single channel gets all severities.
        if kind.severities and not (kind.name == "monitoring" and not plan.real_value("DISCORD_CRITICAL_WEBHOOK_URL")):
            plan.edit(first, (*RECEIVERS, name, "severities"), kind.severities)
    for field_name, (variable, value) in fields.items():
        path = (*RECEIVERS, name, *field_name.split("."))
        current = _current_value(receiver, field_name)
        if secret := kind.fields[field_name].secret:
            plan.named_secret(variable, path, current or secret, value, current)
        else:
            plan.setting(variable, path, value, current)


def _reason_to_skip(plan: ImportPlan, kind: ReceiverKind, fields: Fields, receiver: Receiver | None) -> str | None:
    if plan.environment not in (receiver.environments if receiver else ("staging", "production")):
        return f"the receiver gets no alerts of {plan.environment}: add it to its `environments`"
    missing = [field_name for field_name in kind.needs if field_name not in fields]
    if receiver or not missing:
        return None
    return f"a receiver of the type {kind.type} needs {kind.fields[missing[0]].variables[0]} too"


def _receiver(plan: ImportPlan, kind: ReceiverKind) -> tuple[str, Receiver | None]:
    """Return the receiver to change: the one of the default name, else the first that suits, else a new one."""
    existing = plan.effective.alerts.receivers
    for name in (kind.name, *existing):
        receiver = existing.get(name)
        suits = receiver and (name == kind.name or kind.existing in ("", *receiver.severities))
        if receiver and receiver.type == kind.type and suits:
            return name, receiver
    return (f"{kind.type}-imported" if kind.name in existing else kind.name), None


def _current_value(receiver: Receiver | None, field_name: str) -> Any:
    head, *rest = field_name.split(".")
    value = getattr(receiver, "sender" if head == "from" else head, None)
    return value.get(rest[0]) if rest and isinstance(value, dict) else value
