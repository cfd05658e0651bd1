"""Provisioned dashboards: providers and their files, as Grafana reads them (pkg/services/provisioning/dashboards)."""

from __future__ import annotations

import hashlib
import json
import logging
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .yamlfiles import ProvisioningError, entries

LOG = logging.getLogger("provisioning.dashboard")


@dataclass(frozen=True)
class Provider:
    """One entry of dashboards/*.yaml."""

    name: str
    path: Path
    folder: str
    """Title of the folder that its dashboards are listed in."""

    interval: float
    """Seconds between two reads of the path."""


@dataclass(frozen=True)
class Dashboard:
    """One dashboard as loaded from its file."""

    uid: str
    title: str
    model: dict[str, Any]
    file: Path
    folder: str

    @property
    def url(self) -> str:
        """The path of its page."""
        slug = re.sub(r"[^a-z0-9]+", "-", self.title.lower()).strip("-") or "-"
        return f"/d/{self.uid}/{slug}"

    @property
    def tags(self) -> list[str]:
        """The dashboard's tags."""
        return [str(tag) for tag in self.model.get("tags") or []]


@dataclass
class Loaded:
    """The result of reading the files: dashboards by uid, and the errors that Grafana would log."""

    dashboards: dict[str, Dashboard] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    def complain(self, message: str, **fields: object) -> None:
        """Log an error as Grafana does and keep it for the front page."""
        LOG.error(message, extra={"fields": fields})
        details = ", ".join(f"{key} {value}" for key, value in fields.items())
        self.problems.append(f"{message} ({details})" if details else message)


def load_providers(folder: Path) -> list[Provider]:
    """Return the providers. Raises ProvisioningError for configuration with which Grafana does not start."""
    providers: dict[str, Provider] = {}
    for file, entry in entries(folder, "providers"):
        name, kind = str(entry.get("name") or ""), entry.get("type") or "file"
        path = (entry.get("options") or {}).get("path")
        if kind != "file":
            raise ProvisioningError(f"{file}: provider {name!r}: type {kind} is not supported")
        if not isinstance(path, str) or not path:
            raise ProvisioningError(f"{file}: provider {name!r}: failed to load dashboards, path param is not a string")
        if name in providers:
            raise ProvisioningError(f"{file}: provisioner name {name!r} is not unique")
        interval = float(entry.get("updateIntervalSeconds") or 10)
        providers[name] = Provider(name, Path(path), str(entry.get("folder") or "General"), interval)
    return list(providers.values())


def load_dashboards(providers: list[Provider]) -> Loaded:
    """Read every provider's files.

    As in Grafana, one bad file does not keep the others from loading. When two files have the same uid, or the same
    title in one folder, Grafana saves the one that it reads first, and nothing more for that provider; the double takes
    the first by name.
    """
    loaded = Loaded()
    titles: dict[tuple[str, str], Path] = {}
    for provider in providers:
        if not provider.path.is_dir():
            loaded.complain("Cannot read directory", path=provider.path, provider=provider.name)
        for path in sorted(provider.path.rglob("*.json")):
            # Hidden folders contain other versions of a mounted configuration.
            if any(part.startswith(".") for part in path.relative_to(provider.path).parts[:-1]):
                continue
            try:
                dashboard = _read(path, provider.folder)
            except (OSError, ValueError) as error:
                loaded.complain("failed to load dashboard from", file=path, error=error)
                continue
            title = (dashboard.folder, dashboard.title)
            if first := loaded.dashboards.get(dashboard.uid):
                loaded.complain("the same UID is used more than once", uid=dashboard.uid, file=path, kept=first.file)
            elif title in titles:
                message = "dashboard title is not unique in folder"
                loaded.complain(message, title=dashboard.title, file=path, kept=titles[title])
            else:
                loaded.dashboards[dashboard.uid] = dashboard
                titles[title] = path
    return loaded


def _read(path: Path, folder: str) -> Dashboard:
    """Return a file's dashboard. Raises OSError or ValueError for one that Grafana refuses."""
    model = json.loads(path.read_text())
    title = model.get("title") if isinstance(model, dict) else None
    if not isinstance(title, str) or not title.strip():
        raise ValueError("Dashboard title cannot be empty")
    # Grafana generates a random uid when it is missing; a hash of the path gives a stable one.
    uid = str(model.get("uid") or "") or hashlib.sha256(str(path).encode()).hexdigest()[:14]
    if len(uid) > 40:
        raise ValueError("uid too long, max 40 characters")
    if not re.fullmatch(r"[a-zA-Z0-9_-]+", uid):
        raise ValueError("uid contains illegal characters")
    return Dashboard(uid, title, model | {"uid": uid}, path, folder)


def panels(model: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield every panel except rows, including the panels inside rows."""
    for panel in model.get("panels") or []:
        if isinstance(panel, dict):
            if panel.get("type") == "row":
                yield from panels(panel)
            else:
                yield panel


def targets(panel: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return a panel's queries, each with the data source that it asks: its own, or the panel's."""
    listed = [target for target in panel.get("targets") or [] if isinstance(target, dict)]
    return [{**target, "datasource": target.get("datasource") or panel.get("datasource")} for target in listed]
