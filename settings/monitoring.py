"""Metrics, logs, dashboards and exporters: limits and times; in the product file, the stack file or both."""

from __future__ import annotations

from typing import Annotated

from pydantic import StringConstraints, model_validator

from settings.alert_rules import AlertName, AlertOverride
from settings.base import Model
from settings.container import Limits, Port
from settings.grafana import Grafana
from settings.logs import Logs
from settings.probes import Probes
from settings.remote_write import RemoteWrite
from settings.units import Duration, Memory


def limits(memory: str, cpus: float = 1.0) -> Limits:
    """Return limits with the default reservation of half the memory, as in the dating app's table."""
    return Limits.of(memory, cpus=cpus)


class Prometheus(Model):
    """Prometheus. Interval and retention: Tumulte's and Love Parser's; limits: the dating app's table."""

    scrape_interval: Duration = 15
    """Scrape interval of the product's own services."""

    infrastructure_interval: Duration | None = None
    """Scrape interval of everything else; Pivotal Flow wants 30s. Default: the same as the services'."""

    rule_interval: Duration | None = None
    """Evaluation interval of all groups of rules, those on logs included. Default: the group's interval in rules/, or
    the services' scrape interval where it has none."""

    retention: Duration = 30 * 86400
    retention_size: Memory = 10 * 1024
    """Disk space for samples. Beyond it the oldest are deleted, however recent, so that they cannot fill a disk. The
    needs of a stack and their calculation: docs/long-term.md."""

    compaction: bool = True
    """Merge blocks of two hours into larger ones. `false` where a Thanos sidecar ships them: docs/long-term.md."""

    limits: Limits = limits("512MB")


class Exporters(Model):
    """Limits of the exporters: the dating app's table (those that it lacks like their siblings)."""

    node: Limits = limits("128MB", 0.5)
    cadvisor: Limits = limits("256MB", 0.5)
    postgres: Limits = limits("128MB", 0.5)
    redis: Limits = limits("128MB", 0.5)
    blackbox: Limits = limits("128MB", 0.5)


class Monitoring(Model):
    """Metrics, logs, dashboards and exporters."""

    prometheus: Prometheus = Prometheus()
    grafana: Grafana = Grafana()
    exporters: Exporters = Exporters()
    probes: Probes = Probes()
    logs: Logs = Logs()
    remote_write: list[RemoteWrite] = []
    """Receivers to which Prometheus forwards its samples, for long-term storage: docs/long-term.md."""

    thresholds: dict[AlertName, AlertOverride] = {}
    """Alert → overrides: `DiskSpaceLow: {threshold: 0.1, for: 10m}`. The defaults are the seeds' and are in rules/,
    each with a note on when to change it."""

    runbooks_url: Annotated[str, StringConstraints(pattern=r"^https?://")] | None = None
    """Address at which the pages of runbooks/ are readable, for the links in alerts: `<this>/HighErrorRate.md`.
    Default: the dashboard Runbooks in this stack's own Grafana."""

    engine_metrics: Port | None = None
    """Port of the host on which Docker exposes its own metrics (`metrics-addr` in its daemon.json), reachable from
    containers. Default: they are not scraped."""

    @model_validator(mode="after")
    def _receivers_differ(self) -> Monitoring:
        names = [receiver.name for receiver in self.remote_write]
        if duplicates := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(
                f"a name of its own for each receiver of remote_write: {', '.join(duplicates)} is there twice"
            )
        return self
