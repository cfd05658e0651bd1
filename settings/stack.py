"""What one environment of a product says: the `dockyard:` keys of Pulumi.<stack>.yaml."""

from __future__ import annotations

from typing import Annotated

from pydantic import StringConstraints, model_validator

from settings.base import Model
from settings.container import Limits, Name
from settings.monitoring import limits
from settings.product import Shared
from settings.receivers import Environment, SecretName
from settings.stores import PostgresOverride, RedisOverride
from settings.workload import WorkloadOverride


class Tunnel(Model):
    """A Cloudflare tunnel that makes Grafana, and nothing else of monitoring, reachable by name.

    Either Dockyard makes it at Cloudflare, with its DNS name; or it is there already, with its route to
    `http://grafana:3000`, and its token is all that is needed, as in Tumulte's set-up: nothing is managed there.
    """

    account_id: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{32}$")] | None = None
    zone_id: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{32}$")] | None = None
    name: Name | None = None
    token: SecretName | None = None
    """Secret with the token of a tunnel that is there already."""

    hostname: Annotated[str, StringConstraints(pattern=r"^[a-z0-9-]+(\.[a-z0-9-]+)+$")] | None = None
    """Beside `token` it only tells Grafana its own address, and may be left out."""

    limits: Limits = limits("128MB", 0.5)

    @model_validator(mode="after")
    def _one_way(self) -> Tunnel:
        made = {"account_id": self.account_id, "zone_id": self.zone_id, "name": self.name}
        if self.token:
            if any(made.values()):
                raise ValueError(f"either token, or {', '.join(made)} and hostname")
        elif missing := [key for key, value in {**made, "hostname": self.hostname}.items() if value is None]:
            raise ValueError(f"{' and '.join(missing)} too, or the token of a tunnel that is there already")
        return self


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
