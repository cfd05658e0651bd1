"""Every metric, label and label value that rules and panels name: what of it a running Prometheus does not have."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from program.rules import RuleRenderer
from tests.support.panels import Grafana

ABSENT = yaml.safe_load((Path(__file__).parent / "absent_metrics.yaml").read_text())
"""Metric, or metric{label="value"}, as a regular expression → why a healthy stack may lack it."""

ALERTS_OWN = {"alertname", "alertstate", "severity", "scope"}
"""Labels of ALERTS, which come from rules and not from targets."""


@dataclass(frozen=True)
class Selector:
    """A selector of an expression: its metric (a name, or a regular expression for it) and its equality matchers."""

    metric: str
    is_regex: bool
    equal: tuple[tuple[str, str], ...]
    labels: frozenset[str]  # every label that it matches by, whatever the value

    @property
    def name(self) -> str:
        return f'{{__name__=~"{self.metric}"}}' if self.is_regex else self.metric


@dataclass
class Use:
    selectors: list[Selector] = field(default_factory=list)
    grouped: list[tuple[frozenset[str], tuple[Selector, ...]]] = field(default_factory=list)
    """Labels that are grouped by, and what the groups are made of."""


class Prometheus:
    """A running Prometheus, as the data source of a Grafana."""

    def __init__(self, grafana: Grafana) -> None:
        self._grafana = grafana
        self._series: dict[str, list[Mapping[str, str]]] = {}

    def _ask(self, path: str, **params: Any) -> Any:
        answer = self._grafana.ask(self._grafana.prometheus, path, **params)
        if answer["status"] != "success":
            raise ValueError(f"{path}, {params}: {answer['error']}")
        return answer["data"]

    def query(self, expr: str) -> list[float]:
        return [float(one["value"][1]) for one in self._ask("/api/v1/query", query=expr)["result"]]

    def groups(self) -> list[list[Mapping[str, Any]]]:
        return [group["rules"] for group in self._ask("/api/v1/rules")["groups"]]

    def parse(self, expr: str) -> Mapping[str, Any]:
        """Return an expression's syntax tree; raises ValueError for one that is none."""
        return dict(self._ask("/api/v1/parse_query", query=expr))

    def series(self, metric: str) -> list[Mapping[str, str]]:
        """Return the labels of every series of a metric in the last hour."""
        if metric not in self._series:
            self._series[metric] = self._ask("/api/v1/series", **{"match[]": metric, "limit": 5000})
        return self._series[metric]


def use_of(tree: Mapping[str, Any]) -> Use:
    use = Use()
    _walk(tree, use)
    return use


def _walk(node: Any, use: Use) -> list[Selector]:
    if isinstance(node, list):
        return [one for child in node for one in _walk(child, use)]
    if not isinstance(node, Mapping):
        return []
    found: list[Selector] = []
    if node.get("type") in ("vectorSelector", "matrixSelector"):
        found.append(_selector(node))
        use.selectors += found
    for key, child in node.items():
        if key not in ("matchers", "matching"):
            found += _walk(child, use)
    if node.get("type") == "aggregation" and not node.get("without") and node.get("grouping"):
        use.grouped.append((frozenset(node["grouping"]), tuple(found)))
    return found


def _selector(node: Mapping[str, Any]) -> Selector:
    metric, is_regex, equal, labels = node.get("name") or "", False, [], set()
    for matcher in node["matchers"]:
        if matcher["name"] == "__name__":
            metric, is_regex = matcher["value"], matcher["type"] == "=~"
            continue
        labels.add(matcher["name"])
        if matcher["type"] == "=" and matcher["value"]:
            equal.append((matcher["name"], matcher["value"]))
    return Selector(metric, is_regex, tuple(equal), frozenset(labels))


def missing(prometheuses: Sequence[Prometheus], exprs: Mapping[str, str]) -> dict[str, str]:
    """Return metric, metric{label} or metric{label="value"} that is nowhere and not excused → where it is named."""
    found: dict[str, str] = {}
    for where, expr in exprs.items():
        use = use_of(prometheuses[0].parse(expr))
        for what in _absent(prometheuses, use):
            if not any(re.fullmatch(pattern, what) for pattern in ABSENT):
                found.setdefault(what, where)
    return found


def _absent(prometheuses: Sequence[Prometheus], use: Use) -> Iterator[str]:
    def known(selector: Selector) -> list[Mapping[str, str]]:
        return [series for one in prometheuses for series in one.series(selector.name)]

    for selector in use.selectors:
        series = known(selector)
        if not series:
            yield selector.metric
            continue
        for label in sorted(selector.labels - ALERTS_OWN):
            if not any(label in one for one in series):
                yield f"{selector.metric}{{{label}}}"
        for label, value in selector.equal:
            if label not in ALERTS_OWN and not any(one.get(label) == value for one in series):
                yield f'{selector.metric}{{{label}="{value}"}}'
    for labels, selectors in use.grouped:
        if not selectors or not all(known(selector) for selector in selectors):
            continue
        for label in sorted(labels - ALERTS_OWN):
            if not any(label in one for selector in selectors for one in known(selector)):
                yield f"{selectors[0].metric}{{{label}}}"


def named_in_rules(files: Mapping[str, str]) -> dict[str, str]:
    """Return where → expression of every rule in the sources of rule files."""
    return {
        f"{file}: {rule.get('alert') or rule['record']}": rule["expr"]
        for file, text in files.items()
        for group in yaml.safe_load(RuleRenderer().render(text))["groups"]
        for rule in group["rules"]
    }
