"""Provisioned dashboards: providers and their files, as Grafana reads them (pkg/services/provisioning/dashboards)."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .yamlfiles import ProvisioningError, expand, mappings, yaml_files

LOG = logging.getLogger("provisioning.dashboard")


@dataclass(frozen=True)
class Provider:
    """One entry of dashboards/*.yaml."""

    name: str
    path: Path
    folder: str = ""
    folder_uid: str = ""
    folders_from_files: bool = False
    interval: float = 10.0
    """Seconds between two reads of the folder."""


@dataclass(frozen=True)
class Dashboard:
    """One dashboard as loaded from its file."""

    uid: str
    title: str
    model: dict[str, Any]
    file: Path
    provider: str
    folder: str = ""
    folder_uid: str = ""

    @property
    def slug(self) -> str:
        """The title as it appears in the URL."""
        return re.sub(r"[^a-z0-9]+", "-", self.title.lower()).strip("-") or "-"

    @property
    def tags(self) -> list[str]:
        """The dashboard's tags."""
        return [str(tag) for tag in self.model.get("tags") or []]


@dataclass
class Loaded:
    """The result of reading the folders: dashboards by uid, and the errors that Grafana would log."""

    dashboards: dict[str, Dashboard] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    def complain(self, message: str, **fields: object) -> None:
        """Log an error as Grafana does and keep it for the front page."""
        LOG.error(message, extra={"fields": fields})
        details = ", ".join(f"{key} {value}" for key, value in fields.items())
        self.problems.append(f"{message} ({details})" if details else message)


def load_providers(folder: Path, environment: Mapping[str, str] = os.environ) -> list[Provider]:
    """Return the providers. Raises ProvisioningError for configuration with which Grafana does not start."""
    if not folder.is_dir():
        LOG.error("can't read dashboard provisioning files from directory", extra={"fields": {"path": folder}})
        return []
    providers: dict[str, Provider] = {}
    for path, document in yaml_files(folder):
        for entry in mappings(document, "providers", path.name):
            provider = _provider(expand(entry, environment), path.name)
            if provider.name in providers:
                raise ProvisioningError(f"{path.name}: provisioner name {provider.name!r} is not unique")
            providers[provider.name] = provider
    return list(providers.values())


def _provider(entry: dict[str, Any], where: str) -> Provider:
    name = str(entry.get("name") or "")
    kind = entry.get("type") or "file"
    if kind != "file":
        raise ProvisioningError(f"{where}: provider {name!r}: type {kind} is not supported")
    options = entry.get("options")
    path = options.get("path") if isinstance(options, dict) else None
    if not isinstance(path, str) or not path:
        raise ProvisioningError(f"{where}: provider {name!r}: failed to load dashboards, path param is not a string")
    from_files = bool(isinstance(options, dict) and options.get("foldersFromFilesStructure"))
    folder = str(entry.get("folder") or "")
    if from_files and (folder or entry.get("folderUid")):
        raise ProvisioningError(
            f"{where}: provider {name!r}: 'folder' and 'folderUID' should be empty using 'foldersFromFilesStructure'"
        )
    try:
        interval = float(entry.get("updateIntervalSeconds") or 10)
    except (TypeError, ValueError):
        raise ProvisioningError(f"{where}: provider {name!r}: updateIntervalSeconds must be a number") from None
    return Provider(name, Path(path), folder, str(entry.get("folderUid") or ""), from_files, interval)


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
            continue
        for path in _json_files(provider.path):
            dashboard = _read(path, provider, loaded)
            if dashboard is None:
                continue
            if first := loaded.dashboards.get(dashboard.uid):
                loaded.complain("the same UID is used more than once", uid=dashboard.uid, file=path, kept=first.file)
            elif first_path := titles.get((dashboard.folder, dashboard.title)):
                loaded.complain(
                    "dashboard title is not unique in folder", title=dashboard.title, file=path, kept=first_path
                )
            else:
                loaded.dashboards[dashboard.uid] = dashboard
                titles[dashboard.folder, dashboard.title] = path
    return loaded


def _json_files(folder: Path) -> Iterator[Path]:
    for entry in sorted(folder.iterdir()):
        if entry.is_dir():
            # Hidden folders contain other versions of a mounted configuration.
            if not entry.name.startswith("."):
                yield from _json_files(entry)
        elif entry.suffix == ".json":
            yield entry


def _read(path: Path, provider: Provider, loaded: Loaded) -> Dashboard | None:
    try:
        model = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        loaded.complain("failed to load dashboard from", file=path, error=error)
        return None
    title = model.get("title") if isinstance(model, dict) else None
    if not isinstance(title, str) or not title.strip():
        loaded.complain("failed to load dashboard from", file=path, error="Dashboard title cannot be empty")
        return None
    # Grafana generates a random uid when it is missing; a hash of the path gives a stable one.
    uid = str(model.get("uid") or "") or hashlib.sha256(str(path).encode()).hexdigest()[:14]
    refusal = _refusal(uid, title)
    if refusal:
        loaded.complain("failed to save dashboard", file=path, error=refusal)
        return None
    folder, folder_uid = provider.folder, provider.folder_uid
    if provider.folders_from_files and path.parent != provider.path:
        folder, folder_uid = path.parent.name, ""
    if folder and not folder_uid:
        folder_uid = hashlib.sha256(folder.encode()).hexdigest()[:14]
    return Dashboard(uid, title, model | {"uid": uid}, path, provider.name, folder, folder_uid)


def _refusal(uid: str, title: str) -> str:
    if len(title) > 5000:
        return "Dashboard title cannot contain more than 5 000 characters"
    if len(uid) > 40:
        return "uid too long, max 40 characters"
    return "" if re.fullmatch(r"[a-zA-Z0-9_-]+", uid) else "uid contains illegal characters"


def panels(model: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield every panel except rows, including the panels inside rows."""
    for panel in model.get("panels") or []:
        if isinstance(panel, dict):
            if panel.get("type") == "row":
                yield from panels(panel)
            else:
                yield panel
