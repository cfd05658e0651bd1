"""Prometheus' own configuration, from scrape targets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

import pulumi
import yaml

from components.context import ScrapeTarget
from settings.units import spell_duration


def prometheus_config(
    targets: Sequence[ScrapeTarget],
    *,
    interval: int,
    infrastructure_interval: int | None = None,
    alertmanager: str,
    labels: Mapping[str, str],
) -> pulumi.Output[str]:
    """Return prometheus.yml: a job for each name among the targets, rules from the folder beside it.

    The product's own services are scraped every `interval` seconds, everything else every `infrastructure_interval`.
    `labels` are external (on every alert) and also on every series, so that rules and dashboards can name the
    product and its environment.
    """
    every = spell_duration(interval)
    rest = spell_duration(infrastructure_interval or interval)
    ordered = sorted(targets, key=lambda target: (target.job, target.instance or ""))

    def rendered(addresses: Sequence[str]) -> str:
        found = [
            (job, list(group)) for job, group in groupby(zip(ordered, addresses, strict=True), lambda pair: pair[0].job)
        ]
        config = {
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
                    "job_name": job,
                    "metrics_path": group[0][0].path,
                    **({} if group[0][0].own or rest == every else {"scrape_interval": rest}),
                    "static_configs": [_static(target, address, labels) for target, address in group],
                }
                for job, group in found
            ],
        }
        return yaml.safe_dump(config, sort_keys=False)

    return pulumi.Output.all(*(target.address for target in ordered)).apply(rendered)


def _static(target: ScrapeTarget, address: str, labels: Mapping[str, str]) -> dict[str, Any]:
    named = {"instance": target.instance} if target.instance else {}
    return {"targets": [address], "labels": {"service": target.job, **named, **labels}}
