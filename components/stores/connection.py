"""The variables and secret files by which a workload finds a data store."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import pulumi

from runtime.spec import Mount


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
