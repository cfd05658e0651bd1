"""An external Alertmanager as Grafana shows it: its alerts and silences, and the form for a new silence."""

from __future__ import annotations

import re
from html import escape

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from .api import client, library
from .datasources import ALERTMANAGER, DataSource
from .pages import page
from .queries import QueryError, ask

PATHS = re.compile(r"alerts(/groups)?|silences|silence/[\w-]+|status|receivers")
"""Paths that Grafana's pages request from an Alertmanager of the Prometheus implementation."""

OPERATORS = re.compile(r"=~|!~|!=|=")


async def alertmanager(request: Request) -> Response:
    """`/api/alertmanager/{uid}/api/v2/{path}`: forward the requests of Grafana's pages to the Alertmanager."""
    source = _named(request, "uid", request.path_params["uid"])
    if not PATHS.fullmatch(request.path_params["path"]):
        raise HTTPException(404, "Not found")
    try:
        answer = await ask(
            client(request),
            source,
            request.method,
            f"/api/v2/{request.path_params['path']}",
            params=request.query_params.multi_items(),
            content=await request.body(),
            headers={"content-type": "application/json"},
        )
    except QueryError as error:
        return JSONResponse({"message": str(error)}, status_code=error.status)
    kind = answer.headers.get("content-type", "application/json")
    return Response(answer.content, answer.status_code, headers={"content-type": kind})


async def new_silence(request: Request) -> Response:
    """`/alerting/silence/new`: show the matchers with which Grafana fills its form from a link, without a form to send.

    `alertmanager` is a data source's name, each `matcher` is one label. As in Grafana, a matcher without an operator is
    an error, and the first matcher of a label counts.
    """
    source = _named(request, "name", request.query_params.get("alertmanager", ""))
    matchers: dict[str, tuple[str, str]] = {}
    for matcher in request.query_params.getlist("matcher"):
        operator = OPERATORS.search(matcher)
        if matcher.strip() and not (operator and matcher[: operator.start()].strip()):
            return page("Something went wrong", f'<p class="error">Invalid matcher: {escape(matcher)}</p>', 400)
        if operator:
            label, value = matcher[: operator.start()].strip(), matcher[operator.end() :]
            matchers.setdefault(label, (operator[0], value))
    rows = "".join(
        f"<tr><td>{escape(label)}</td><td>{escape(operator)}</td><td>{escape(value)}</td></tr>"
        for label, (operator, value) in matchers.items()
    )
    comment = escape(request.query_params.get("comment", ""))
    return page(
        "Silence alert rule",
        f"<p>Alertmanager: {escape(source.name)} at {escape(source.url)}. {comment}</p>"
        f"<table><tr><th>Label</th><th>Operator</th><th>Value</th></tr>{rows}</table>",
    )


def _named(request: Request, key: str, value: str) -> DataSource:
    for source in library(request).data_sources:
        if source.type == ALERTMANAGER and getattr(source, key) == value:
            return source
    raise HTTPException(404, "No Alertmanager of this name")


ROUTES = [
    Route("/api/alertmanager/{uid}/api/v2/{path:path}", alertmanager, methods=["GET", "POST", "DELETE"]),
    Route("/alerting/silence/new", new_silence),
]
