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
    result, missing = dict(product), []
    for kind in ("services", "jobs"):
        workloads = product.get(kind)
        for name, workload in workloads.items() if isinstance(workloads, Mapping) else ():
            files = workload.get("files") if isinstance(workload, Mapping) else None
            for target, entry in files.items() if isinstance(files, Mapping) else ():
                if not isinstance(entry, Mapping) or set(entry) != {"source"} or not isinstance(entry["source"], str):
                    continue
                source = checkout / entry["source"]
                if source.is_file():
                    inlined = {**result[kind][name]["files"], target: {"content": source.read_text()}}
                    result[kind] = {**result[kind], name: {**workload, "files": inlined}}
                else:
                    missing.append([kind, name, "files", target, "source"])
    return result, missing
