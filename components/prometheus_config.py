"""Prometheus' own configuration, from scrape targets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from components.context import ScrapeTarget
from settings.units import spell_duration


def prometheus_config(
    targets: Sequence[ScrapeTarget], *, interval: int, alertmanager: str, labels: Mapping[str, str]
) -> dict[str, Any]:
    """Return prometheus.yml: one job a target, `interval` in seconds, rules from the folder beside it.

    `labels` are external (on every alert) and also on every series, so that rules and dashboards can name the
    product and its environment.
    """
    every = spell_duration(interval)
    return {
        "global": {
            "scrape_interval": every,
            "evaluation_interval": every,
            "scrape_timeout": spell_duration(min(10, interval)),
            "external_labels": dict(labels),
        },
        "rule_files": ["rules/*.yml"],
        "alerting": {"alertmanagers": [{"static_configs": [{"targets": [alertmanager]}]}]},
        "scrape_configs": [
            {
                "job_name": target.job,
                "metrics_path": target.path,
                "static_configs": [{"targets": [target.address], "labels": {"service": target.job, **labels}}],
            }
            for target in sorted(targets, key=lambda target: target.job)
        ],
    }
