"""The rule files of a stack: the sources in rules/ with their thresholds, overrides, language, interval and links.

A source differs from a rule file in one thing: an alert declares its number once, as `threshold: 0.05`, and its
expression and texts read it as `$threshold`.

Sources are edited as text, field by field, instead of parsed and dumped: PyYAML's dump would change every registered
file, and parsing with ruamel.yaml, which keeps comments and quotes, would add 0.7 s to every preview; this adds 0.01 s.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from urllib.parse import urlencode

import yaml

from dashboards.board import panel_id
from dashboards.boards.runbooks import UID as RUNBOOKS_UID
from settings.alert_rules import (
    ALERT,
    FIELD,
    RULES,
    AlertOverride,
    declared_threshold,
    log_rule_files,
    rule_files,
    thresholds,
)
from settings.loader import Settings
from settings.problems import LOADER
from settings.units import format_duration

_INTERVAL = re.compile(r"^(?P<key>    interval: )\w+$", re.MULTILINE)
"""The evaluation interval of a group of rules."""

_SPACE_BEFORE_SIGN = re.compile(r" (?=[:;?!%](?:\s|$))")


def rules(settings: Settings, grafana: str) -> dict[str, str]:
    """Return Prometheus' rule files by name; `grafana` is its address as people reach it."""
    sources = rule_files(settings.product.name, settings.product.monitoring.logs.store)
    files = _render_files(sources, settings, grafana)
    objectives = objective_rules(settings)
    return {**files, "slo-objectives.yml": objectives} if objectives else files


def log_rules(settings: Settings, grafana: str) -> dict[str, str]:
    """Return the rule files on log lines by name; `grafana` is its address as people reach it."""
    return _render_files(log_rule_files(settings.product.monitoring.logs.store), settings, grafana)


def objective_rules(settings: Settings) -> str | None:
    """Return the rule file that records the services' objectives as series, which rules/slo.yml reads.

    None where no service has objectives.
    """
    common = {"product": settings.product.name, "environment": settings.stack.environment, "tier": "app"}
    recordings = []
    for job, service in settings.product.services.items():
        objectives: list[tuple[float, dict[str, str]]] = []
        if service.slo and service.slo.availability is not None:
            objectives.append((service.slo.availability, {"slo": "availability"}))
        if service.slo and service.slo.latency:
            objectives.append((service.slo.latency.target, {"slo": "latency", "le": service.slo.latency.bound}))
        for percent, labels in objectives:
            recording = {"record": "slo:objective:ratio", "expr": f"vector({round(percent / 100, 10):g})"}
            recordings.append({**recording, "labels": {**common, "job": job, **labels}})
    group = {"name": "slo-objectives", "rules": recordings}
    return yaml.safe_dump({"groups": [group]}, sort_keys=False) if recordings else None


def effective_thresholds(settings: Settings) -> dict[str, float]:
    """Return alert → its threshold on this stack, disabled alerts included: dashboards draw theirs as well."""
    monitoring = settings.product.monitoring
    sources = {**rule_files(settings.product.name), **log_rule_files(monitoring.logs.store)}
    return {
        name: float(_threshold(declared, monitoring.thresholds.get(name)))
        for source in sources.values()
        for name, declared in thresholds(source).items()
        if declared is not None
    }


@cache
def alert_texts(language: str) -> Mapping[str, Mapping[str, str]]:
    """Return alert → its `summary` and `description` in a language; empty for English, which the sources hold.

    rules/<language>/ has them in files with the names of the rule files. The files have plain spaces before `:` and
    similar signs, since those are easy to type; here they become no-break spaces.
    """
    by_alert = {}
    for file in sorted((RULES / language).rglob("*.yml")):
        for name, texts in yaml.load(file.read_text(), LOADER).items():  # noqa: S506 - a safe one
            by_alert[name] = {key: _SPACE_BEFORE_SIGN.sub("\u00a0", text) for key, text in texts.items()}
    return by_alert


@dataclass(frozen=True)
class RuleRenderer:
    """Renders the sources of rule files; by default it only fills in the thresholds that they declare."""

    overrides: Mapping[str, AlertOverride] = field(default_factory=dict)
    language: str = "en"
    interval: int | None = None
    """Evaluation interval in seconds, for groups that have one in the source."""

    link: Callable[[str, str], str] = lambda _, address: address
    """Field and address in the source → address that people can open."""

    def render(self, source: str) -> str:
        """Return the rule file. A disabled alert is removed; overrides of alerts in other files have no effect.

        An alert without a translation (of a product's own rules, for instance) keeps its English text.
        """
        text = ALERT.sub(self._alert, source)
        return _INTERVAL.sub(rf"\g<key>{format_duration(self.interval)}", text) if self.interval else text

    def _alert(self, alert: re.Match[str]) -> str:
        override = self.overrides.get(alert["name"], AlertOverride())
        if not override.enabled:
            return ""
        texts = alert_texts(self.language).get(alert["name"], {})
        keys = {field["key"] for field in FIELD.finditer(alert["body"])}

        def render_field(field: re.Match[str]) -> str:
            indent, key, value = field.groups()
            match key:
                case "threshold":
                    return ""
                case "for" if override.for_ is not None:
                    value = f" {format_duration(override.for_)}\n"
                case "labels":
                    value = _override_labels(value, override)
                    if override.for_ is not None and "for" not in keys:
                        return f"{indent}for: {format_duration(override.for_)}\n{indent}{key}:{value}"
                case "annotations":
                    value = FIELD.sub(render_field, value)
                case "summary" | "description" if key in texts:
                    value = f" {_quoted(texts[key])}\n"
                case "runbook_url" | "dashboard_url":
                    address = value.strip().strip("\"'")
                    if (link := self.link(key, address)) != address:
                        value = f" {_quoted(link)}\n"
            return f"{indent}{key}:{value}"

        text = f"{alert['indent']}- alert: {alert['name']}\n{FIELD.sub(render_field, alert['body'])}"
        declared = declared_threshold(alert["body"])
        return text if declared is None else text.replace("$threshold", _threshold(declared, override))


def _threshold(declared: str, override: AlertOverride | None) -> str:
    return declared if override is None or override.threshold is None else f"{override.threshold:g}"


def _override_labels(value: str, override: AlertOverride) -> str:
    if override.severity is not None:
        value = re.sub(r"\bseverity: \w+", f"severity: {override.severity}", value, count=1)
    if not override.labels:
        return value
    labels = {**yaml.safe_load(value), **override.labels}
    return f" {{{', '.join(f'{name}: {_quoted(text)}' for name, text in labels.items())}}}\n"


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _render_files(sources: Mapping[str, str], settings: Settings, grafana: str) -> dict[str, str]:
    monitoring = settings.product.monitoring
    variables = urlencode({"var-product": settings.product.name, "var-environment": settings.stack.environment})

    def link(field: str, address: str) -> str:
        if field == "runbook_url" and address.startswith("runbooks/"):
            alert = address.removeprefix("runbooks/").removesuffix(".md")
            if monitoring.runbooks_url:
                return f"{monitoring.runbooks_url.rstrip('/')}/{alert}.md"
            return f"{grafana}/d/{RUNBOOKS_UID}/runbooks?viewPanel=panel-{panel_id(alert)}#{alert}"
        if field == "dashboard_url" and address.startswith("/d/"):
            path, _, panel = address.partition("?panel=")
            return f"{grafana}{path}?viewPanel=panel-{panel_id(panel)}&{variables}"
        return address

    language, interval = settings.product.alerts.language, monitoring.prometheus.rule_interval
    renderer = RuleRenderer(monitoring.thresholds, language, interval, link)
    return {name: renderer.render(source) for name, source in sources.items()}
