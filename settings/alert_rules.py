"""The alert rules that come with Dockyard, and what a product or an environment changes of them.

The files in rules/ are valid as they stand; what a stack says otherwise is put into their text, comments and all.
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
from settings.units import Duration, spell_duration

RULES = Path(__file__).resolve().parents[1] / "rules"
LOG_STORES: tuple[str, ...] = get_args(LogStore)

ALERT = re.compile(r"^(?P<indent> *)- alert: (?P<name>\w+)\n(?P<body>(?:(?P=indent)  .*\n|[ ]*\n)*)", re.MULTILINE)
"""An alert in a rule file, with all that belongs to it."""

_EXPR = re.compile(r"^ +expr:.*\n(?:(?! +(?:for|keep_firing_for|labels|annotations):).*\n)*", re.MULTILINE)
_INTERVAL = re.compile(r"^(?P<key>    interval: )\w+$", re.MULTILINE)
"""Of a group, in a rule file."""

_LAST_NUMBER = re.compile(r"[<>]=? (?P<number>-?\d+(?:\.\d+)?(?:e-?\d+)?)[\"']?\s*\Z")
_FOR = re.compile(r"^(?P<before> +for: )(?P<time>\w+)$", re.MULTILINE)
_SEVERITY = re.compile(r"(?P<before>\bseverity: )\w+")
_LABELS = re.compile(r"^(?P<indent> +)labels:.*\n(?:(?P=indent) .*\n)*", re.MULTILINE)

AlertName = Annotated[str, StringConstraints(pattern=r"^[A-Z]\w*$")]
Label = Annotated[str, StringConstraints(pattern=r"^[a-zA-Z_][a-zA-Z0-9_]*$")]

OWN_LABELS = ("alertname", "dockyard_test", "environment", "product", "scope", "severity")
"""Labels by which alerts are told apart, routed and silenced: another value of them would lead an alert astray."""


def _free(label: str) -> str:
    if label in OWN_LABELS or label.startswith("__"):
        raise ValueError(f"another label: {', '.join(OWN_LABELS)} and what begins with __ are set already")
    return label


NewLabel = Annotated[Label, AfterValidator(_free)]
LabelValue = Annotated[str, StringConstraints(pattern=r"^[^{}\n]+$")]
"""Text as it stands: Prometheus would take braces for a template."""


class AlertChange(Model):
    """What this product or environment says otherwise of an alert; only what is written here changes."""

    threshold: float | None = None
    """The figure it compares with, in the unit of the rule file: a ratio is 0 to 1, a time is in seconds."""

    lasting: Duration | None = Field(default=None, alias="for")
    """How long the condition must hold."""

    severity: Literal["critical", "warning", "info"] | None = None
    labels: dict[NewLabel, LabelValue] = {}
    """Labels that it gets besides its own, for receivers that ask for them: `{notify_sms: "true"}`."""

    enabled: bool = True


def rule_files(product: str, store: LogStore | None = None) -> dict[str, str]:
    """Return Prometheus' rule files by name, as they stand: those of every subject, and those of this product.

    Of those on log stores the one on `store`; all of them where none is named.
    """
    left_out = {f"{other}.yml" for other in LOG_STORES if store and other != store}
    found = {file.name: file.read_text() for file in sorted(RULES.glob("*.yml")) if file.name not in left_out}
    own = RULES / "products" / f"{product}.yml"
    if own.exists():
        found[f"product-{own.name}"] = own.read_text()
    return found


def log_rule_files(store: LogStore) -> dict[str, str]:
    """Return the rule files on what log lines say by name, in the store's language, as they stand.

    Those of all stores have the same alerts.
    """
    return {file.name: file.read_text() for file in sorted((RULES / store).glob("*.yml"))}


def thresholds(text: str) -> dict[str, float]:
    """Return alert → the figure it compares with; alerts that compare with none (a service is down) are left out."""
    found = {}
    for alert in ALERT.finditer(text):
        if number := _threshold(alert["body"]):
            found[alert["name"]] = float(number[1])
    return found


def alert_names(text: str) -> list[str]:
    """Return the alerts of a rule file, in their order."""
    return [alert["name"] for alert in ALERT.finditer(text)]


def changed(text: str, changes: Mapping[str, AlertChange]) -> str:
    """Return a rule file's text with what a stack says otherwise.

    A threshold is replaced in the expression and where the description says it (`{{ 0.05 | humanizePercentage }}`).
    An alert that is not enabled is taken out. Changes of alerts in other files are left alone.
    """

    def one(alert: re.Match[str]) -> str:
        change = changes.get(alert["name"])
        if change is None:
            return alert[0]
        if not change.enabled:
            return ""
        return f"{alert['indent']}- alert: {alert['name']}\n{_changed_body(alert['body'], change)}"

    return ALERT.sub(one, text) if changes else text


def at_interval(text: str, seconds: int) -> str:
    """Return a rule file's text whose groups are evaluated every `seconds`; those without an interval stay without."""
    return _INTERVAL.sub(rf"\g<key>{spell_duration(seconds)}", text)


def _threshold(body: str) -> tuple[int, str] | None:
    """Return where in an alert's text its threshold begins, and how it is written."""
    expr = _EXPR.search(body)
    number = _LAST_NUMBER.search(_without_comments(expr[0])) if expr else None
    return (expr.start() + number.start("number"), number["number"]) if expr and number else None


def _without_comments(expr: str) -> str:
    """Blank out comment lines, which may stand between the expression and the next key."""
    return re.sub(r"^ +#.*$", lambda comment: " " * len(comment[0]), expr, flags=re.MULTILINE)


def _changed_body(body: str, change: AlertChange) -> str:
    if change.threshold is not None and (found := _threshold(body)):
        start, was = found
        now = f"{change.threshold:g}"
        body = body[:start] + now + body[start + len(was) :]
        body = re.sub(rf"(\{{\{{ ){re.escape(was)}(?=[ |}}])", rf"\g<1>{now}", body)
    if change.lasting is not None:
        spelled = spell_duration(change.lasting)
        body, count = _FOR.subn(rf"\g<before>{spelled}", body)
        if not count:
            body = re.sub(r"^( +)labels:", rf"\g<1>for: {spelled}\n\g<1>labels:", body, count=1, flags=re.MULTILINE)
    if change.severity is not None:
        body = _SEVERITY.sub(rf"\g<before>{change.severity}", body, count=1)
    if change.labels:
        body = _LABELS.sub(lambda own: _labelled(own, change.labels), body, count=1)
    return body


def _labelled(own: re.Match[str], added: Mapping[str, str]) -> str:
    labels = {**yaml.safe_load(own[0])["labels"], **added}
    said = ", ".join(f"{name}: {json.dumps(value, ensure_ascii=False)}" for name, value in labels.items())
    return f"{own['indent']}labels: {{{said}}}\n"
