"""Read provisioning YAML as Grafana does: file by file, with variables expanded in its strings."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

VARIABLE = re.compile(
    r"\$\$|\$__env\{(?P<env>[^}]*)\}|\$__file\{(?P<file>[^}]*)\}|\$\{(?P<braced>\w+)\}|\$(?P<bare>\w+)"
)


class ProvisioningError(Exception):
    """A provisioning error with which Grafana does not start."""


def yaml_files(folder: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Yield each .yaml and .yml file of a folder, by name, with its content; empty files are left out.

    Raises ProvisioningError for a file that is not YAML or whose top level is not a mapping.
    """
    for path in sorted(folder.iterdir()):
        if path.suffix not in {".yaml", ".yml"}:
            continue
        try:
            document = yaml.safe_load(path.read_text())
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            raise ProvisioningError(f"{path.name}: {error}") from error
        if document is None:
            continue
        if not isinstance(document, dict):
            raise ProvisioningError(f"{path.name}: expected a mapping with apiVersion, found {type(document).__name__}")
        if not isinstance(document.get("apiVersion"), int) or document["apiVersion"] < 1:
            # Grafana still reads the format from before 5.0, with a warning; none of our files uses it.
            raise ProvisioningError(f"{path.name}: apiVersion: 1 is missing (the double reads no older form)")
        yield path, document


def mappings(document: Mapping[str, Any], key: str, where: str) -> list[dict[str, Any]]:
    """Return the list of mappings under `key`. Raises ProvisioningError when it is something else."""
    entries = document.get(key) or []
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise ProvisioningError(f"{where}: {key} must be a list of mappings")
    return entries


def expand(value: Any, environment: Mapping[str, str] = os.environ) -> Any:
    """Replace $X, ${X}, $__env{X} and $__file{/path} in strings; `$$` is a dollar sign, unset variables are empty."""
    if isinstance(value, dict):
        return {key: expand(inner, environment) for key, inner in value.items()}
    if isinstance(value, list):
        return [expand(inner, environment) for inner in value]
    if not isinstance(value, str):
        return value

    def replacement(match: re.Match[str]) -> str:
        if match.group() == "$$":
            return "$"
        if (path := match["file"]) is not None:
            try:
                return Path(path).read_text().strip()
            except (OSError, UnicodeDecodeError) as error:
                raise ProvisioningError(f"$__file{{{path}}}: {error}") from error
        return environment.get(match["env"] or match["braced"] or match["bare"] or "", "")

    return VARIABLE.sub(replacement, value)
