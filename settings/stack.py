"""The settings of one environment of a product: the `dockyard:` keys of Pulumi.<stack>.yaml."""

from __future__ import annotations

from typing import Annotated

from pydantic import StringConstraints

from settings.alerts import Environment
from settings.base import Model, Name
from settings.product import Shared
from settings.stores import PostgresOverride, RedisOverride
from settings.tunnel import Tunnel
from settings.workload import WorkloadOverride


class Stack(Model):
    """The settings that only a stack file has."""

    product: Annotated[str, StringConstraints(pattern=r"^[\w./-]+\.ya?ml$")]
    """The product file, relative to the checkout."""

    environment: Environment
    services: dict[Name, WorkloadOverride] = {}
    """Overrides of this environment for services and jobs."""

    postgres: PostgresOverride | None = None
    redis: RedisOverride | None = None
    tunnel: Tunnel | None = None
    preview_without_secrets: bool = False
    """`preview` only warns about missing secrets: for pull requests, which must not have them. `up` still refuses."""

    @property
    def protects_data(self) -> bool:
        """Whether data volumes are protected against deletion: everywhere but in development."""
        return self.environment != "development"


class StackFile(Stack, Shared):
    """One environment of a product."""
