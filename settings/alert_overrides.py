"""Overrides of the shipped alert rules, for a product or an environment.

The files in rules/ are valid rule files themselves. Overrides are applied to their text, so that comments survive.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Annotated, Literal

import yaml
from pydantic import AfterValidator, Field, StringConstraints

from settings.alert_rules import ALERT, Label, find_threshold
from settings.base import Model
from settings.units import Duration, format_duration

_FOR = re.compile(r"^(?P<before> +for: )(?P<time>\w+)$", re.MULTILINE)
_SEVERITY = re.compile(r"(?P<before>\bseverity: )\w+")
_LABELS = re.compile(r"^(?P<indent> +)labels:.*\n(?:(?P=indent) .*\n)*", re.MULTILINE)

RESERVED_LABELS = ("alertname", "dockyard_test", "environment", "product", "scope", "severity")
"""Labels that identify, route and silence alerts: an override of them would misroute the alert."""


def _not_reserved(label: str) -> str:
    if label in RESERVED_LABELS or label.startswith("__"):
        raise ValueError(f"another label: {', '.join(RESERVED_LABELS)} and what begins with __ are set already")
    return label


NewLabel = Annotated[Label, AfterValidator(_not_reserved)]
LabelValue = Annotated[str, StringConstraints(pattern=r"^[^{}\n]+$")]
"""Literal text: Prometheus would interpret braces as a template."""


class AlertOverride(Model):
    """Overrides for one alert; unset fields keep the rule's value."""

    threshold: float | None = None
    """Threshold of the alert's expression, in the unit of the rule file: a ratio is 0 to 1, a time is in seconds."""

    lasting: Duration | None = Field(default=None, alias="for")
    """How long the condition must hold before the alert fires."""

    severity: Literal["critical", "warning", "info"] | None = None
    labels: dict[NewLabel, LabelValue] = {}
    """Labels added to the alert's own, for receivers that select by them: `{notify_sms: "true"}`."""

    enabled: bool = True


def apply_overrides(text: str, changes: Mapping[str, AlertOverride]) -> str:
    """Return a rule file's text with a stack's overrides applied.

    A threshold is replaced in the expression and where the description repeats it (`{{ 0.05 | humanizePercentage }}`).
    A disabled alert is removed. Overrides of alerts in other files have no effect.
    """

    def apply(alert: re.Match[str]) -> str:
        change = changes.get(alert["name"])
        if change is None:
            return alert[0]
        if not change.enabled:
            return ""
        return f"{alert['indent']}- alert: {alert['name']}\n{_override_body(alert['body'], change)}"

    return ALERT.sub(apply, text) if changes else text


def _override_body(body: str, change: AlertOverride) -> str:
    if change.threshold is not None and (threshold := find_threshold(body)):
        position, old_number = threshold
        new_number = f"{change.threshold:g}"
        body = body[:position] + new_number + body[position + len(old_number) :]
        body = re.sub(rf"(\{{\{{ ){re.escape(old_number)}(?=[ |}}])", rf"\g<1>{new_number}", body)
    if change.lasting is not None:
        duration = format_duration(change.lasting)
        body, count = _FOR.subn(rf"\g<before>{duration}", body)
        if not count:
            body = re.sub(r"^( +)labels:", rf"\g<1>for: {duration}\n\g<1>labels:", body, count=1, flags=re.MULTILINE)
    if change.severity is not None:
        body = _SEVERITY.sub(rf"\g<before>{change.severity}", body, count=1)
    if change.labels:
        body = _LABELS.sub(lambda block: _add_labels(block, change.labels), body, count=1)
    return body


def _add_labels(block: re.Match[str], added: Mapping[str, str]) -> str:
    labels = {**yaml.safe_load(block[0])["labels"], **added}
    rendered = ", ".join(f"{name}: {json.dumps(value, ensure_ascii=False)}" for name, value in labels.items())
    return f"{block['indent']}labels: {{{rendered}}}\n"
