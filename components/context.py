"""What every component of a stack needs to know of it, apart from its own settings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pulumi

from components.spec import Attachment
from settings.docker import Docker


@dataclass(frozen=True)
class MetricsFolder:
    """A volume for files of metrics, see components/metrics_files.py."""

    volume: pulumi.Output[str]
    ready: pulumi.Output[Sequence[pulumi.Resource]]
    """For `depends_on`: everybody may write into it."""


@dataclass(frozen=True)
class StackContext:
    """Names, conventions and networks that the components of one stack share."""

    product: str
    environment: str
    docker: Docker
    protects_data: bool
    app_network: pulumi.Output[str]
    """The product's services and data stores."""

    monitoring_network: pulumi.Output[str]
    """What watches them."""

    metrics: MetricsFolder | None = None
    """Where one-shot jobs tell how they ended; None where nothing watches them."""

    networks: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Networks that somebody else made → the services and tools that join them."""

    def external_networks(self, member: str) -> tuple[Attachment, ...]:
        """Return the foreign networks that a service or tool joins.

        Others reach it there by a name with the product's in front (`tumulte-grafana`): a bare `grafana` may be theirs.
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
    """Name of the instance on its series, where the address says too much or changes with each release."""

    is_app: bool = False
    """A service of the product, scraped at the services' interval."""

    honor_labels: bool = False
    """Labels of its own series win: `service` is what a file of metrics tells of, not the exporter that shows it."""

    prober: str | None = None
    """The exporter that is asked about the address, which has no metrics itself."""

    params: Mapping[str, str] = field(default_factory=dict)
    """What else that exporter is told."""

    labels: Mapping[str, str] = field(default_factory=dict)
    """Labels of its series, beside those that every series has."""

    interval: int | None = None
    timeout: int | None = None
    """Seconds; of all targets of a job, or of none."""
