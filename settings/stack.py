"""What one environment of a product says: the `dockyard:` keys of Pulumi.<stack>.yaml."""

from __future__ import annotations

from typing import Annotated

from pydantic import StringConstraints

from settings.container import Name
from settings.product import Shared
from settings.receivers import Environment
from settings.stores import PostgresOverride, RedisOverride
from settings.tunnel import Tunnel
from settings.workload import WorkloadOverride


class Stack(Shared):
    """One environment of a product."""

    product: Annotated[str, StringConstraints(pattern=r"^[\w./-]+\.ya?ml$")]
    """The product file, relative to the checkout."""

    environment: Environment
    services: dict[Name, WorkloadOverride] = {}
    """What this environment says differently of a service or job."""

    postgres: PostgresOverride | None = None
    redis: RedisOverride | None = None
    tunnel: Tunnel | None = None
    preview_without_secrets: bool = False
    """Let `preview` go on where secrets are missing, with a warning: for pull requests, which must not have them.
    `up` refuses all the same."""

    @property
    def protects_data(self) -> bool:
        """Whether data volumes can be deleted only on purpose: everywhere but in development."""
        return self.environment != "development"

    @property
    def secrets(self) -> dict[str, str]:
        """Secrets that somebody must give: name → where the settings ask for it."""
        found = {}
        if self.tunnel and self.tunnel.token:
            found[self.tunnel.token] = "tunnel.token"
        return found
