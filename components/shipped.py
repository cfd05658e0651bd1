"""The rules and dashboards that come with Dockyard, ready to be put into a stack."""

from __future__ import annotations

from dashboards.registry import render
from settings.loader import CHECKOUT, Settings


def rules() -> dict[str, str]:
    """Return Prometheus' rule files by name, as they stand in rules/."""
    return {file.name: file.read_text() for file in sorted((CHECKOUT / "rules").glob("*.yml"))}


def dashboards_for(settings: Settings) -> dict[str, str]:
    """Return Grafana's dashboards for a stack: file name → JSON."""
    product = settings.product
    stores = {"postgres": product.postgres, "redis": product.redis}
    return render(
        product=product.name,
        environment=settings.stack.environment,
        datasource_uid=settings.product.monitoring.grafana.datasource_uid,
        services=[name for name, service in product.services.items() if service.metrics],
        data_stores=[name for name, store in stores.items() if store],
        kpis=[(kpi.title, kpi.query, kpi.unit) for kpi in product.kpis],
    )
