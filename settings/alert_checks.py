"""Checks that an environment's critical alerts reach a receiver, as far as the settings alone can show it.

Whether the receivers' secrets are usable is checked in program/preflight.py: settings hold no secret values.
"""

from __future__ import annotations

from collections.abc import Iterator

from settings.alerts import Alerts
from settings.example_text import is_placeholder_address
from settings.problems import YamlPath, format_value
from settings.receivers import Email, Environment, Ntfy, Receiver, Slack, Sms

CoverageProblem = tuple[YamlPath, str, str, str]
"""Settings path, what was found there, what was expected, and the remedy."""

PLACEHOLDER_REMEDY = "Put in the real one: until then this receiver reaches nobody; see docs/alerts.md."


def critical_coverage_problems(alerts: Alerts, environment: Environment) -> Iterator[CoverageProblem]:
    """Yield each reason why critical alerts of an environment reach no receiver, or not all intended ones."""
    if environment == "development":
        return
    receivers = {
        name: receiver
        for name, receiver in alerts.receivers_in(environment).items()
        if "critical" in receiver.severities
    }
    for name, receiver in receivers.items():
        for subpath, value in _plain_addresses(receiver):
            if is_placeholder_address(value):
                path = ["alerts", "receivers", name, *subpath]
                yield path, format_value(value), "what there really is", PLACEHOLDER_REMEDY
    if not any(takes_all_critical(receiver) for receiver in receivers.values()):
        yield ["alerts", "receivers"], _describe_receivers(alerts, environment), *_expected_receiver(environment)


def takes_all_critical(receiver: Receiver) -> bool:
    """Whether a receiver takes every critical alert, and not only some selected by name or label."""
    return "critical" in receiver.severities and not receiver.alerts and not receiver.labels


def _describe_receivers(alerts: Alerts, environment: Environment) -> str:
    if not alerts.receivers:
        return "no receiver"
    reasons = []
    for name, receiver in alerts.receivers.items():
        if environment not in receiver.environments:
            reasons.append(f"{name} is not told of {environment}")
        elif "critical" not in receiver.severities:
            reasons.append(f"{name} takes {' and '.join(receiver.severities)}")
        else:
            limits = [*(f'{label}="{value}"' for label, value in receiver.labels.items()), *receiver.alerts]
            reasons.append(f"{name} takes only {', '.join(limits)}")
    return f"no receiver of every critical alert ({'; '.join(reasons)})"


def _expected_receiver(environment: Environment) -> tuple[str, str]:
    expected = f"a receiver that hears of every critical alert of {environment}, without `alerts` and `labels`"
    return expected, "For instance: on-call: {type: slack, webhook: slack-on-call}; every kind is in docs/alerts.md."


def _plain_addresses(receiver: Receiver) -> Iterator[tuple[list[str | int], str]]:
    """Yield path and value of the plain settings, which are no secrets, that say where a receiver's messages go."""
    match receiver:
        case Email():
            for number, address in enumerate(receiver.to):
                yield ["to", number], address
            yield ["from"], receiver.sender
            yield ["smarthost"], receiver.smarthost
        case Slack() if receiver.channel:
            yield ["channel"], receiver.channel
        case Ntfy():
            yield ["server"], receiver.server
            yield ["topic"], receiver.topic
        case Sms():
            for key, value in receiver.fields.items():
                yield ["fields", key], value
        case _:
            return
