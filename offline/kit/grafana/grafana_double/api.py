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
from .dashboards import Dashboard
from .datasources import QUERYABLE, TYPE_NAMES, VICTORIALOGS, DataSource
from .library import Library
from .meters import Meters
from .queries import QueryError, ask, frames, run
from .timing import Span, duration, moment
from .yamlfiles import ProvisioningError

LOG = logging.getLogger("tsdb")
HEALTHY_MESSAGES = {
    "prometheus": "Successfully queried the Prometheus API.",
    "loki": "Data source successfully connected.",
    VICTORIALOGS: "Data source is working",
}
"""Data source type → Grafana's message when its health check succeeds."""
RELOADABLE = {"dashboards", "datasources"}


def library(request: Request) -> Library:
    """Return the loaded dashboards and data sources."""
    loaded: Library = request.app.state.library
    return loaded


def client(request: Request) -> httpx.AsyncClient:
    """Return the HTTP client for data sources."""
    http_client: httpx.AsyncClient = request.app.state.client
    return http_client


def meters(request: Request) -> Meters:
    """Return the counters of requests."""
    counters: Meters = request.app.state.meters
    return counters


async def health(request: Request) -> Response:
    """`GET /api/health`: always healthy, as there is no database."""
    return JSONResponse({"database": "ok", "version": VERSION, "commit": "double"})


async def healthz(request: Request) -> Response:
    """`GET /healthz`."""
    return Response("Ok")


async def search(request: Request) -> Response:
    """`GET /api/search`, by query, tag, type, dashboardUIDs and limit."""
    parameters = request.query_params
    tags = set(parameters.getlist("tag"))
    uids = set(parameters.getlist("dashboardUIDs") + parameters.getlist("dashboardUID"))
    hits: list[dict[str, Any]] = []
    if parameters.get("type", "dash-db") == "dash-db":
        for dashboard in library(request).dashboards.values():
            fits_words = parameters.get("query", "").lower() in dashboard.title.lower()
            if fits_words and tags <= set(dashboard.tags) and (not uids or dashboard.uid in uids):
                hits.append(_hit(dashboard, len(hits) + 1))
    if parameters.get("type", "dash-folder") == "dash-folder" and not tags and not uids:
        hits += [
            {"uid": uid, "title": title, "type": "dash-folder", "url": f"/dashboards/f/{uid}", "tags": []}
            for uid, title in _folders(request).items()
            if parameters.get("query", "").lower() in title.lower()
        ]
    limit = parameters.get("limit", "")
    hits.sort(key=lambda hit: (hit["type"] != "dash-folder", hit["title"]))
    return JSONResponse(hits[: int(limit)] if limit.isdigit() else hits)


def _hit(dashboard: Dashboard, number: int) -> dict[str, Any]:
    hit = {
        "id": number,
        "uid": dashboard.uid,
        "title": dashboard.title,
        "uri": f"db/{dashboard.slug}",
        "url": f"/d/{dashboard.uid}/{dashboard.slug}",
        "slug": "",
        "type": "dash-db",
        "tags": dashboard.tags,
        "isStarred": False,
        "sortMeta": 0,
    }
    if dashboard.folder:
        hit |= {"folderUid": dashboard.folder_uid, "folderTitle": dashboard.folder}
    return hit


def _folders(request: Request) -> dict[str, str]:
    return {
        dashboard.folder_uid: dashboard.folder for dashboard in library(request).dashboards.values() if dashboard.folder
    }


async def folders(request: Request) -> Response:
    """`GET /api/folders`."""
    by_title = sorted(_folders(request).items(), key=lambda item: item[1])
    return JSONResponse([{"id": number, "uid": uid, "title": title} for number, (uid, title) in enumerate(by_title, 1)])


async def dashboard(request: Request) -> Response:
    """`GET /api/dashboards/uid/{uid}`."""
    board = library(request).dashboards.get(request.path_params["uid"])
    if not board:
        return JSONResponse({"message": "Dashboard not found", "status": "not-found"}, status_code=404)
    meta = {
        "type": "db",
        "canSave": False,
        "canEdit": False,
        "slug": board.slug,
        "url": f"/d/{board.uid}/{board.slug}",
        "isFolder": False,
        "folderUid": board.folder_uid,
        "folderTitle": board.folder or "General",
        "provisioned": True,
        "provisionedExternalId": board.file.name,
        "version": board.model.get("version") or 1,
    }
    return JSONResponse({"meta": meta, "dashboard": board.model})


def _public(source: DataSource) -> dict[str, Any]:
    return {
        "id": source.number,
        "uid": source.uid,
        "orgId": source.org,
        "name": source.name,
        "type": source.type,
        "typeName": TYPE_NAMES.get(source.type, source.type),
        "typeLogoUrl": "",
        "access": source.access,
        "url": source.url,
        "user": source.user,
        "database": source.database,
        "basicAuth": source.basic_auth,
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
    """`GET /api/datasources`; no secrets."""
    return JSONResponse([_public(source) for source in library(request).data_sources])


async def data_source(request: Request) -> Response:
    """`GET /api/datasources/uid/{uid}`."""
    source = _source(request)
    return JSONResponse(_public(source) | {"secureJsonFields": dict.fromkeys(source.secrets, True)})


async def data_source_health(request: Request) -> Response:
    """`GET /api/datasources/uid/{uid}/health`: runs the query with which Grafana's plugin checks its data source."""
    source = _source(request)
    if source.type not in QUERYABLE:
        # Grafana's Alertmanager plugin has no server part; its page requests the alerts instead.
        return JSONResponse({"message": "Plugin unavailable", "messageId": "plugin.unavailable"}, status_code=500)
    # The same queries as Grafana's own plugins send.
    expr = {"loki": "vector(1)+vector(1)", VICTORIALOGS: "* | limit 1"}.get(source.type, "1+1")
    now = moment("now")
    try:
        await run(client(request), source, expr, Span(now, now), instant=True)
    except QueryError as error:
        meters(request).count_plugin_request(source.type, "checkHealth", succeeded=False)
        return JSONResponse({"status": "ERROR", "message": str(error)}, status_code=400)
    meters(request).count_plugin_request(source.type, "checkHealth", succeeded=True)
    return JSONResponse({"status": "OK", "message": HEALTHY_MESSAGES[source.type]})


async def proxy(request: Request) -> Response:
    """`/api/datasources/proxy/uid/{uid}/{path}`: forward reads to the data source, without the caller's credentials."""
    source = _source(request)
    headers = {"content-type": request.headers["content-type"]} if "content-type" in request.headers else {}
    path = "/" + request.path_params["path"]
    # The data source would normalize `..`, and the path would leave the data source's base path.
    if ".." in path.split("/"):
        raise HTTPException(400, "Bad request")
    try:
        answer = await ask(
            client(request),
            source,
            request.method,
            path,
            params=request.query_params.multi_items(),
            content=await request.body(),
            headers=headers,
        )
    except QueryError as error:
        return JSONResponse({"message": str(error)}, status_code=error.status)
    kind = answer.headers.get("content-type", "application/json")
    return Response(answer.content, answer.status_code, headers={"content-type": kind})


async def query(request: Request) -> Response:
    """`POST /api/ds/query`: run all queries of the body in parallel; 400 when one of them fails, as in Grafana."""
    try:
        body = await request.json()
        queries = list(body["queries"])
        start, end = moment(body.get("from", "now-1h")), moment(body.get("to", "now"))
        spans = [_span(target, start, end) for target in queries]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        return JSONResponse({"message": f"bad request data: {error}"}, status_code=400)
    if not queries:
        return JSONResponse({"message": "No queries found in query"}, status_code=400)
    answers = await asyncio.gather(
        *(_answer(request, target, span) for target, span in zip(queries, spans, strict=True))
    )
    results = {str(target.get("refId") or "A"): answer for target, answer in zip(queries, answers, strict=True)}
    _count(request, queries, answers)
    failed = any("error" in answer for answer in answers)
    return JSONResponse({"results": results}, status_code=400 if failed else 200)


def _count(request: Request, queries: list[dict[str, Any]], answers: list[dict[str, Any]]) -> None:
    """Count one call per data source plugin, as failed when one of its queries failed, as in Grafana."""
    outcomes: dict[str, tuple[str, bool]] = {}
    for target, answer in zip(queries, answers, strict=True):
        if source := library(request).source_of(target.get("datasource"), {}):
            succeeded = outcomes.get(source.uid, ("", True))[1] and "error" not in answer
            outcomes[source.uid] = (source.type, succeeded)
    for plugin, succeeded in outcomes.values():
        meters(request).count_plugin_request(plugin, "queryData", succeeded=succeeded)


def _span(target: dict[str, Any], start: float, end: float) -> Span:
    smallest = max(float(target.get("intervalMs") or 0) / 1000, duration(str(target.get("interval") or "15s")))
    return Span.of(start, end, int(target.get("maxDataPoints") or 1000), smallest)


async def _answer(request: Request, target: dict[str, Any], span: Span) -> dict[str, Any]:
    ref_id, expr = str(target.get("refId") or "A"), str(target.get("expr") or "")
    source = library(request).source_of(target.get("datasource"), {})
    if source is None:
        return {"error": "data source not found", "status": 404, "frames": []}
    instant = bool(target.get("instant")) or target.get("queryType") == "instant"
    # Grafana runs both forms when both are requested, and a range query when neither is.
    forms = [True, False] if instant and target.get("range") else [instant]
    template, kind = str(target.get("legendFormat") or ""), str(target.get("queryType") or "")
    data_frames: list[dict[str, Any]] = []
    try:
        for form in forms:
            answer = await run(client(request), source, expr, span, instant=form, kind=kind)
            data_frames += frames(answer, ref_id, template, expr)
    except QueryError as error:
        LOG.error("Data source query failed", extra={"fields": {"datasource": source.uid, "error": error}})
        return {"error": str(error), "errorSource": "downstream", "status": error.status, "frames": []}
    return {"status": 200, "frames": data_frames}


async def reload(request: Request) -> Response:
    """`POST /api/admin/provisioning/{dashboards,datasources}/reload`; on an error the loaded state stays."""
    if request.path_params["what"] not in RELOADABLE:
        raise HTTPException(404, "Not found")
    try:
        await asyncio.to_thread(library(request).load)
    except ProvisioningError as error:
        LOG.error("Failed to provision", extra={"fields": {"error": error}})
        return JSONResponse({"message": str(error)}, status_code=500)
    return JSONResponse({"message": f"{request.path_params['what'].capitalize()} config reloaded"})


async def problems(request: Request) -> Response:
    """`GET /api/double/problems`: not in Grafana; lists what Grafana would have refused, for tests and people."""
    return JSONResponse(library(request).problems)


ROUTES = [
    Route("/api/health", health),
    Route("/healthz", healthz),
    Route("/api/search", search),
    Route("/api/folders", folders),
    Route("/api/dashboards/uid/{uid}", dashboard),
    Route("/api/datasources", data_sources),
    Route("/api/datasources/uid/{uid}", data_source),
    Route("/api/datasources/uid/{uid}/health", data_source_health),
    Route("/api/datasources/proxy/uid/{uid}/{path:path}", proxy, methods=["GET", "POST"]),
    Route("/api/ds/query", query, methods=["POST"]),
    Route("/api/admin/provisioning/{what:str}/reload", reload, methods=["POST"]),
    Route("/api/double/problems", problems),
]
