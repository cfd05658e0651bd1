"""The facts about a stack from which its dashboards are built."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from dashboards.panels import Thresholds
from settings.logs import LogStore


@dataclass(frozen=True)
class ProductKpi:
    """A KPI of the product, from its product file."""

    title: str
    query: str
    """PromQL."""

    unit: str = "short"


@dataclass(frozen=True)
class DashboardContext:
    """The facts that every dashboard is built from."""

    product: str
    environment: str
    datasource_uid: str = "prometheus"
    logs_uid: str | None = None
    """Uid of the data source of the logs; None where the stack collects no logs."""

    log_store: LogStore = "victorialogs"
    """The store of the logs, which determines the query language."""

    services: tuple[str, ...] = ()
    """Scrape jobs of the product's own services."""

    data_stores: tuple[str, ...] = ()
    """Any of `postgres` and `redis`."""

    boards: tuple[str, ...] = ()
    """Optional boards, for metrics that only some products have: `nodejs`, `queues`."""

    objectives: tuple[str, ...] = ()
    """Services with service level objectives."""

    kpis: tuple[ProductKpi, ...] = ()
    edge: bool = True
    backups: bool = True
    """Whether backups are taken, or the database is dumped before releases."""

    certificates: bool = True
    """Whether anything is reached by TLS: a route, a public name, another address that is probed."""

    probes: bool = True
    tunnel: bool = False
    remote_write: bool = False
    """Whether Prometheus forwards its samples to long-term storage."""

    thresholds: Mapping[str, float] = field(default_factory=dict)
    """Alert → its threshold, with this stack's overrides applied."""

    runbooks: Mapping[str, str] = field(default_factory=dict)
    """Alert → its runbook in Markdown; empty where alerts link to runbooks elsewhere."""

    def limit(self, alert: str) -> float:
        """Return the threshold of an alert. Raises KeyError for an alert without one."""
        return self.thresholds[alert]

    def limits(self, warning: str | None = None, critical: str | None = None, *, falling: bool = False) -> Thresholds:
        """Return the thresholds of a warning and a critical alert. Raises KeyError for an alert without one."""
        warning_limit = self.limit(warning) if warning else None
        critical_limit = self.limit(critical) if critical else None
        return Thresholds(warning_limit, critical_limit, falling)
