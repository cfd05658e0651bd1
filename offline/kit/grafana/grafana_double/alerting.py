"""An external Alertmanager as Grafana shows it: its alerts and silences, and the form for a new silence."""

from __future__ import annotations

import re
from collections.abc import Iterable
from html import escape

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from .api import forward, library
from .datasources import ALERTMANAGER, DataSource
from .pages import page, table

PATHS = re.compile(r"alerts(/groups)?|silences|silence/[\w-]+|status|receivers")
"""Paths that Grafana's pages request from an Alertmanager of the Prometheus implementation."""

OPERATORS = re.compile(r"=~|!~|!=|=")


async def alertmanager(request: Request) -> Response:
    """`/api/alertmanager/{uid}/api/v2/{path}`: forward the requests of Grafana's pages to the Alertmanager."""
    source = _named(request, "uid", request.path_params["uid"])
    path = request.path_params["path"]
    if not PATHS.fullmatch(path):
        raise HTTPException(404, "Not found")
    return await forward(request, source, f"/api/v2/{path}")


async def new_silence(request: Request) -> Response:
    """`/alerting/silence/new`: show the matchers with which Grafana fills its form from a link, without a form to send.

    `alertmanager` is a data source's name, each `matcher` is one label. As in Grafana, a matcher without an operator is
    an error, and the first matcher of a label counts.
    """
    source = _named(request, "name", request.query_params.get("alertmanager", ""))
    rows: dict[str, Iterable[str]] = {}
    for matcher in request.query_params.getlist("matcher"):
        operator = OPERATORS.search(matcher)
        label = matcher[: operator.start()].strip() if operator else ""
        if not operator or not label:
            return page("Something went wrong", f'<p class="error">Invalid matcher: {escape(matcher)}</p>', 400)
        rows.setdefault(label, map(escape, (label, operator[0], matcher[operator.end() :])))
    about = f"<p>Alertmanager: {escape(source.name)} at {escape(source.url)}.</p>"
    return page("Silence alert rule", about + table(("Label", "Operator", "Value"), rows.values()))


def _named(request: Request, key: str, value: str) -> DataSource:
    for source in library(request).data_sources:
        if source.type == ALERTMANAGER and getattr(source, key) == value:
            return source
    raise HTTPException(404, "No Alertmanager of this name")


ROUTES = [
    Route("/api/alertmanager/{uid}/api/v2/{path:path}", alertmanager, methods=["GET", "POST", "DELETE"]),
    Route("/alerting/silence/new", new_silence),
]
