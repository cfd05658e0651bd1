"""What one environment of a product says: the `dockyard:` keys of Pulumi.<stack>.yaml."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from settings.base import Model
from settings.container import Limits, Name, Port
from settings.product import WorkloadOverride
from settings.units import Duration

SecretName = Name
"""The name of a secret, never its value: `pulumi config set --secret dockyard:<name>`."""


def _limits(memory: str, cpus: float = 1.0) -> Limits:
    return Limits.model_validate({"memory": memory, "cpus": cpus})


class Prometheus(Model):
    """Prometheus. Interval and retention: Tumulte's and Love Parser's; limits: the dating app's table."""

    scrape_interval: Duration = 15
    retention: Duration = 30 * 86400
    limits: Limits = Field(default_factory=lambda: _limits("512MB"))


class Grafana(Model):
    """Grafana. Limits: the dating app's table."""

    admin_user: Annotated[str, StringConstraints(min_length=1)] = "admin"
    root_url: Annotated[str, StringConstraints(pattern=r"^https?://")] | None = None
    """The address people reach it at. Default: the tunnel's host name, else the published port."""

    datasource_uid: Annotated[str, StringConstraints(pattern=r"^[a-zA-Z0-9_-]{1,40}$")] = "prometheus"
    """Uid of the Prometheus data source; Love Parser's dashboards want `love-prom`."""

    limits: Limits = Field(default_factory=lambda: _limits("512MB"))


class Exporters(Model):
    """Limits of the exporters: the dating app's table (the redis exporter, which it lacks, like its sibling)."""

    node: Limits = Field(default_factory=lambda: _limits("128MB", 0.5))
    cadvisor: Limits = Field(default_factory=lambda: _limits("256MB", 0.5))
    postgres: Limits = Field(default_factory=lambda: _limits("128MB", 0.5))
    redis: Limits = Field(default_factory=lambda: _limits("128MB", 0.5))


class Monitoring(Model):
    """Metrics, dashboards and exporters."""

    prometheus: Prometheus = Prometheus()
    grafana: Grafana = Grafana()
    exporters: Exporters = Exporters()


class Discord(Model):
    """Discord channels, by the secrets that hold their webhook addresses."""

    webhook: SecretName
    """Tumulte's #monitoring: warnings, informational alerts, recoveries."""

    critical_webhook: SecretName
    """Tumulte's #alertes-critiques: critical alerts only."""


class Alerts(Model):
    """Who hears of an alert. Without a receiver alerts are only shown, in Alertmanager and Grafana."""

    discord: Discord | None = None
    limits: Limits = Field(default_factory=lambda: _limits("128MB", 0.5))


class Tunnel(Model):
    """A Cloudflare tunnel that makes Grafana, and nothing else of monitoring, reachable by name."""

    account_id: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{32}$")]
    zone_id: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{32}$")]
    name: Name
    hostname: Annotated[str, StringConstraints(pattern=r"^[a-z0-9-]+(\.[a-z0-9-]+)+$")]
    limits: Limits = Field(default_factory=lambda: _limits("128MB", 0.5))


class Docker(Model):
    """How containers run on the host."""

    mirror: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9.-]+(:\d+)?(/[a-z0-9._/-]+)?$")] | None = None
    """A registry that serves the official images under their own paths: `mirror.example.com:5000`."""

    log_max_size: Annotated[str, StringConstraints(pattern=r"^\d+[km]$")] = "10m"
    log_max_files: int = Field(default=14, ge=1, le=1000)
    """Rotated logs kept, 14 as in Tumulte's rotation: json-file rotates by size, so these are not days."""

    health_interval: Duration | None = None
    """Check the health of every container this often, whatever its own setting says: for environments where the
    time an `up` takes matters more than the cost of the checks."""

    wait_timeout: Duration = 180
    """How long an `up` waits for one container to become healthy."""


class Stack(Model):
    """One environment of a product."""

    product: Annotated[str, StringConstraints(pattern=r"^[\w./-]+\.ya?ml$")]
    """The product file, relative to the checkout."""

    environment: Literal["development", "staging", "production"]
    services: dict[Name, WorkloadOverride] = {}
    """What this environment says differently of a service or job."""

    publish: dict[Name, Port] = {}
    """Service or tool → port on the host's loopback address. What is not named here is published nowhere."""

    monitoring: Monitoring = Monitoring()
    alerts: Alerts = Alerts()
    tunnel: Tunnel | None = None
    docker: Docker = Docker()
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
        if self.alerts.discord:
            found[self.alerts.discord.webhook] = "alerts.discord.webhook"
            found[self.alerts.discord.critical_webhook] = "alerts.discord.critical_webhook"
        return found
