"""What the dashboards of one stack have to show."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from settings.logs import LogStore


@dataclass(frozen=True)
class Figure:
    """A figure of the product's own business, out of its product file."""

    title: str
    query: str
    """PromQL."""

    unit: str = "short"


@dataclass(frozen=True)
class Shown:
    """What every dashboard is made from."""

    product: str
    environment: str
    datasource_uid: str = "prometheus"
    logs_uid: str | None = None
    """Uid of the data source of the logs; None where the stack keeps none."""

    log_store: LogStore = "victorialogs"
    """What keeps the logs, and so the language that they are asked for in."""

    services: tuple[str, ...] = ()
    """Scrape jobs of the product's own services."""

    data_stores: tuple[str, ...] = ()
    """Any of `postgres` and `redis`."""

    boards: tuple[str, ...] = ()
    """Boards for what only some products have metrics of: `nodejs`, `queues`."""

    objectives: tuple[str, ...] = ()
    """Services that have objectives."""

    figures: tuple[Figure, ...] = ()
    edge: bool = True
    backups: bool = True
    """Something dumps the database."""

    certificates: bool = True
    """Something is reached by TLS: a route, a public name, another address that is probed."""

    probes: bool = True
    tunnel: bool = False
    remote_write: bool = False
    """Prometheus sends its samples on to stores for the long term."""

    limits: Mapping[str, float] = field(default_factory=dict)
    """Alert → its threshold, as the rules of this stack have it."""

    runbooks: Mapping[str, str] = field(default_factory=dict)
    """Alert → its page in Markdown; none where they are read elsewhere."""

    def limit(self, alert: str) -> float:
        """Return the threshold at which an alert begins. Raises KeyError for one without a threshold."""
        return self.limits[alert]
