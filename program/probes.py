"""The targets of the blackbox exporter."""

from __future__ import annotations

from collections.abc import Mapping

from components.edge.proxy import EdgeProxy
from components.monitoring import blackbox
from runtime.base import Instance
from runtime.context import ScrapeTarget
from settings.loader import Settings


def stack_probes(settings: Settings, edge: EdgeProxy | None, instances: Mapping[str, Instance]) -> list[ScrapeTarget]:
    """Return the targets of probes. `instances` are the product's containers by role."""
    product, stack = settings.product, settings.stack
    tls = product.edge.tls
    return blackbox.probe_targets(
        product.monitoring.probes,
        services=product.services,
        addresses={role: instance.address for role, instance in instances.items()},
        edge=edge,
        # In development a configured certificate may be from an authority that only the developer's machine trusts.
        self_signed=stack.environment == "development" or not (tls.acme or tls.certificate),
        grafana=stack.tunnel.hostname if stack.tunnel else None,
    )
