"""The context that all components of a stack share, and scrape targets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pulumi

from components.spec import Attachment
from settings.docker import Docker


@dataclass(frozen=True)
class MetricsFolder:
    """The volume for textfile metrics, see components/metrics_files.py."""

    volume: pulumi.Output[str]
    ready: pulumi.Output[Sequence[pulumi.Resource]]
    """For `depends_on`: resolves once every user may write into it."""


@dataclass(frozen=True)
class StackContext:
    """Names, conventions and networks that the components of one stack share."""

    product: str
    environment: str
    docker: Docker
    protects_data: bool
    app_network: pulumi.Output[str]
    """Network of the product's services and data stores."""

    monitoring_network: pulumi.Output[str]
    """Network of the monitoring."""

    metrics: MetricsFolder | None = None
    """Volume in which one-shot jobs report their outcome; None without monitoring."""

    networks: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """External networks, which this stack does not create → the services and tools that join them."""

    def external_networks(self, member: str) -> tuple[Attachment, ...]:
        """Return the external networks that a service or tool joins.

        Its alias there begins with the product's name (`tumulte-grafana`): a bare `grafana` may already be in use.
        """
        return tuple(
            Attachment(network, (f"{self.product}-{member}",))
            for network, members in sorted(self.networks.items())
            if member in members
        )

    @property
    def labels(self) -> dict[str, str]:
        """Labels that every container, network and volume of the stack carries."""
        return {
            "dockyard.product": self.product,
            "dockyard.environment": self.environment,
            "dockyard.stack": pulumi.get_stack(),
        }


@dataclass(frozen=True)
class ScrapeTarget:
    """An address that Prometheus scrapes."""

    job: str
    address: pulumi.Input[str]
    path: str = "/metrics"
    instance: str | None = None
    """Label `instance` of its series, where the address reveals too much or changes with each release."""

    is_app: bool = False
    """Whether it is a service of the product, scraped at the services' interval."""

    honor_labels: bool = False
    """`honor_labels`: keep the `service` label of textfile metrics instead of the exporter's."""

    prober: str | None = None
    """The exporter that probes the address, which has no metrics itself."""

    params: Mapping[str, str] = field(default_factory=dict)
    """Further parameters for that exporter."""

    labels: Mapping[str, str] = field(default_factory=dict)
    """Labels of its series, beside those that every series has."""

    interval: int | None = None
    timeout: int | None = None
    """In seconds, like `interval`. Each is set for all targets of a job, or for none."""
