"""What one environment of a product says: the `dockyard:` keys of Pulumi.<stack>.yaml."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import StringConstraints, model_validator

from settings.base import Model
from settings.container import Limits, Name
from settings.monitoring import limits
from settings.product import Shared
from settings.stores import PostgresOverride, RedisOverride
from settings.workload import WorkloadOverride

SecretName = Name
"""The name of a secret, never its value: `pulumi config set --secret dockyard:<name>`."""


class Discord(Model):
    """Discord channels, by the secrets that hold their webhook addresses."""

    webhook: SecretName
    """Tumulte's #monitoring: warnings, informational alerts, recoveries."""

    critical_webhook: SecretName
    """Tumulte's #alertes-critiques: critical alerts only."""


class Alerts(Model):
    """Who hears of an alert. Without a receiver alerts are only shown, in Alertmanager and Grafana."""

    discord: Discord | None = None
    heartbeat: SecretName | None = None
    """Secret with the address of a dead man's switch (Healthchecks, Dead Man's Snitch, Uptime Kuma …) that is called
    every minute while rules are evaluated and alerts delivered, and raises the alarm itself when the calls stop."""

    limits: Limits = limits("128MB", 0.5)

    @property
    def secrets(self) -> dict[str, str]:
        """Secrets that its receivers are reached by: name → where the settings ask for it."""
        found = {}
        if self.discord:
            found[self.discord.webhook] = "alerts.discord.webhook"
            found[self.discord.critical_webhook] = "alerts.discord.critical_webhook"
        if self.heartbeat:
            found[self.heartbeat] = "alerts.heartbeat"
        return found


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

    environment: Literal["development", "staging", "production"]
    services: dict[Name, WorkloadOverride] = {}
    """What this environment says differently of a service or job."""

    postgres: PostgresOverride | None = None
    redis: RedisOverride | None = None
    alerts: Alerts = Alerts()
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
        found = self.alerts.secrets
        if self.tunnel and self.tunnel.token:
            found[self.tunnel.token] = "tunnel.token"
        return found
