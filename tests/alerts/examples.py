"""Alerts as the shipped rules raise them: names, labels and texts of the rules' own tests."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.support.shipped_rules import TEST_FILES, read

PRODUCT = {"product": "tumulte", "environment": "production"}
APART = ("instance", "job", "service", "container")
"""Labels that tell one thing from another: with values of its own no alert is another's consequence."""


def known(scopes: frozenset[str] | None = None) -> list[dict[str, Any]]:
    """Return every alert that the rules' tests expect of this product, as labels and annotations, each once.

    Without those that are no message of their own: the Watchdog, and HostDown, which silences what runs on the host.
    """
    found: dict[str, dict[str, Any]] = {}
    for file in TEST_FILES:
        for test in read(file)["tests"]:
            for case in test.get("alert_rule_test") or []:
                for alert in case.get("exp_alerts") or []:
                    labels = {**PRODUCT, "alertname": case["alertname"], **alert["exp_labels"]}
                    if labels.items() >= PRODUCT.items() and case["alertname"] not in ("Watchdog", "HostDown"):
                        found[str(sorted(labels.items()))] = {
                            "labels": labels,
                            "annotations": alert.get("exp_annotations") or {},
                        }
    return list(found.values())


def storm(count: int) -> list[dict[str, Any]]:
    """Return so many alerts that fire now, each of a thing of its own."""
    now = datetime.now(UTC)
    times = {"startsAt": now.isoformat(), "endsAt": (now + timedelta(minutes=30)).isoformat()}
    return [_apart(alert, number, times) for number, alert in zip(range(count), itertools.cycle(known()), strict=False)]


def _apart(alert: dict[str, Any], number: int, times: dict[str, str]) -> dict[str, Any]:
    labels = {name: str(value) for name, value in alert["labels"].items()}
    labels |= {name: f"{labels.get(name, name)}-{number}" for name in APART}
    return {"labels": labels, "annotations": alert["annotations"], **times}
