"""Every dashboard, rendered to the files that Grafana provisions."""

from __future__ import annotations

from collections.abc import Callable

from grafana_foundation_sdk.cog.encoder import JSONEncoder

from dashboards.board import Board
from dashboards.boards.alerts import alerts
from dashboards.boards.containers import containers
from dashboards.boards.deployments import deployments
from dashboards.boards.edge import edge
from dashboards.boards.host import host
from dashboards.boards.http import http
from dashboards.boards.kpis import kpis
from dashboards.boards.logs import logs
from dashboards.boards.monitoring import monitoring
from dashboards.boards.nodejs import nodejs
from dashboards.boards.overview import overview
from dashboards.boards.postgres import postgres
from dashboards.boards.probes import probes
from dashboards.boards.queues import queues
from dashboards.boards.redis import redis
from dashboards.boards.runbooks import runbooks
from dashboards.boards.slo import slo
from dashboards.context import DashboardContext

BOARDS: tuple[Callable[[DashboardContext], Board | None], ...] = (
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
    boards = [board.build() for make in BOARDS if (board := make(ctx))]
    return {f"{board.uid}.json": encoder.encode(board) + "\n" for board in boards}
