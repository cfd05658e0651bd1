"""Provisioned data sources: read and checked as in Grafana (12.1, pkg/services/provisioning/datasources)."""

from __future__ import annotations

import hashlib
import logging
import os
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .yamlfiles import ProvisioningError, entries

LOG = logging.getLogger("provisioning.datasources")
VICTORIALOGS = "victoriametrics-logs-datasource"
QUERYABLE = {"prometheus": "Prometheus", "loki": "Loki", VICTORIALOGS: "VictoriaLogs"}
"""Types whose queries the double can run → Grafana's names of them."""

ALERTMANAGER = "alertmanager"
TYPE_NAMES = {**QUERYABLE, ALERTMANAGER: "Alertmanager"}
"""Types that the double supports at all → Grafana's names of them."""


@dataclass(frozen=True)
class DataSource:
    """One data source, without credentials: those of a stack need none."""

    number: int
    name: str
    type: str
    uid: str
    url: str
    is_default: bool = False
    json_data: dict[str, Any] = field(default_factory=dict)


def load_datasources(folder: Path) -> tuple[list[DataSource], list[str]]:
    """Return the data sources, and the problems with which Grafana still starts.

    Raises ProvisioningError for those with which it does not: broken YAML, two defaults, a duplicate or invalid uid, a
    missing name or type.
    """
    sources: dict[str, DataSource] = {}
    problems: list[str] = []
    for file, entry in entries(folder, "datasources"):
        source = _datasource(entry, file, len(sources) + 1)
        problems += _problems(source, entry, sources)
        if any(earlier.uid == source.uid and earlier.name != source.name for earlier in sources.values()):
            raise ProvisioningError(f"data source with the same uid already exists: {source.uid} ({file})")
        sources[source.name] = source
        fields = {"name": source.name, "uid": source.uid, "url": source.url}
        LOG.info("inserting datasource from configuration", extra={"fields": fields})
    if sum(source.is_default for source in sources.values()) > 1:
        raise ProvisioningError(
            "datasource.yaml config is invalid. Only one datasource per organization can be marked as default"
        )
    for problem in problems:
        LOG.warning(problem)
    return list(sources.values()), problems


def _datasource(entry: dict[str, Any], file: str, number: int) -> DataSource:
    name, kind = str(entry.get("name") or ""), str(entry.get("type") or "")
    if not name or not kind:
        raise ProvisioningError(f"{file}: a data source needs a name and a type, found {sorted(entry)}")
    # Grafana derives a missing uid from the name in the same way.
    uid = str(entry.get("uid") or "") or "P" + hashlib.sha256(name.encode()).hexdigest()[:16].upper()
    if not re.fullmatch(r"[a-zA-Z0-9_-]{1,40}", uid):
        raise ProvisioningError(f"{file}: the uid of data source {name!r} is invalid: {uid!r}")
    url, json_data = str(entry.get("url") or "").rstrip("/"), entry.get("jsonData") or {}
    return DataSource(number, name, kind, uid, url, bool(entry.get("isDefault")), json_data)


def _problems(source: DataSource, entry: Mapping[str, Any], earlier_sources: Collection[str]) -> list[str]:
    problems = {
        "is provisioned twice: the later one replaces the earlier": source.name in earlier_sources,
        "has no url": not source.url,
        "has variables or credentials, which the double does not read": "$" in str(entry) or "secureJsonData" in entry,
        # Grafana then assumes Mimir's implementation, whose API has another path.
        "is an Alertmanager of Mimir: the double speaks with Alertmanagers of Prometheus only": (
            source.type == ALERTMANAGER and source.json_data.get("implementation") != "prometheus"
        ),
        f"needs the plugin {source.type!r}, which Grafana does not have: it was not installed": (
            source.type == VICTORIALOGS and source.type not in _installed_plugins()
        ),
        f"is of type {source.type!r}, which the double cannot query": source.type not in TYPE_NAMES,
    }
    return [f"data source {source.name!r} {problem}" for problem, applies in problems.items() if applies]


def _installed_plugins() -> set[str]:
    """Return the plugins that Grafana would install before it starts (GF_PLUGINS_PREINSTALL_SYNC); the double none."""
    if os.environ.get("GF_PLUGINS_PREINSTALL_DISABLED", "").lower() in {"1", "t", "true"}:
        return set()
    return {entry.partition("@")[0].strip() for entry in os.environ.get("GF_PLUGINS_PREINSTALL_SYNC", "").split(",")}
