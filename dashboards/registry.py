"""Every dashboard, rendered to the files that Grafana provisions."""

from __future__ import annotations

from collections.abc import Callable

from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard

from dashboards.alerts import alerts
from dashboards.containers import containers
from dashboards.deployments import deployments
from dashboards.edge import edge
from dashboards.host import host
from dashboards.http import http
from dashboards.kpis import kpis
from dashboards.logs import logs
from dashboards.monitoring import monitoring
from dashboards.nodejs import nodejs
from dashboards.overview import overview
from dashboards.postgres import postgres
from dashboards.probes import probes
from dashboards.queues import queues
from dashboards.redis import redis
from dashboards.runbooks import runbooks
from dashboards.shown import DashboardContext
from dashboards.slo import slo

BOARDS: tuple[Callable[[DashboardContext], Dashboard | None], ...] = (
    overview,
    http,
    slo,
    edge,
    host,
    containers,
    kpis,
    nodejs,
    queues,
    postgres,
    probes,
    redis,
    logs,
    alerts,
    monitoring,
    deployments,
    runbooks,
)
"""Builders of one dashboard each, which return None where the stack lacks its subject."""


def render(ctx: DashboardContext) -> dict[str, str]:
    """Return file name → JSON of every dashboard. The text is deterministic.

    Raises KeyError for an unknown data store, or for an alert without a threshold.
    """
    encoder = JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    boards = [board for make in BOARDS if (board := make(ctx))]
    return {f"{board.uid}.json": encoder.encode(board) + "\n" for board in boards}
