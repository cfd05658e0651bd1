"""Read provisioning YAML as Grafana does, file by file. Variables in it are not expanded; no stack uses any."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

LOG = logging.getLogger("provisioning")


class ProvisioningError(Exception):
    """A provisioning error with which Grafana does not start."""


def entries(folder: Path, key: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the entries of the list `key` in all .yaml and .yml files of a folder, each with the name of its file.

    Raises ProvisioningError for a file that is not YAML of version 1, or where `key` is not a list of mappings.
    """
    if not folder.is_dir():
        LOG.error("can't read provisioning files from directory", extra={"fields": {"path": folder}})
    for path in sorted(folder.glob("*.y*ml")):
        try:
            document = yaml.safe_load(path.read_text())
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            raise ProvisioningError(f"{path.name}: {error}") from error
        if document is None:
            continue
        if not isinstance(document, dict) or document.get("apiVersion") != 1:
            # Grafana still reads the format from before 5.0, with a warning; none of our files uses it.
            raise ProvisioningError(f"{path.name}: expected a mapping with apiVersion: 1")
        listed = document.get(key) or []
        if not isinstance(listed, list) or not all(isinstance(entry, dict) for entry in listed):
            raise ProvisioningError(f"{path.name}: {key} must be a list of mappings")
        yield from ((path.name, entry) for entry in listed)
