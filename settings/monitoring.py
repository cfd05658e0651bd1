"""Metrics, logs, dashboards and exporters: limits and times; in the product file, the stack file or both."""

from __future__ import annotations

from typing import Annotated

from pydantic import StringConstraints, model_validator

from settings.alert_rules import AlertName, AlertOverride
from settings.base import Model, duplicates
from settings.container import Limits, Port
from settings.grafana import Grafana
from settings.logs import Logs
from settings.remote_write import RemoteWrite
from settings.units import Duration, Memory

Url = Annotated[str, StringConstraints(pattern=r"^https?://[A-Za-z0-9.-]+(:\d+)?(/[^\s#]*)?$")]
"""An address without a password, since it appears in metrics and alerts."""


class Probes(Model):
    """Probes of health addresses, routes and Grafana's public name at the tunnel, as a visitor would request them.

    The prober's limits are those of the exporter, `exporters.blackbox`.
    """

    enabled: bool = True
    interval: Duration = 30
    timeout: Duration = 10
    """Probe timeout."""

    urls: list[Url] = []
    """Further addresses that must answer 2xx, such as external services that the product depends on."""

    @model_validator(mode="after")
    def _timeout_fits(self) -> Probes:
        if self.timeout > self.interval:
            raise ValueError("a timeout within the interval: Prometheus runs one probe at a time")
        return self


class Prometheus(Model):
    """Prometheus. Interval and retention are Tumulte's and Love Parser's, the limits the dating app's."""

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
    """Merge blocks of two hours into larger ones. `false` if a Thanos sidecar uploads them: docs/long-term.md."""

    limits: Limits = Limits.of("512MB", cpus=1)


class Exporters(Model):
    """Limits of the exporters, from the dating app's table; exporters that it lacks have similar ones."""

    node: Limits = Limits.of("128MB", cpus=0.5)
    cadvisor: Limits = Limits.of("256MB", cpus=0.5)
    postgres: Limits = Limits.of("128MB", cpus=0.5)
    redis: Limits = Limits.of("128MB", cpus=0.5)
    blackbox: Limits = Limits.of("128MB", cpus=0.5)


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
    """Alert → overrides: `DiskSpaceLow: {threshold: 0.1, for: 10m}`. The defaults are in rules/, with notes on when to
    change them."""

    runbooks_url: Annotated[str, StringConstraints(pattern=r"^https?://")] | None = None
    """Address at which the pages of runbooks/ are readable, for the links in alerts: `<this>/HighErrorRate.md`.
    Default: the dashboard Runbooks in this stack's own Grafana."""

    engine_metrics: Port | None = None
    """Port of the host on which Docker exposes its own metrics (`metrics-addr` in its daemon.json), reachable from
    containers. Default: they are not scraped."""

    @model_validator(mode="after")
    def _receivers_differ(self) -> Monitoring:
        if twice := duplicates(receiver.name for receiver in self.remote_write):
            raise ValueError(f"a unique name for each receiver of remote_write: {', '.join(twice)} is used twice")
        return self
