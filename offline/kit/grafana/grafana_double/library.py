"""The provisioned data sources and dashboards, loaded at the start and reread while the double runs."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from typing import Any

from .dashboards import Dashboard, Loaded, Provider, load_dashboards, load_providers, panels, targets
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
        """Load everything. Raises ProvisioningError where Grafana would not start."""
        self.data_sources, self._data_source_problems = load_datasources(self._folder / "datasources")
        self._providers = load_providers(self._folder / "dashboards")
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

    def source_of(self, reference: Any, model: Mapping[str, Any]) -> DataSource | None:
        """Return the data source that a target refers to by uid, name or `${variable}`, else the default one.

        None where there is none.
        """
        uid_or_name = _uid(reference)
        if uid_or_name.startswith("$"):
            uid_or_name = self._variable(uid_or_name.strip("${}"), model)
        if uid_or_name in {"", "default"}:
            return next((source for source in self.data_sources if source.is_default), None)
        # A uid comes before another data source's name.
        named = [source for source in self.data_sources if uid_or_name in (source.uid, source.name)]
        return min(named, key=lambda source: source.uid != uid_or_name, default=None)

    def _variable(self, name: str, model: Mapping[str, Any]) -> str:
        """Return the default of a data source variable: its current value, or the first data source of its type."""
        variable = next((variable for variable in variables(model) if variable.get("name") == name), {})
        of_type = (source.uid for source in self.data_sources if source.type == variable.get("query"))
        return str((variable.get("current") or {}).get("value") or next(of_type, f"${name}"))

    def _missing_sources(self, dashboard: Dashboard) -> Iterator[str]:
        for panel in panels(dashboard.model):
            for uid_or_name in sorted({_uid(target["datasource"]) for target in targets(panel)} - BUILT_IN):
                if self.source_of(uid_or_name, dashboard.model) is None:
                    named = f"data source {uid_or_name!r}" if uid_or_name else "no data source"
                    which = "which is" if uid_or_name else "and no default is"
                    yield f"panel {panel.get('title', panel.get('id'))!r} names {named}, {which} not provisioned"


def variables(model: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return a dashboard's template variables."""
    return list((model.get("templating") or {}).get("list") or [])


def _uid(reference: Any) -> str:
    """Return the uid of a reference `{"uid": …}`, or the name that older dashboards have instead."""
    return str((reference.get("uid") if isinstance(reference, dict) else reference) or "")
