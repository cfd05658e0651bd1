"""The shipped rules, runbooks and dashboards, rendered for a stack."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlencode

import yaml

from dashboards.board import panel_id
from dashboards.boards.runbooks import UID as RUNBOOKS_UID
from dashboards.context import DashboardContext, ProductKpi
from dashboards.registry import render
from program.urls import grafana_root_url
from settings.alert_overrides import apply_overrides
from settings.alert_rules import at_interval, log_rule_files, rule_files, thresholds
from settings.alert_texts import in_language
from settings.loader import Settings

RUNBOOKS = Path(__file__).resolve().parents[1] / "runbooks"

_RUNBOOK = re.compile(r"(?<=runbook_url: )[\"']?runbooks/(?P<alert>\w+)\.md[\"']?$", re.MULTILINE)
_DASHBOARD = re.compile(
    r"(?<=dashboard_url: )[\"']?/d/(?P<uid>[\w-]+)\?panel=(?P<panel>.+?)[\"']?$",
    re.MULTILINE,
)


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
    return MonitoringContent(grafana, rules(settings, grafana), log_rules(settings, grafana), dashboards_for(settings))


def rules(settings: Settings, grafana: str) -> dict[str, str]:
    """Return Prometheus' rule files by name, rendered for this stack; `grafana` is its address as people reach it."""
    files = _for_stack(rule_files(settings.product.name, settings.product.monitoring.logs.store), settings, grafana)
    objectives = objective_rules(settings)
    return {**files, "slo-objectives.yml": objectives} if objectives else files


def log_rules(settings: Settings, grafana: str) -> dict[str, str]:
    """Return the rule files on log lines by name, rendered for this stack."""
    return _for_stack(log_rule_files(settings.product.monitoring.logs.store), settings, grafana)


def objective_rules(settings: Settings) -> str | None:
    """Return the rule file that records the services' objectives as series, which rules/slo.yml reads.

    None where no service has objectives.
    """
    common = {"product": settings.product.name, "environment": settings.stack.environment, "tier": "app"}
    recorded = []
    for name, service in settings.product.services.items():
        if service.slo is None:
            continue
        base_labels = {**common, "job": name}
        if service.slo.availability is not None:
            recorded.append((service.slo.availability, {**base_labels, "slo": "availability"}))
        if latency := service.slo.latency:
            recorded.append((latency.target, {**base_labels, "slo": "latency", "le": latency.bound}))
    if not recorded:
        return None
    recording_rules = [
        {"record": "slo:objective:ratio", "expr": f"vector({round(percent / 100, 10):g})", "labels": labels}
        for percent, labels in recorded
    ]
    return yaml.safe_dump({"groups": [{"name": "slo-objectives", "rules": recording_rules}]}, sort_keys=False)


def dashboards_for(settings: Settings) -> dict[str, str]:
    """Return Grafana's dashboards for a stack: file name → JSON."""
    return render(dashboard_context(settings))


def dashboard_context(settings: Settings) -> DashboardContext:
    """Return the facts from which a stack's dashboards are built."""
    product = settings.product
    grafana, changes = product.monitoring.grafana, product.monitoring.thresholds
    stores = {"postgres": product.postgres, "redis": product.redis}
    logs = product.monitoring.logs
    files = {**rule_files(product.name), **log_rule_files(logs.store)}
    # Boards draw the threshold of a disabled alert as well.
    drawn = {name: change.model_copy(update={"enabled": True}) for name, change in changes.items()}
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
        thresholds={
            name: limit for text in files.values() for name, limit in thresholds(apply_overrides(text, drawn)).items()
        },
        runbooks={} if product.monitoring.runbooks_url else runbooks(),
    )


def runbooks() -> dict[str, str]:
    """Return alert → its runbook, in Markdown."""
    return {page.stem: page.read_text() for page in sorted(RUNBOOKS.glob("*.md")) if page.stem != "README"}


def _for_stack(files: Mapping[str, str], settings: Settings, grafana: str) -> dict[str, str]:
    monitoring = settings.product.monitoring
    values = urlencode(
        {"var-product": settings.product.name, "var-environment": settings.stack.environment},
    )

    def page(match: re.Match[str]) -> str:
        if monitoring.runbooks_url:
            return json.dumps(f"{monitoring.runbooks_url.rstrip('/')}/{match['alert']}.md")
        panel = panel_id(match["alert"])
        return json.dumps(f"{grafana}/d/{RUNBOOKS_UID}/runbooks?viewPanel=panel-{panel}#{match['alert']}")

    def panel(match: re.Match[str]) -> str:
        return json.dumps(f"{grafana}/d/{match['uid']}?viewPanel=panel-{panel_id(match['panel'])}&{values}")

    if interval := monitoring.prometheus.rule_interval:
        files = {name: at_interval(text, interval) for name, text in files.items()}
    # Translate before the overrides: a changed threshold is also replaced in the texts.
    translated = {name: in_language(text, settings.product.alerts.language) for name, text in files.items()}
    return {
        name: _DASHBOARD.sub(panel, _RUNBOOK.sub(page, apply_overrides(text, monitoring.thresholds)))
        for name, text in translated.items()
    }
