"""The part of Grafana's HTTP API that the double answers, in Grafana's shapes."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import httpx
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from . import VERSION
from .datasources import QUERYABLE, TYPE_NAMES, VICTORIALOGS, DataSource
from .library import Library
from .meters import count_plugin_request
from .queries import QueryError, ask, frames, run
from .timing import Span, duration, moment

LOG = logging.getLogger("tsdb")
HEALTH_CHECKS = {
    "prometheus": ("1+1", "Successfully queried the Prometheus API."),
    "loki": ("vector(1)+vector(1)", "Data source successfully connected."),
    VICTORIALOGS: ("* | limit 1", "Data source is working"),
}
"""Data source type → the query with which Grafana's plugin checks it, and the message when that succeeds."""


def library(request: Request) -> Library:
    """Return the loaded dashboards and data sources."""
    loaded: Library = request.app.state.library
    return loaded


def client(request: Request) -> httpx.AsyncClient:
    """Return the HTTP client for data sources."""
    http_client: httpx.AsyncClient = request.app.state.client
    return http_client


async def forward(request: Request, source: DataSource, path: str) -> Response:
    """Answer with a data source's response to the same request, without the caller's credentials.

    Raises QueryError (502) when it does not answer, and HTTPException (400) for a path that leaves its base path.
    """
    if ".." in path.split("/"):
        raise HTTPException(400, "Bad request")
    answer = await ask(
        client(request),
        source,
        request.method,
        path,
        params=request.query_params.multi_items(),
        content=await request.body(),
        headers={"content-type": request.headers.get("content-type", "application/json")},
    )
    kind = answer.headers.get("content-type", "application/json")
    return Response(answer.content, answer.status_code, headers={"content-type": kind})


async def health(request: Request) -> Response:
    """`GET /api/health`: always healthy, as there is no database."""
    return JSONResponse({"database": "ok", "version": VERSION, "commit": "double"})


async def search(request: Request) -> Response:
    """`GET /api/search` for dashboards, by query, tag and limit. Folders are not listed."""
    parameters = request.query_params
    words, limit = parameters.get("query", "").lower(), parameters.get("limit", "")
    dashboards = sorted(library(request).dashboards.values(), key=lambda dashboard: dashboard.title)
    hits = [
        {
            "uid": dashboard.uid,
            "title": dashboard.title,
            "url": dashboard.url,
            "type": "dash-db",
            "tags": dashboard.tags,
            "folderTitle": dashboard.folder,
        }
        for dashboard in dashboards
        if parameters.get("type", "dash-db") == "dash-db"
        and words in dashboard.title.lower()
        and set(parameters.getlist("tag")) <= set(dashboard.tags)
    ]
    return JSONResponse(hits[: int(limit)] if limit.isdigit() else hits)


async def dashboard(request: Request) -> Response:
    """`GET /api/dashboards/uid/{uid}`."""
    board = library(request).dashboards.get(request.path_params["uid"])
    if not board:
        raise HTTPException(404, "Dashboard not found")
    meta = {
        "type": "db",
        "canSave": False,
        "canEdit": False,
        "url": board.url,
        "folderTitle": board.folder,
        "provisioned": True,
        "provisionedExternalId": board.file.name,
    }
    return JSONResponse({"meta": meta, "dashboard": board.model})


def _public(source: DataSource) -> dict[str, Any]:
    return {
        "id": source.number,
        "uid": source.uid,
        "orgId": 1,
        "name": source.name,
        "type": source.type,
        "typeName": TYPE_NAMES.get(source.type, source.type),
        "access": "proxy",
        "url": source.url,
        "isDefault": source.is_default,
        "jsonData": source.json_data,
        "readOnly": True,
    }


def _source(request: Request) -> DataSource:
    uid = request.path_params["uid"]
    for source in library(request).data_sources:
        if source.uid == uid:
            return source
    raise HTTPException(404, "Data source not found")


async def data_sources(request: Request) -> Response:
    """`GET /api/datasources`."""
    return JSONResponse([_public(source) for source in library(request).data_sources])


async def data_source(request: Request) -> Response:
    """`GET /api/datasources/uid/{uid}`."""
    return JSONResponse(_public(_source(request)))


async def data_source_health(request: Request) -> Response:
    """`GET /api/datasources/uid/{uid}/health`: runs the query with which Grafana's plugin checks its data source."""
    source = _source(request)
    if source.type not in QUERYABLE:
        # Grafana's Alertmanager plugin has no server part; its page requests the alerts instead.
        raise HTTPException(500, "Plugin unavailable")
    expr, message = HEALTH_CHECKS[source.type]
    error = None
    try:
        await run(client(request), source, expr, Span(moment("now-1m"), moment("now")), instant=True)
    except QueryError as failure:
        error = failure.detail
    count_plugin_request(source.type, "checkHealth", succeeded=error is None)
    result = {"status": "ERROR" if error else "OK", "message": error or message}
    return JSONResponse(result, status_code=400 if error else 200)


async def proxy(request: Request) -> Response:
    """`/api/datasources/proxy/uid/{uid}/{path}`: forward reads to the data source."""
    return await forward(request, _source(request), f"/{request.path_params['path']}")


async def query(request: Request) -> Response:
    """`POST /api/ds/query`: run all queries of the body in parallel; 400 when one of them fails, as in Grafana."""
    try:
        body = await request.json()
        targets = list(body["queries"])
        start, end = moment(body.get("from", "now-1h")), moment(body.get("to", "now"))
        spans = [_span(target, start, end) for target in targets]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise HTTPException(400, f"bad request data: {error}") from error
    if not targets:
        raise HTTPException(400, "No queries found in query")
    sources = [library(request).source_of(target.get("datasource"), {}) for target in targets]
    answers = await asyncio.gather(
        *(_answer(client(request), *each) for each in zip(sources, targets, spans, strict=True))
    )
    # One call for each data source, as in Grafana; it failed when one of its queries failed.
    failed = {source.uid for source, answer in zip(sources, answers, strict=True) if source and "error" in answer}
    for uid, plugin in {source.uid: source.type for source in sources if source}.items():
        count_plugin_request(plugin, "queryData", succeeded=uid not in failed)
    results = {str(target.get("refId") or "A"): answer for target, answer in zip(targets, answers, strict=True)}
    has_error = any("error" in answer for answer in answers)
    return JSONResponse({"results": results}, status_code=400 if has_error else 200)


def _span(target: dict[str, Any], start: float, end: float) -> Span:
    smallest = max(float(target.get("intervalMs") or 0) / 1000, duration(str(target.get("interval") or "15s")))
    return Span.of(start, end, int(target.get("maxDataPoints") or 1000), smallest)


async def _answer(
    http_client: httpx.AsyncClient, source: DataSource | None, target: dict[str, Any], span: Span
) -> dict[str, Any]:
    ref_id, expr, kind = (str(target.get(key) or "") for key in ("refId", "expr", "queryType"))
    if source is None:
        return {"error": "data source not found", "status": 404, "frames": []}
    instant = bool(target.get("instant")) or kind == "instant"
    try:
        answer = await run(http_client, source, expr, span, instant=instant, kind=kind)
    except QueryError as error:
        LOG.error("Data source query failed", extra={"fields": {"datasource": source.uid, "error": error.detail}})
        return {"error": error.detail, "errorSource": "downstream", "status": error.status_code, "frames": []}
    return {"status": 200, "frames": frames(answer, ref_id or "A", str(target.get("legendFormat") or ""), expr)}


async def problems(request: Request) -> Response:
    """`GET /api/double/problems`: not in Grafana; lists what Grafana would have refused, for tests and people."""
    return JSONResponse(library(request).problems)


ROUTES = [
    Route("/api/health", health),
    Route("/api/search", search),
    Route("/api/dashboards/uid/{uid}", dashboard),
    Route("/api/datasources", data_sources),
    Route("/api/datasources/uid/{uid}", data_source),
    Route("/api/datasources/uid/{uid}/health", data_source_health),
    Route("/api/datasources/proxy/uid/{uid}/{path:path}", proxy, methods=["GET", "POST"]),
    Route("/api/ds/query", query, methods=["POST"]),
    Route("/api/double/problems", problems),
]
