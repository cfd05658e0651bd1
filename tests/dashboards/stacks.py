"""The dashboards of stacks that differ in what they have."""

import json
from dataclasses import replace
from typing import Any

from dashboards.context import DashboardContext, ProductKpi
from dashboards.registry import render
from settings.alert_rules import log_rule_files, rule_files, thresholds

LIMITS = {
    name: float(limit)
    for text in [*rule_files("tumulte").values(), *log_rule_files("victorialogs").values()]
    for name, limit in thresholds(text).items()
    if limit
}
FULL = DashboardContext(
    product="tumulte",
    environment="production",
    datasource_uid="prom",
    logs_uid="logs",
    services=("backend", "frontend"),
    data_stores=("postgres", "redis"),
    boards=("nodejs", "queues"),
    objectives=("backend",),
    kpis=(ProductKpi("Polls active", "sum(tumulte_polls_active_total)"),),
    tunnel=True,
    remote_write=True,
    thresholds=LIMITS,
    runbooks={"HighErrorRate": "# HighErrorRate\n\n## Symptom\nErrors.\n"},
)
"""A stack that has everything there is a board for."""


def boards(**changes: Any) -> dict[str, dict[str, Any]]:
    """Return file name → dashboard of a stack that differs from FULL."""
    return {name: json.loads(text) for name, text in render(replace(FULL, **changes)).items()}


def panels(board: dict[str, Any]) -> list[dict[str, Any]]:
    return [panel for panel in board["panels"] if panel["type"] != "row"]
