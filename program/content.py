"""The shipped rules, runbooks and dashboards, rendered for a stack."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from dashboards.context import DashboardContext, ProductKpi
from dashboards.registry import render
from program.rules import effective_thresholds, log_rules, rules
from program.urls import grafana_root_url
from settings.loader import Settings

RUNBOOKS = Path(__file__).resolve().parents[1] / "runbooks"


@dataclass(frozen=True)
class MonitoringContent:
    """The monitoring content of one stack.

    All of it is rendered before any resource is created, so that an error cannot occur when half of the stack is
    changed.
    """

    grafana: str
    """Grafana's address as people reach it, for the links in alerts."""

    rules: Mapping[str, str]
    log_rules: Mapping[str, str]
    dashboards: Mapping[str, str]


def render_content(settings: Settings) -> MonitoringContent:
    """Return the rules and dashboards of a stack."""
    grafana = grafana_root_url(settings)
    return MonitoringContent(
        grafana=grafana,
        rules=rules(settings, grafana),
        log_rules=log_rules(settings, grafana),
        dashboards=render(dashboard_context(settings)),
    )


def dashboard_context(settings: Settings) -> DashboardContext:
    """Return the facts from which a stack's dashboards are built."""
    product = settings.product
    grafana, logs = product.monitoring.grafana, product.monitoring.logs
    stores = {"postgres": product.postgres, "redis": product.redis}
    return DashboardContext(
        product=product.name,
        environment=settings.stack.environment,
        datasource_uid=grafana.datasource_uid,
        logs_uid=grafana.logs_datasource_uid(logs.store) if logs.enabled else None,
        log_store=logs.store,
        services=tuple(name for name, service in product.services.items() if service.metrics),
        data_stores=tuple(name for name, store in stores.items() if store),
        boards=tuple(grafana.boards),
        objectives=tuple(name for name, service in product.services.items() if service.slo),
        kpis=tuple(ProductKpi(kpi.title, kpi.query, kpi.unit) for kpi in product.kpis),
        edge=bool(product.publish or product.routed or any(service.port for service in product.services.values())),
        backups=product.dumps_database or product.backups.on,
        certificates=bool(settings.stack.tunnel or product.monitoring.probes.urls or product.routed),
        probes=product.monitoring.probes.enabled,
        tunnel=bool(settings.stack.tunnel),
        remote_write=bool(product.monitoring.remote_write),
        thresholds=effective_thresholds(settings),
        runbooks={} if product.monitoring.runbooks_url else runbooks(),
    )


def runbooks() -> dict[str, str]:
    """Return alert → its runbook, in Markdown."""
    return {page.stem: page.read_text() for page in sorted(RUNBOOKS.glob("*.md")) if page.stem != "README"}
