"""The alert rules shipped with Dockyard, and the overrides of a product or an environment.

The files in rules/ are valid rule files themselves. Overrides are applied to their text, so that comments survive.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal, get_args

import yaml
from pydantic import AfterValidator, Field, StringConstraints

from settings.base import Model
from settings.logs import LogStore
from settings.units import Duration, format_duration

RULES = Path(__file__).resolve().parents[1] / "rules"
LOG_STORES: tuple[str, ...] = get_args(LogStore)

ALERT = re.compile(r"^(?P<indent> *)- alert: (?P<name>\w+)\n(?P<body>(?:(?P=indent)  .*\n|[ ]*\n)*)", re.MULTILINE)
"""An alert in a rule file, with all of its lines."""

_EXPR = re.compile(r"^ +expr:.*\n(?:(?! +(?:for|keep_firing_for|labels|annotations):).*\n)*", re.MULTILINE)
_INTERVAL = re.compile(r"^(?P<key>    interval: )\w+$", re.MULTILINE)
"""The evaluation interval of a group of rules."""

_LAST_NUMBER = re.compile(r"[<>]=? (?P<number>-?\d+(?:\.\d+)?(?:e-?\d+)?)[\"']?\s*\Z")
_FOR = re.compile(r"^(?P<before> +for: )(?P<time>\w+)$", re.MULTILINE)
_SEVERITY = re.compile(r"(?P<before>\bseverity: )\w+")
_LABELS = re.compile(r"^(?P<indent> +)labels:.*\n(?:(?P=indent) .*\n)*", re.MULTILINE)

AlertName = Annotated[str, StringConstraints(pattern=r"^[A-Z]\w*$")]
Label = Annotated[str, StringConstraints(pattern=r"^[a-zA-Z_][a-zA-Z0-9_]*$")]

RESERVED_LABELS = ("alertname", "dockyard_test", "environment", "product", "scope", "severity")
"""Labels that identify, route and silence alerts: an override of them would misroute the alert."""


def _not_reserved(label: str) -> str:
    if label in RESERVED_LABELS or label.startswith("__"):
        raise ValueError(f"another label: {', '.join(RESERVED_LABELS)} and what begins with __ are set already")
    return label


NewLabel = Annotated[Label, AfterValidator(_not_reserved)]
LabelValue = Annotated[str, StringConstraints(pattern=r"^[^{}\n]+$")]
"""Literal text: Prometheus would interpret braces as a template."""


class AlertChange(Model):
    """Overrides for one alert; unset fields keep the rule's value."""

    threshold: float | None = None
    """Threshold of the alert's expression, in the unit of the rule file: a ratio is 0 to 1, a time is in seconds."""

    lasting: Duration | None = Field(default=None, alias="for")
    """How long the condition must hold before the alert fires."""

    severity: Literal["critical", "warning", "info"] | None = None
    labels: dict[NewLabel, LabelValue] = {}
    """Labels added to the alert's own, for receivers that select by them: `{notify_sms: "true"}`."""

    enabled: bool = True


def rule_files(product: str, store: LogStore | None = None) -> dict[str, str]:
    """Return Prometheus' rule files by name, unchanged: the general ones, and this product's own.

    Of the files about log stores only that of `store` is included; all of them where `store` is None.
    """
    excluded = {f"{store_name}.yml" for store_name in LOG_STORES if store and store_name != store}
    files = {file.name: file.read_text() for file in sorted(RULES.glob("*.yml")) if file.name not in excluded}
    product_file = RULES / "products" / f"{product}.yml"
    if product_file.exists():
        files[f"product-{product_file.name}"] = product_file.read_text()
    return files


def log_rule_files(store: LogStore) -> dict[str, str]:
    """Return the rule files on log lines by name, in the store's query language, unchanged.

    The files of all stores define the same alerts.
    """
    return {file.name: file.read_text() for file in sorted((RULES / store).glob("*.yml"))}


def thresholds(text: str) -> dict[str, float]:
    """Return alert → its threshold; alerts without one (a service is down) are left out."""
    by_alert = {}
    for alert in ALERT.finditer(text):
        if number := _threshold(alert["body"]):
            by_alert[alert["name"]] = float(number[1])
    return by_alert


def alert_names(text: str) -> list[str]:
    """Return the alerts of a rule file, in their order."""
    return [alert["name"] for alert in ALERT.finditer(text)]


def apply_overrides(text: str, changes: Mapping[str, AlertChange]) -> str:
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


def at_interval(text: str, seconds: int) -> str:
    """Return a rule file's text with the interval of its groups replaced; groups without an interval get none."""
    return _INTERVAL.sub(rf"\g<key>{format_duration(seconds)}", text)


def _threshold(body: str) -> tuple[int, str] | None:
    """Return the position of the threshold in an alert's text, and the number as it is written; None without one."""
    expr = _EXPR.search(body)
    number = _LAST_NUMBER.search(_without_comments(expr[0])) if expr else None
    return (expr.start() + number.start("number"), number["number"]) if expr and number else None


def _without_comments(expr: str) -> str:
    """Blank out comment lines, which may stand between the expression and the next key."""
    return re.sub(r"^ +#.*$", lambda comment: " " * len(comment[0]), expr, flags=re.MULTILINE)


def _override_body(body: str, change: AlertChange) -> str:
    if change.threshold is not None and (threshold := _threshold(body)):
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
