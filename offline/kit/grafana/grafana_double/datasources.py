"""Provisioned data sources: read and checked as in Grafana (12.1, pkg/services/provisioning/datasources)."""

from __future__ import annotations

import hashlib
import logging
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .yamlfiles import ProvisioningError, expand, mappings, yaml_files

LOG = logging.getLogger("provisioning.datasources")
VICTORIALOGS = "victoriametrics-logs-datasource"
QUERYABLE = {"prometheus": "Prometheus", "loki": "Loki", VICTORIALOGS: "VictoriaLogs"}
"""Types whose queries the double can run → Grafana's names of them."""

ALERTMANAGER = "alertmanager"
TYPE_NAMES = {**QUERYABLE, ALERTMANAGER: "Alertmanager"}
"""Types that the double supports at all → Grafana's names of them."""

PLUGINS = (VICTORIALOGS,)
"""Types that Grafana has only when their plugin is installed."""


@dataclass(frozen=True)
class DataSource:
    """One data source. `secrets` never leave the process."""

    number: int
    name: str
    type: str
    uid: str
    url: str
    access: str = "proxy"
    is_default: bool = False
    org: int = 1
    user: str = ""
    basic_auth: bool = False
    basic_auth_user: str = ""
    database: str = ""
    json_data: dict[str, Any] = field(default_factory=dict)
    secrets: dict[str, str] = field(default_factory=dict, repr=False)

    def headers(self) -> dict[str, str]:
        """Return the extra headers: `jsonData.httpHeaderName1` with `secureJsonData.httpHeaderValue1`, and so on."""
        headers = {}
        number = 1
        while name := self.json_data.get(f"httpHeaderName{number}"):
            headers[str(name)] = self.secrets.get(f"httpHeaderValue{number}", "")
            number += 1
        return headers


def load_datasources(folder: Path, environment: Mapping[str, str] = os.environ) -> tuple[list[DataSource], list[str]]:
    """Return the data sources, and the problems with which Grafana still starts.

    Raises ProvisioningError for those with which it does not: broken YAML, two defaults in one organisation, a
    duplicate uid, an invalid uid.
    """
    if not folder.is_dir():
        LOG.error("can't read datasource provisioning files from directory", extra={"fields": {"path": folder}})
        return [], []
    sources: dict[tuple[int, str], DataSource] = {}
    problems: list[str] = []
    for path, document in yaml_files(folder):
        for entry in mappings(document, "datasources", path.name):
            source = _datasource(expand(entry, environment), path.name, len(sources) + 1)
            problems += _doubts(source, sources, installed_plugins(environment))
            for earlier_source in sources.values():
                if earlier_source.uid == source.uid and earlier_source.name != source.name:
                    raise ProvisioningError(f"data source with the same uid already exists: {source.uid} ({path.name})")
            sources[source.org, source.name] = source
            LOG.info(
                "inserting datasource from configuration",
                extra={"fields": {"name": source.name, "uid": source.uid, "url": source.url}},
            )
    for org in {source.org for source in sources.values()}:
        if sum(source.is_default for source in sources.values() if source.org == org) > 1:
            raise ProvisioningError(
                "datasource.yaml config is invalid. Only one datasource per organization can be marked as default"
            )
    return list(sources.values()), problems


def installed_plugins(environment: Mapping[str, str]) -> dict[str, str]:
    """Return plugin → version of the plugins that Grafana would install before it starts (GF_PLUGINS_PREINSTALL_SYNC).

    The double downloads none.
    """
    if environment.get("GF_PLUGINS_PREINSTALL_DISABLED", "").lower() in {"1", "t", "true"}:
        return {}
    named = environment.get("GF_PLUGINS_PREINSTALL_SYNC", "").split(",")
    return {plugin: version for plugin, _, version in (entry.strip().partition("@") for entry in named) if plugin}


def _doubts(
    source: DataSource, earlier_sources: Mapping[tuple[int, str], DataSource], installed: Mapping[str, str]
) -> list[str]:
    doubts = []
    if (source.org, source.name) in earlier_sources:
        doubts.append(f"data source {source.name!r} is provisioned twice: the later one replaces the earlier")
    if not source.url:
        doubts.append(f"data source {source.name!r} has no url")
    if source.type == ALERTMANAGER and source.json_data.get("implementation") != "prometheus":
        # Grafana then assumes Mimir's implementation, whose API has another path.
        doubts.append(f"data source {source.name!r}: the double speaks with Alertmanagers of Prometheus only")
    if source.type in PLUGINS and source.type not in installed:
        doubts.append(f"data source {source.name!r}: Grafana has no plugin {source.type!r} that was not installed")
    if source.type not in TYPE_NAMES:
        doubts.append(f"data source {source.name!r}: the double cannot query the type {source.type!r}")
    for doubt in doubts:
        LOG.warning(doubt)
    return doubts


def _datasource(entry: dict[str, Any], where: str, number: int) -> DataSource:
    name = str(entry.get("name") or "")
    kind = str(entry.get("type") or "")
    if not name or not kind:
        raise ProvisioningError(f"{where}: a data source needs a name and a type, found {sorted(entry)}")
    # Grafana derives a missing uid from the name in the same way.
    uid = str(entry.get("uid") or "") or "P" + hashlib.sha256(name.encode()).hexdigest()[:16].upper()
    if not re.fullmatch(r"[a-zA-Z0-9_-]{1,40}", uid):
        raise ProvisioningError(f"{where}: the uid of data source {name!r} is invalid: {uid!r}")
    url = str(entry.get("url") or "")
    if len(name) > 190 or len(url) > 255:
        raise ProvisioningError(f"{where}: data source {name[:40]!r}: a name has at most 190 characters, a url 255")
    access = str(entry.get("access") or "proxy")
    if access not in {"proxy", "direct"}:
        LOG.warning("invalid access value, will use 'proxy' instead", extra={"fields": {"value": access}})
        access = "proxy"
    return DataSource(
        number=number,
        name=name,
        type=kind,
        uid=uid,
        url=url.rstrip("/"),
        access=access,
        is_default=_boolean(entry, "isDefault", where),
        org=_integer(entry, "orgId", where),
        user=str(entry.get("user") or ""),
        basic_auth=_boolean(entry, "basicAuth", where),
        basic_auth_user=str(entry.get("basicAuthUser") or ""),
        database=str(entry.get("database") or ""),
        json_data=_mapping(entry, "jsonData", where),
        secrets={key: str(value) for key, value in _mapping(entry, "secureJsonData", where).items()},
    )


def _boolean(entry: Mapping[str, Any], key: str, where: str) -> bool:
    value = entry.get(key)
    if value is None or value == "":
        return False
    if isinstance(value, bool):
        return value
    if str(value).lower() in {"1", "t", "true", "0", "f", "false"}:
        return str(value).lower() in {"1", "t", "true"}
    raise ProvisioningError(f"{where}: {key}: expected true or false, found {value!r}")


def _integer(entry: Mapping[str, Any], key: str, where: str) -> int:
    value = entry.get(key) or 1
    try:
        return int(value)
    except (TypeError, ValueError):
        raise ProvisioningError(f"{where}: {key}: expected a number, found {value!r}") from None


def _mapping(entry: Mapping[str, Any], key: str, where: str) -> dict[str, Any]:
    value = entry.get(key) or {}
    if not isinstance(value, dict):
        raise ProvisioningError(f"{where}: {key}: expected a mapping, found {value!r}")
    return value
