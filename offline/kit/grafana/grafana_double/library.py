"""The provisioned data sources and dashboards, loaded at the start and reread while the double runs."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from typing import Any

from .dashboards import Dashboard, Loaded, Provider, load_dashboards, load_providers, panels
from .datasources import DataSource, load_datasources
from .settings import Settings

LOG = logging.getLogger("provisioning.dashboard")
BUILT_IN = {"-- Grafana --", "-- Mixed --", "-- Dashboard --", "grafana", "__expr__"}
"""Data sources that are built into Grafana."""


class Library:
    """The data sources, the dashboards, and their problems."""

    def __init__(self, settings: Settings) -> None:
        self._folder = settings.provisioning
        self._providers: list[Provider] = []
        self._loaded = Loaded()
        self._data_source_problems: list[str] = []
        self.data_sources: list[DataSource] = []

    def load(self) -> None:
        """Load everything. Raises ProvisioningError where Grafana would not start; the previous state then stays."""
        sources, problems = load_datasources(self._folder / "datasources")
        providers = load_providers(self._folder / "dashboards")
        self.data_sources, self._data_source_problems, self._providers = sources, problems, providers
        self.reload_dashboards()

    def reload_dashboards(self) -> None:
        """Read the dashboards again, as Grafana does every few seconds; drop those whose files are gone."""
        loaded = load_dashboards(self._providers)
        for dashboard in loaded.dashboards.values():
            for message in self._missing_sources(dashboard):
                loaded.complain(message, file=dashboard.file)
        if loaded.dashboards.keys() != self._loaded.dashboards.keys():
            LOG.info("finished to provision dashboards", extra={"fields": {"dashboards": len(loaded.dashboards)}})
        self._loaded = loaded

    @property
    def interval(self) -> float:
        """Seconds until the dashboards are read again."""
        return min((provider.interval for provider in self._providers), default=10.0)

    @property
    def dashboards(self) -> dict[str, Dashboard]:
        """The dashboards by uid."""
        return self._loaded.dashboards

    @property
    def problems(self) -> list[str]:
        """The errors that Grafana would refuse or show, one line each."""
        return [*self._data_source_problems, *self._loaded.problems]

    def data_source(self, uid_or_name: str) -> DataSource | None:
        """Return the data source with this uid, or else with this name; dashboards use both."""
        by_uid = next((source for source in self.data_sources if source.uid == uid_or_name), None)
        return by_uid or next((source for source in self.data_sources if source.name == uid_or_name), None)

    @property
    def default(self) -> DataSource | None:
        """The data source for panels that name none."""
        return next((source for source in self.data_sources if source.is_default), None)

    def source_of(self, reference: Any, model: Mapping[str, Any]) -> DataSource | None:
        """Return the data source that a panel or target refers to, also by `${variable}`; None when there is none."""
        uid_or_name = _uid(reference)
        if uid_or_name.startswith("$"):
            uid_or_name = self._variable(uid_or_name.strip("${}"), model)
        if uid_or_name in {"", "default"}:
            return self.default
        return self.data_source(uid_or_name)

    def _variable(self, name: str, model: Mapping[str, Any]) -> str:
        """Return the default of a data source variable: its current value, or the first data source of its type."""
        for variable in variables(model):
            if variable.get("name") == name:
                current = variable.get("current")
                value = current.get("value") if isinstance(current, dict) else None
                if isinstance(value, str) and value:
                    return value
                kind = variable.get("query")
                return next((source.uid for source in self.data_sources if source.type == kind), f"${name}")
        return f"${name}"

    def _missing_sources(self, dashboard: Dashboard) -> Iterator[str]:
        for panel in panels(dashboard.model):
            targets = [target for target in panel.get("targets") or [] if isinstance(target, dict)]
            references = [target.get("datasource") or panel.get("datasource") for target in targets]
            for uid_or_name in sorted({_uid(reference) for reference in references}):
                if uid_or_name not in BUILT_IN and self.source_of(uid_or_name, dashboard.model) is None:
                    named = (
                        f"data source {uid_or_name!r}, which is" if uid_or_name else "no data source, and no default is"
                    )
                    yield f"panel {panel.get('title', panel.get('id'))!r} names {named} not provisioned"


def variables(model: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return a dashboard's template variables."""
    templating = model.get("templating")
    entries = templating.get("list") if isinstance(templating, dict) else None
    return [variable for variable in entries or [] if isinstance(variable, dict)]


def _uid(reference: Any) -> str:
    """Return the uid of a reference `{"uid": …}`, or the name that older dashboards have instead."""
    if isinstance(reference, dict):
        return str(reference.get("uid") or "")
    return str(reference or "")
