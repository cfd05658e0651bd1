"""The alert rules shipped with Dockyard: their files, names and thresholds."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, get_args

from pydantic import StringConstraints

from settings.logs import LogStore
from settings.units import format_duration

RULES = Path(__file__).resolve().parents[1] / "rules"
LOG_STORES: tuple[str, ...] = get_args(LogStore)

ALERT = re.compile(r"^(?P<indent> *)- alert: (?P<name>\w+)\n(?P<body>(?:(?P=indent)  .*\n|[ ]*\n)*)", re.MULTILINE)
"""An alert in a rule file, with all of its lines."""

_EXPR = re.compile(r"^ +expr:.*\n(?:(?! +(?:for|keep_firing_for|labels|annotations):).*\n)*", re.MULTILINE)
_INTERVAL = re.compile(r"^(?P<key>    interval: )\w+$", re.MULTILINE)
"""The evaluation interval of a group of rules."""

_LAST_NUMBER = re.compile(r"[<>]=? (?P<number>-?\d+(?:\.\d+)?(?:e-?\d+)?)[\"']?\s*\Z")

AlertName = Annotated[str, StringConstraints(pattern=r"^[A-Z]\w*$")]
Label = Annotated[str, StringConstraints(pattern=r"^[a-zA-Z_][a-zA-Z0-9_]*$")]


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
        if number := find_threshold(alert["body"]):
            by_alert[alert["name"]] = float(number[1])
    return by_alert


def alert_names(text: str) -> list[str]:
    """Return the alerts of a rule file, in their order."""
    return [alert["name"] for alert in ALERT.finditer(text)]


def at_interval(text: str, seconds: int) -> str:
    """Return a rule file's text with the interval of its groups replaced; groups without an interval get none."""
    return _INTERVAL.sub(rf"\g<key>{format_duration(seconds)}", text)


def find_threshold(body: str) -> tuple[int, str] | None:
    """Return the position of the threshold in an alert's text, and the number as it is written; None without one."""
    expr = _EXPR.search(body)
    number = _LAST_NUMBER.search(_without_comments(expr[0])) if expr else None
    return (expr.start() + number.start("number"), number["number"]) if expr and number else None


def _without_comments(expr: str) -> str:
    """Blank out comment lines, which may stand between the expression and the next key."""
    return re.sub(r"^ +#.*$", lambda comment: " " * len(comment[0]), expr, flags=re.MULTILINE)
