"""How a workload learns where its data stores and secrets are: conventional variables and secret files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pulumi

SECRETS_FOLDER = "/run/secrets"


@dataclass(frozen=True)
class Connection:
    """What a data store offers to those that need it."""

    env: Mapping[str, str]
    """Where it is; nothing here is secret."""

    files: Mapping[str, pulumi.Output[str]]
    """Secret files by name; `database-password` is announced as DATABASE_PASSWORD_FILE."""

    ready: pulumi.Resource
    """Healthy once this resource is created."""


def file_variables(names: Mapping[str, object]) -> dict[str, str]:
    """Return the `*_FILE` variables that name the secret files."""
    return {f"{name.upper().replace('-', '_')}_FILE": f"{SECRETS_FOLDER}/{name}" for name in sorted(names)}
