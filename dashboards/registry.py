"""Every dashboard, rendered to the files that Grafana provisions."""

from __future__ import annotations

from collections.abc import Sequence

from grafana_foundation_sdk.cog.encoder import JSONEncoder

from dashboards.overview import overview
from dashboards.panels import Query


def render(
    product: str,
    environment: str,
    datasource_uid: str,
    services: Sequence[str] = ("backend", "frontend"),
    data_stores: Sequence[str] = ("postgres", "redis"),
    kpis: Sequence[tuple[str, str, str]] = (),
) -> dict[str, str]:
    """Return file name → JSON text of every dashboard; the same arguments always give the same text.

    `datasource_uid` is the uid of the provisioned Prometheus data source. `services` are scrape jobs of the product's
    own services, `data_stores` any of `postgres` and `redis`, `kpis` figures of its business: title, PromQL, unit.
    Raises KeyError for a data store that no dashboard knows.
    """
    figures = [(title, Query(expr), unit) for title, expr, unit in kpis]
    boards = [overview(product, environment, datasource_uid, services, data_stores, figures)]
    encoder = JSONEncoder(sort_keys=True, indent=2, ensure_ascii=False)
    return {f"{board.uid}.json": encoder.encode(board) + "\n" for board in boards}
