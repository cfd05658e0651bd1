"""How a workload learns where its data stores and secrets are: conventional variables and secret files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import pulumi

from components.spec import Mount

SECRETS_FOLDER = "/run/secrets"


@dataclass(frozen=True)
class Connection:
    """What a data store offers to those that need it."""

    env: Mapping[str, str]
    """Where it is; nothing here is secret."""

    files: Mapping[str, pulumi.Output[str]]
    """Secret files by name; `database-password` is announced as DATABASE_PASSWORD_FILE."""

    ready: pulumi.Resource | None
    """Healthy once this resource is created; None for what somebody else runs."""

    reaches_host: bool = False
    """It is at `host.docker.internal`."""

    admin: tuple[Mount, ...] = field(default=())
    """Secret files of the store's own user, for what works on it in its own image."""

    data: pulumi.Output[str] | None = None
    """Name of its data volume, where it is the product's own."""


def file_variables(names: Mapping[str, object]) -> dict[str, str]:
    """Return the `*_FILE` variables that name the secret files."""
    return {f"{variable_name(name)}_FILE": f"{SECRETS_FOLDER}/{name}" for name in sorted(names)}


def variable_name(secret: str) -> str:
    """Return the variable that a secret is known by: `app-key` is APP_KEY."""
    return secret.upper().replace("-", "_")
