"""Run queries on Prometheus, Loki and VictoriaLogs, and convert the responses to series or Grafana's data frames."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import httpx
from starlette.exceptions import HTTPException

from .datasources import VICTORIALOGS, DataSource
from .timing import Span

LABEL = re.compile(r"\{\{\s*([\w.]+)\s*\}\}")
API = {"prometheus": "/api/v1", "loki": "/loki/api/v1"}
LOGSQL = {"": "query", "instant": "query", "stats": "stats_query", "statsRange": "stats_query_range"}
"""Query type of the VictoriaLogs plugin → last part of the path that it requests."""

LOG_LINES = "streams"
"""Kind of an answer that consists of log lines."""


class QueryError(HTTPException):
    """A data source did not answer, or answered with an error; the detail is the message that a panel shows."""

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(max(status, 400), message)


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
    series: list[Series]


def new_client() -> httpx.AsyncClient:
    """Return a client for data sources, which ignores proxies from the environment."""
    return httpx.AsyncClient(timeout=30, trust_env=False, follow_redirects=False)


async def ask(
    client: httpx.AsyncClient, source: DataSource, method: str, path: str, **arguments: Any
) -> httpx.Response:
    """Send one request to a data source. Raises QueryError (502) when it does not answer."""
    try:
        return await client.request(method, source.url + path, **arguments)
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
    # Loki's timestamps are in nanoseconds.
    scale = 1_000_000_000 if source.type == "loki" else 1
    start, end = (str(int(time * scale)) if scale > 1 else f"{time:.3f}" for time in (span.start, span.end))
    path, times = ("query", {"time": end}) if instant else ("query_range", {"start": start, "end": end})
    parameters = {"query": span.interpolate(expr), **times, **({} if instant else {"step": f"{span.step:g}"})}
    method, argument = ("POST", "data") if source.type == "prometheus" else ("GET", "params")
    return _read(await ask(client, source, method, f"{API[source.type]}/{path}", **{argument: parameters}), scale)


async def _run_logsql(client: httpx.AsyncClient, source: DataSource, expr: str, span: Span, kind: str) -> Answer:
    """Query VictoriaLogs as its plugin does: for log lines, unless the query has another type."""
    if kind not in LOGSQL:
        raise QueryError(f"VictoriaLogs' plugin knows no queries of type {kind!r}: {', '.join(filter(None, LOGSQL))}")
    parameters = {"query": span.interpolate(expr), "start": f"{span.start:.3f}", "end": f"{span.end:.3f}"}
    if kind == "statsRange":
        parameters["step"] = f"{span.step:g}s"
    elif kind == "stats":
        parameters = {"query": f"_time:{span.end - span.start:.0f}s {parameters['query']}", "time": f"{span.end:.3f}"}
    else:
        parameters["limit"] = "1000"
    response = await ask(client, source, "POST", f"/select/logsql/{LOGSQL[kind]}", data=parameters)
    if kind.startswith("stats"):
        return _read(response, 1)
    if response.is_error:
        raise QueryError(_error_text(response), response.status_code)
    return _lines(response)


def _lines(response: httpx.Response) -> Answer:
    """Parse JSON lines, one per log line, into one series per stream."""
    streams: dict[str, list[tuple[float, str, dict[str, str]]]] = {}
    for text in filter(str.strip, response.text.splitlines()):
        fields = json.loads(text)
        # Python parses at most six of the nine fractional digits.
        time = datetime.fromisoformat(re.sub(r"(\.\d{6})\d+", r"\1", fields.pop("_time"))).timestamp()
        streams.setdefault(fields.get("_stream", ""), []).append((time, fields.pop("_msg", ""), fields))
    series = []
    for lines in streams.values():
        lines.sort(key=lambda line: line[0])
        series.append(Series(lines[-1][2], [line[0] for line in lines], [line[1] for line in lines]))
    return Answer(LOG_LINES, series)


def _read(response: httpx.Response, scale: int) -> Answer:
    """Parse the answer that Prometheus, Loki and VictoriaLogs' statistics have in common."""
    try:
        answer = response.json()
        data = answer["data"] if answer["status"] == "success" else None
    except (ValueError, KeyError, TypeError):
        data = None
    if data is None:
        raise QueryError(_error_text(response), response.status_code)
    kind = data["resultType"]
    if kind == "scalar":
        time, value = data["result"]
        return Answer(kind, [Series({}, [float(time)], [float(value)])])
    series = []
    for result in data["result"]:
        labels = result.get("metric") or result.get("stream") or {}
        points = result["values"] if "values" in result else [result["value"]]
        times = [float(time) / (scale if kind == LOG_LINES else 1) for time, _ in points]
        values = [value if kind == LOG_LINES else float(value) for _, value in points]
        series.append(Series(labels, times, values))
    return Answer(kind, series)


def _error_text(response: httpx.Response) -> str:
    """Return the error of a response: its own message in JSON, else its first characters."""
    try:
        answer = response.json()
        return str(answer.get("error") or answer["message"])
    except (ValueError, KeyError, AttributeError):
        return f"HTTP {response.status_code}: {response.text.strip()[:200] or response.reason_phrase}"


def legend(template: str, labels: Mapping[str, str], expr: str) -> str:
    """Return the name of a series: the template with `{{label}}` filled in, else its labels, else the expression."""
    if template and template != "__auto":
        return LABEL.sub(lambda match: labels.get(match[1], match[0]), template)
    name = labels.get("__name__", "")
    pairs = ", ".join(f'{key}="{value}"' for key, value in sorted(labels.items()) if key != "__name__")
    return f"{name}{{{pairs}}}" if pairs else name or expr


def frames(answer: Answer, ref_id: str, template: str, expr: str) -> list[dict[str, Any]]:
    """Return Grafana's data frames: one per series, with a time field (milliseconds) and a value field.

    JSON has no NaN and no infinities: they are null.
    """
    name, kind = ("Line", "string") if answer.kind == LOG_LINES else ("Value", "number")
    data_frames = []
    for series in answer.series:
        value_field = {
            "name": name,
            "type": kind,
            "labels": {key: value for key, value in series.labels.items() if key != "__name__" or not template},
            "config": {"displayNameFromDS": legend(template, series.labels, expr)},
        }
        schema = {"refId": ref_id, "fields": [{"name": "Time", "type": "time"}, value_field]}
        values = [None if isinstance(value, float) and not math.isfinite(value) else value for value in series.values]
        data_frames.append({"schema": schema, "data": {"values": [[int(t * 1000) for t in series.times], values]}})
    return data_frames
