"""Run queries on Prometheus, Loki and VictoriaLogs, and convert the responses to series or Grafana's data frames."""

from __future__ import annotations

import json
import logging
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import httpx

from .datasources import VICTORIALOGS, DataSource
from .timing import Span

LOG = logging.getLogger("tsdb")
LABEL = re.compile(r"\{\{\s*([\w.]+)\s*\}\}")
API = {"prometheus": "/api/v1", "loki": "/loki/api/v1"}


class QueryError(Exception):
    """A data source did not answer, or answered with an error; the message is the one that a panel shows."""

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True)
class Series:
    """One series: times in seconds; values are numbers, or text lines for logs."""

    labels: dict[str, str]
    times: list[float]
    values: list[float] | list[str]


@dataclass(frozen=True)
class Answer:
    """The result of a query; `kind` is the resultType of Prometheus or Loki."""

    kind: str
    series: list[Series] = field(default_factory=list)


def new_client() -> httpx.AsyncClient:
    """Return a client for data sources, which ignores proxies from the environment."""
    return httpx.AsyncClient(timeout=30, trust_env=False, follow_redirects=False)


async def ask(
    client: httpx.AsyncClient, source: DataSource, method: str, path: str, **arguments: Any
) -> httpx.Response:
    """Send one request to a data source with its credentials. Raises QueryError (502) when it does not answer."""
    auth = None
    if source.basic_auth:
        auth = httpx.BasicAuth(source.basic_auth_user, source.secrets.get("basicAuthPassword", ""))
    headers = {**arguments.pop("headers", {}), **source.headers()}
    try:
        return await client.request(method, source.url + path, auth=auth, headers=headers, **arguments)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise QueryError(f"{source.url}: {error or type(error).__name__}", status=502) from error


async def run(
    client: httpx.AsyncClient, source: DataSource, expr: str, span: Span, instant: bool, kind: str = ""
) -> Answer:
    """Run one expression, at the end of the span (`instant`) or over it. `kind` is the query type of VictoriaLogs.

    Raises QueryError when the data source cannot be queried, does not answer, or rejects the expression.
    """
    if source.type == VICTORIALOGS:
        return await _run_logsql(client, source, expr, span, "stats" if instant and kind == "statsRange" else kind)
    if source.type not in API:
        raise QueryError(f"the double cannot query data sources of type {source.type!r}")
    parameters = {"query": span.interpolate(expr)}
    # Loki's timestamps are in nanoseconds.
    scale = 1_000_000_000 if source.type == "loki" else 1
    if instant:
        path, times = "/query", {"time": _stamp(span.end, scale)}
    else:
        path = "/query_range"
        times = {"start": _stamp(span.start, scale), "end": _stamp(span.end, scale), "step": f"{span.step:g}"}
    if source.type == "prometheus" and str(source.json_data.get("httpMethod", "POST")).upper() == "POST":
        response = await ask(client, source, "POST", API[source.type] + path, data=parameters | times)
    else:
        response = await ask(client, source, "GET", API[source.type] + path, params=parameters | times)
    return _read(response, scale)


LOGSQL = {"": "query", "instant": "query", "stats": "stats_query", "statsRange": "stats_query_range", "hits": "hits"}
"""Query type of the VictoriaLogs plugin → last part of the path that it requests."""


async def _run_logsql(client: httpx.AsyncClient, source: DataSource, expr: str, span: Span, kind: str) -> Answer:
    """Query VictoriaLogs as its plugin does: for log lines, unless the query has another type."""
    if kind not in LOGSQL:
        raise QueryError(f"VictoriaLogs' plugin knows no queries of type {kind!r}: {', '.join(filter(None, LOGSQL))}")
    parameters = {"query": span.interpolate(expr), "start": f"{span.start:.3f}", "end": f"{span.end:.3f}"}
    if kind in ("statsRange", "hits"):
        parameters["step"] = f"{span.step:g}s"
    elif kind == "stats":
        parameters = {"query": f"_time:{span.end - span.start:.0f}s {parameters['query']}", "time": f"{span.end:.3f}"}
    else:
        parameters["limit"] = "1000"
    response = await ask(client, source, "POST", f"/select/logsql/{LOGSQL[kind]}", data=parameters)
    if kind.startswith("stats"):
        return _read(response, 1)
    if response.status_code != httpx.codes.OK:
        raise QueryError(
            response.text.strip()[:200] or f"HTTP {response.status_code}", status=max(response.status_code, 400)
        )
    return _hits(response) if kind == "hits" else _lines(response)


def _hits(response: httpx.Response) -> Answer:
    series = [
        Series(entry["fields"], [_moment(time) for time in entry["timestamps"]], [float(v) for v in entry["values"]])
        for entry in response.json()["hits"]
    ]
    return Answer("matrix", series)


def _lines(response: httpx.Response) -> Answer:
    """Parse JSON lines, one per log line, into one series per stream."""
    streams: dict[str, list[tuple[float, str, dict[str, str]]]] = {}
    for text in response.text.splitlines():
        if text.strip():
            fields = json.loads(text)
            line = (_moment(fields.pop("_time")), fields.pop("_msg", ""), fields)
            streams.setdefault(fields.get("_stream", ""), []).append(line)
    series = []
    for lines in streams.values():
        lines.sort(key=lambda line: line[0])
        series.append(Series(lines[-1][2], [line[0] for line in lines], [line[1] for line in lines]))
    return Answer("streams", series)


def _moment(text: str) -> float:
    # Python parses at most six of the nine fractional digits.
    return datetime.fromisoformat(re.sub(r"(\.\d{6})\d+", r"\1", text)).timestamp()


def _stamp(seconds: float, scale: int) -> str:
    return str(int(seconds * scale)) if scale > 1 else f"{seconds:.3f}"


def _read(response: httpx.Response, scale: int) -> Answer:
    try:
        answer = response.json()
    except ValueError:
        text = response.text.strip()[:200] or response.reason_phrase
        raise QueryError(f"HTTP {response.status_code}: {text}", status=response.status_code or 502) from None
    if not isinstance(answer, dict) or answer.get("status") != "success":
        error = answer.get("error") or answer.get("message") if isinstance(answer, dict) else None
        raise QueryError(str(error or f"HTTP {response.status_code}"), status=max(response.status_code, 400))
    data = answer["data"]
    kind = data["resultType"]
    if kind in {"scalar", "string"}:
        moment, value = data["result"]
        return Answer(kind, [Series({}, [float(moment)], [float(value)] if kind == "scalar" else [value])])
    series = []
    for result in data["result"]:
        labels = result.get("metric") or result.get("stream") or {}
        points = result["values"] if "values" in result else [result["value"]]
        times = [float(point[0]) for point in points]
        if kind == "streams":
            series.append(Series(labels, [moment / scale for moment in times], [point[1] for point in points]))
        else:
            series.append(Series(labels, times, [float(point[1]) for point in points]))
    return Answer(kind, series)


def legend(template: str, labels: Mapping[str, str], expr: str) -> str:
    """Return the name of a series: the template with `{{label}}` filled in, else its labels, else the expression."""
    if template and template != "__auto":
        return LABEL.sub(lambda match: labels.get(match[1], match[0]), template)
    name = labels.get("__name__", "")
    pairs = ", ".join(f'{key}="{value}"' for key, value in sorted(labels.items()) if key != "__name__")
    return f"{name}{{{pairs}}}" if pairs else name or expr


def frames(answer: Answer, ref_id: str, template: str, expr: str) -> list[dict[str, Any]]:
    """Return Grafana's data frames: one per series, with a time field (milliseconds) and a value field."""
    logs = answer.kind in {"streams", "string"}
    shape = {"matrix": "timeseries-multi", "vector": "numeric-multi", "streams": "log-lines"}.get(answer.kind)
    meta: dict[str, Any] = {"custom": {"resultType": answer.kind}, "executedQueryString": f"Expr: {expr}"}
    if shape:
        meta |= {"type": shape, "typeVersion": [0, 1]}
    data_frames = []
    for series in answer.series:
        value_field: dict[str, Any] = {
            "name": "Line" if logs else "Value",
            "type": "string" if logs else "number",
            "typeInfo": {"frame": "string" if logs else "float64"},
            "labels": {key: value for key, value in series.labels.items() if key != "__name__" or not template},
            "config": {"displayNameFromDS": legend(template, series.labels, expr)},
        }
        time_field = {"name": "Time", "type": "time", "typeInfo": {"frame": "time.Time"}}
        values, entities = _json_numbers(series.values)
        data: dict[str, Any] = {"values": [[int(moment * 1000) for moment in series.times], values]}
        if entities:
            data["entities"] = [None, entities]
        schema = {"refId": ref_id, "meta": meta, "fields": [time_field, value_field]}
        data_frames.append({"schema": schema, "data": data})
    return data_frames


def _json_numbers(values: list[float] | list[str]) -> tuple[list[Any], dict[str, list[int]]]:
    """Return values that JSON can represent, and the positions of NaN and infinities, as Grafana does."""
    entities: dict[str, list[int]] = {}
    clean: list[Any] = []
    for position, value in enumerate(values):
        if isinstance(value, float) and not math.isfinite(value):
            name = "NaN" if math.isnan(value) else "Inf" if value > 0 else "NegInf"
            entities.setdefault(name, []).append(position)
            clean.append(None)
        else:
            clean.append(value)
    return clean, entities
