"""The connection to a data store, and what the containers of Postgres and Redis have in common."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi

from runtime.context import StackContext
from runtime.spec import Attachment, HealthCheck, Mount
from settings.stores import StoreHealth

STORE_USER = "999:999"
"""User and group of the official Debian-based images, both of postgres and of redis."""


@dataclass(frozen=True)
class Connection:
    """How clients connect to a data store."""

    env: Mapping[str, str]
    """Variables with its address; none of them is secret."""

    files: Mapping[str, pulumi.Output[str]]
    """Secret files by name; `database-password` is announced as DATABASE_PASSWORD_FILE."""

    ready: Sequence[pulumi.Resource] = ()
    """For `depends_on`: the store is healthy once these exist. Empty for an external store."""

    reaches_host: bool = False
    """Whether its address is `host.docker.internal`."""

    admin: tuple[Mount, ...] = ()
    """Mounts with secret files of the store's own user, for tools that run in the store's image."""

    data: pulumi.Output[str] | None = None
    """Name of its data volume; None for an external store."""


def store_networks(context: StackContext, name: str) -> tuple[Attachment, ...]:
    """Return the networks of a store, on both of which it has its name as an alias."""
    return (Attachment(context.app_network, (name,)), Attachment(context.monitoring_network, (name,)))


def store_health(health: StoreHealth, *command: str) -> HealthCheck:
    """Return the health check that runs `command` in the store's container."""
    return HealthCheck(command, health.interval, health.timeout, health.retries, health.start_period)
