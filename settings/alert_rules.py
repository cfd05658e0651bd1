"""The shipped alert rules: their files, names and thresholds, and the settings that override them.

program/rules.py applies the overrides.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Literal, get_args

from pydantic import AfterValidator, Field, StringConstraints

from settings.base import Model
from settings.logs import LogStore
from settings.units import Duration

RULES = Path(__file__).resolve().parents[1] / "rules"
LOG_STORES: tuple[str, ...] = get_args(LogStore)

ALERT = re.compile(r"^(?P<indent> *)- alert: (?P<name>\w+)\n(?P<body>(?:(?P=indent)  .*\n|[ ]*\n)*)", re.MULTILINE)
"""An alert in a rule file, with all of its lines."""

FIELD = re.compile(r"^(?P<indent> +)(?P<key>\w+):(?P<value>.*\n(?:(?P=indent) .*\n)*)", re.MULTILINE)
"""A field of an alert, with all lines of its value."""

RESERVED_LABELS = ("alertname", "dockyard_test", "environment", "product", "scope", "severity")
"""Labels that identify, route and silence alerts: an override of them would misroute the alert."""


def _not_reserved(label: str) -> str:
    if label in RESERVED_LABELS or label.startswith("__"):
        raise ValueError(f"another label: {', '.join(RESERVED_LABELS)} and names that begin with __ are reserved")
    return label


AlertName = Annotated[str, StringConstraints(pattern=r"^[A-Z]\w*$")]
Label = Annotated[str, StringConstraints(pattern=r"^[a-zA-Z_][a-zA-Z0-9_]*$")]
NewLabel = Annotated[Label, AfterValidator(_not_reserved)]
LabelValue = Annotated[str, StringConstraints(pattern=r"^[^{}\n]+$")]
"""Literal text: Prometheus would interpret braces as a template."""


class AlertOverride(Model):
    """Overrides for one alert; unset fields keep the rule's value."""

    threshold: float | None = None
    """Threshold of the alert's expression, in the unit of the rule file: a ratio is 0 to 1, a time is in seconds."""

    for_: Duration | None = Field(default=None, alias="for")
    """How long the condition must hold before the alert fires."""

    severity: Literal["critical", "warning", "info"] | None = None
    labels: dict[NewLabel, LabelValue] = {}
    """Labels added to the alert's own, for receivers that select by them: `{notify_sms: "true"}`."""

    enabled: bool = True


def rule_files(product: str, store: LogStore | None = None) -> dict[str, str]:
    """Return the sources of Prometheus' rule files by name: the general ones, and this product's own.

    Of the files about log stores only that of `store` is included; all of them where `store` is None.
    """
    excluded = {f"{store_name}.yml" for store_name in LOG_STORES if store and store_name != store}
    files = {file.name: file.read_text() for file in sorted(RULES.glob("*.yml")) if file.name not in excluded}
    product_file = RULES / "products" / f"{product}.yml"
    if product_file.exists():
        files[f"product-{product_file.name}"] = product_file.read_text()
    return files


def log_rule_files(store: LogStore) -> dict[str, str]:
    """Return the sources of the rule files on log lines by name, in the store's query language.

    The files of all stores define the same alerts.
    """
    return {file.name: file.read_text() for file in sorted((RULES / store).glob("*.yml"))}


def thresholds(source: str) -> dict[str, str | None]:
    """Return alert → its threshold as the source of a rule file spells it, in the order of the file.

    None for an alert without a threshold (a service is down).
    """
    return {alert["name"]: declared_threshold(alert["body"]) for alert in ALERT.finditer(source)}


def declared_threshold(body: str) -> str | None:
    """Return the value of an alert's `threshold` field; None if it has none."""
    return next((field["value"].strip() for field in FIELD.finditer(body) if field["key"] == "threshold"), None)
