"""Metrics, logs, dashboards and exporters: sizes and times. They may stand in the product and in the stack file."""

from __future__ import annotations

from typing import Annotated

from pydantic import StringConstraints

from settings.base import Model
from settings.container import Limits
from settings.logs import Logs
from settings.units import Duration


def limits(memory: str, cpus: float = 1.0) -> Limits:
    """Return limits whose reservation is half of them, as in the dating app's table."""
    return Limits.model_validate({"memory": memory, "cpus": cpus})


class Prometheus(Model):
    """Prometheus. Interval and retention: Tumulte's and Love Parser's; limits: the dating app's table."""

    scrape_interval: Duration = 15
    """Of the product's own services."""

    infrastructure_interval: Duration | None = None
    """Of everything else; Pivotal Flow wants 30s. Default: the same as the services'."""

    retention: Duration = 30 * 86400
    limits: Limits = limits("512MB")


class Grafana(Model):
    """Grafana. Limits: the dating app's table."""

    admin_user: Annotated[str, StringConstraints(min_length=1)] = "admin"
    root_url: Annotated[str, StringConstraints(pattern=r"^https?://")] | None = None
    """The address people reach it at. Default: the tunnel's host name, else the published port."""

    datasource_uid: Annotated[str, StringConstraints(pattern=r"^[a-zA-Z0-9_-]{1,40}$")] = "prometheus"
    """Uid of the Prometheus data source; Love Parser's dashboards want `love-prom`."""

    loki_datasource_uid: Annotated[str, StringConstraints(pattern=r"^[a-zA-Z0-9_-]{1,40}$")] = "loki"
    """Uid of the Loki data source; Love Parser's dashboards want `love-loki`."""

    limits: Limits = limits("512MB")


class Exporters(Model):
    """Limits of the exporters: the dating app's table (the redis exporter, which it lacks, like its sibling)."""

    node: Limits = limits("128MB", 0.5)
    cadvisor: Limits = limits("256MB", 0.5)
    postgres: Limits = limits("128MB", 0.5)
    redis: Limits = limits("128MB", 0.5)


class Monitoring(Model):
    """Metrics, logs, dashboards and exporters."""

    prometheus: Prometheus = Prometheus()
    grafana: Grafana = Grafana()
    exporters: Exporters = Exporters()
    logs: Logs = Logs()
