"""How one-shot jobs install files in volumes: the jobs' scripts are written from this, and drift compares with it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pulumi

TARGET = "/dockyard/volume"
"""Where a writer mounts the volume that it fills."""

FILE_MODE = "0400"
"""Mode of every file: only its owner reads it, since some files are secrets."""


@dataclass(frozen=True)
class StagedFiles:
    """Files that are uploaded into a writer's container, and that its script installs in the volume at TARGET."""

    contents: Mapping[str, pulumi.Input[str]]
    """Path in the container → content. A path below STAGE is the path in `folder`; PACKED is an archive of others."""

    owner: str
    """User, or user:group, by number or by name."""

    folder: str = ""
    """The volume's folder that gets the files."""

    leftovers: tuple[str, ...] = ()
    """Paths in the volume that the script may leave behind if it is interrupted."""

    def manifest(self) -> dict[str, Any]:
        """Return what drift needs in addition to the contents, which the state has: owner, mode, folder, leftovers."""
        entry = {"owner": self.owner, "mode": FILE_MODE, "folder": self.folder, "leftovers": list(self.leftovers)}
        return {name: value for name, value in entry.items() if value}


def script_digest(script: str) -> str:
    """Return the key of a writer's manifest: it holds for exactly this script, whichever run has deployed it."""
    return hashlib.sha256(script.encode()).hexdigest()[:16]
