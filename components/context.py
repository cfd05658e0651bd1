"""What every component of a stack needs to know of it, apart from its own settings."""

from __future__ import annotations

from dataclasses import dataclass

import pulumi

from settings.docker import Docker


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
    address: str
    path: str = "/metrics"
