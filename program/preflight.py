"""Checks of the receivers' secrets, before any resource is created.

Without them a deployment with a webhook PLACEHOLDER succeeds and nobody notices: the alert about failing notifications
takes the same way. Values are examined and never printed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import urlsplit

import pulumi

from settings.base import secret_refs
from settings.loader import NAMESPACE, Settings
from settings.placeholders import is_placeholder_address, is_placeholder_word
from settings.problems import Problem, SettingsError

ADDRESS = "an address: https://…"
KEYS = {
    "routing_key": (re.compile(r"[A-Za-z0-9]{32}", re.ASCII), "PagerDuty's integration key: 32 letters and digits"),
    "bot_token": (re.compile(r"\d+:\S{20,}", re.ASCII), "a bot token from BotFather: 123456789:AA…"),
    "api_key": (re.compile(r"\S{16,}", re.ASCII), "the key of an API integration"),
    "ca": (re.compile(r".*-----BEGIN CERTIFICATE-----.*", re.DOTALL), "a PEM certificate"),
}
"""Field → pattern of its secret, and its description in messages. `password` and `token` may be any text."""


def check_receiver_secrets(settings: Settings, values: Mapping[str, str]) -> None:
    """Check the receivers' secrets; `values` is Pulumi's configuration.

    Raises pulumi.RunError with all invalid secrets that production's critical alerts depend on. Warns about others
    outside of development. Missing secrets are reported by the settings.
    """
    refused, doubtful = wrong_receiver_secrets(settings, values)
    if refused:
        raise pulumi.RunError(str(SettingsError(refused)))
    for problem in doubtful:
        pulumi.log.warn(f"{problem} (this receiver reaches nobody)")


def wrong_receiver_secrets(settings: Settings, values: Mapping[str, str]) -> tuple[list[Problem], list[Problem]]:
    """Return the invalid secrets of receivers: those that an `up` refuses, and those that it warns about."""
    environment, alerts = settings.stack.environment, settings.product.alerts
    if environment == "development":
        return [], []
    refused: dict[str, Problem] = {}
    doubtful: dict[str, Problem] = {}
    for secret, path in secret_refs(alerts.in_environment(environment), ("alerts",)):
        value = values.get(f"{NAMESPACE}{secret}")
        receiver, field = (alerts.receivers[str(path[2])], str(path[3])) if len(path) > 2 else (None, "url")
        defect = None if value is None else _find_defect(field, value)
        if defect is None:
            continue
        actual, expected = defect
        remedy = f"Set it: pulumi config set --secret {NAMESPACE}{secret} -s {settings.stack_name}"
        critical = receiver is not None and "critical" in receiver.severities
        group = refused if critical and environment == "production" else doubtful
        text = f"{expected}, for {'.'.join(map(str, path))}"
        group[secret] = settings.files.stack.problem([secret], actual, text, remedy)
    return list(refused.values()), list(doubtful.values())


def _find_defect(field: str, value: str) -> tuple[str, str] | None:
    """Return what is wrong with a field's secret, without its value, and what is expected; None if it is valid."""
    kind, expected = KEYS.get(field, (None, "the real value"))
    if field in ("webhook", "url"):
        expected = ADDRESS
    if not value.strip():
        return "an empty secret", expected
    anything = field in ("password", "token")
    if is_placeholder_word(value) if anything else is_placeholder_address(value):
        return "a placeholder", expected
    if field in ("webhook", "url") and not _is_address(value.strip()):
        return "an invalid address", expected
    if kind is not None and not kind.fullmatch(value.strip()):
        return "an invalid value", expected
    return None


def _is_address(value: str) -> bool:
    try:
        parts = urlsplit(value)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.hostname) and not re.search(r"\s", value)
