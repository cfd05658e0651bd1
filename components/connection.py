"""The variables and secret files by which a workload finds its data stores and secrets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import pulumi

from components.spec import Mount

SECRETS_FOLDER = "/run/secrets"


@dataclass(frozen=True)
class Connection:
    """How clients connect to a data store."""

    env: Mapping[str, str]
    """Variables with its address; none of them is secret."""

    files: Mapping[str, pulumi.Output[str]]
    """Secret files by name; `database-password` is announced as DATABASE_PASSWORD_FILE."""

    ready: pulumi.Resource | None
    """The store is healthy once this resource is created; None for an external store."""

    reaches_host: bool = False
    """Whether its address is `host.docker.internal`."""

    admin: tuple[Mount, ...] = field(default=())
    """Mounts with secret files of the store's own user, for tools that run in the store's image."""

    data: pulumi.Output[str] | None = None
    """Name of its data volume; None for an external store."""


def file_variables(names: Mapping[str, object]) -> dict[str, str]:
    """Return the `*_FILE` variables that name the secret files."""
    return {f"{variable_name(name)}_FILE": f"{SECRETS_FOLDER}/{name}" for name in sorted(names)}


def variable_name(secret: str) -> str:
    """Return the name of a secret's variable: `app-key` becomes APP_KEY."""
    return secret.upper().replace("-", "_")
