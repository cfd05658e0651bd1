"""A release: the complete input of a deployment, kept in the state's history so that a rollback can return to it."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import Field

from settings.base import Model

VARIABLE = "DOCKYARD_RELEASE"
"""Variable with the path of a release file, which is deployed instead of the stack and product files."""


class Release(Model):
    """The content of the settings files at the time of a deployment, without secrets."""

    stack: dict[str, Any]
    """The stack's `dockyard:` values."""

    product: dict[str, Any]
    """The product file, with the content of the files that it refers to."""

    images: dict[str, str]
    """Image name → the reference that was deployed."""

    rerun_jobs: list[str] = Field(default=[], alias="fresh", exclude=True)
    """Workloads whose one-shot jobs run in an explicitly requested release; other jobs are skipped."""


def release_from_env() -> Release | None:
    """Return the release that the variable names, None where it is not set and the settings files are deployed.

    Raises OSError where there is no such file, and pydantic.ValidationError where it is not a release.
    """
    path = os.environ.get(VARIABLE)
    return Release.model_validate(json.loads(Path(path).read_text())) if path else None


def inline_sources(product: Mapping[str, Any], checkout: Path) -> tuple[dict[str, Any], list[list[str | int]]]:
    """Return a product file with each `source` replaced by the file's content, and the paths of those not found."""
    missing: list[list[str | int]] = []
    result = dict(product)
    for kind in ("services", "jobs"):
        workloads = product.get(kind)
        if not isinstance(workloads, Mapping):
            continue
        result[kind] = {
            name: _with_content(entry, checkout, [kind, name], missing) if isinstance(entry, Mapping) else entry
            for name, entry in workloads.items()
        }
    return result, missing


def _with_content(
    workload: Mapping[str, Any], checkout: Path, place: list[str | int], missing: list[list[str | int]]
) -> dict[str, Any]:
    files = workload.get("files")
    if not isinstance(files, Mapping):
        return dict(workload)
    inlined = {}
    for target, entry in files.items():
        inlined[target] = entry
        if isinstance(entry, Mapping) and set(entry) == {"source"} and isinstance(entry["source"], str):
            source = checkout / entry["source"]
            if source.is_file():
                inlined[target] = {"content": source.read_text()}
            else:
                missing.append([*place, "files", target, "source"])
    return {**workload, "files": inlined}
