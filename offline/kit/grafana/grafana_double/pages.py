"""The pages for people: the list of dashboards, and each dashboard as a table of its panels' current values."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable
from html import escape
from typing import Any
from urllib.parse import parse_qs

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from . import NOTICE, VERSION
from .api import client, library
from .auth import COOKIE, SESSION_SECONDS, Door
from .dashboards import Dashboard, panels, targets
from .library import variables
from .meters import count_failed_login
from .queries import QueryError, legend, run
from .settings import Settings
from .timing import Span, moment
from .values import format_value

STYLE = (
    "body{font:15px system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#222;background:#fff}"
    "table{border-collapse:collapse;width:100%}td,th{border-bottom:1px solid #ddd;padding:.35rem;text-align:left;"
    "vertical-align:top}td.v{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}"
    ".double{background:#fff3cd;padding:.6rem}.error{color:#b00020}small{color:#666}"
)
HEADERS = {
    "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'",
    "x-content-type-options": "nosniff",
    "cache-control": "no-store",
}
MAX_LINES = 20
"""Series or log lines shown for one query."""


def page(title: str, body: str, status: int = 200, refresh: int = 0) -> HTMLResponse:
    """Return one page, which says that this is a double. `body` must be escaped already."""
    reload = f'<meta http-equiv="refresh" content="{refresh}">' if refresh else ""
    text = (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)} · Grafana double</title>'
        f"{reload}<style>{STYLE}</style></head><body>"
        f'<p class="double"><strong>Grafana double.</strong> {NOTICE} Version {VERSION}.</p>'
        f"<h1>{escape(title)}</h1>{body}</body></html>"
    )
    return HTMLResponse(text, status, headers=HEADERS)


def table(headings: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """Return a table. The cells must be escaped already."""
    cells = [f"<th>{heading}</th>" for heading in headings]
    lines = [f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows]
    return f"<table><tr>{''.join(cells)}</tr>{''.join(lines)}</table>"


async def front(request: Request) -> Response:
    """`/`: the dashboards, the data sources, and their problems."""
    loaded = library(request)
    boards = [
        (f'<a href="{board.url}">{escape(board.title)}</a>', escape(board.folder), escape(", ".join(board.tags)))
        for board in sorted(loaded.dashboards.values(), key=lambda board: board.title)
    ]
    sources = [
        map(escape, (f"{source.name}{' (default)' * source.is_default}", source.type, source.uid, source.url))
        for source in loaded.data_sources
    ]
    problems = "".join(f'<li class="error">{escape(problem)}</li>' for problem in loaded.problems)
    body = table(("Dashboard", "Folder", "Tags"), boards)
    body += f"<h2>Data sources</h2>{table(('Name', 'Type', 'Uid', 'Address'), sources)}"
    return page("Dashboards", body + (f"<h2>Problems</h2><ul>{problems}</ul>" if problems else ""))


async def board(request: Request) -> Response:
    """`/d/{uid}`: each panel's title and the current values of its queries."""
    dashboard = library(request).dashboards.get(request.path_params["uid"])
    if not dashboard:
        return page("Dashboard not found", '<p><a href="/">All dashboards</a></p>', status=404)
    rows = await asyncio.gather(*(_panel(request, dashboard, panel) for panel in panels(dashboard.model)))
    about = escape(str(dashboard.model.get("description") or ""))
    return page(
        dashboard.title,
        f'<p>{about} <small>Now; refreshed every 30 seconds. <a href="/">All dashboards</a></small></p>'
        f"<table><tr><th>Panel</th><th>Series</th><th>Value</th></tr>{''.join(rows)}</table>",
        refresh=30,
    )


async def _panel(request: Request, dashboard: Dashboard, panel: dict[str, Any]) -> str:
    """Return the table rows of one panel: a row for each series."""
    defaults = (panel.get("fieldConfig") or {}).get("defaults") or {}
    lines: list[tuple[str, str, str]] = []
    for target in targets(panel):
        lines += await _lines(request, dashboard, target, defaults)
    if not lines:
        lines = [("", str(defaults.get("noValue") or "No data"), "v")]
    title = escape(str(panel.get("title") or ""))
    about = escape(str(panel.get("description") or ""))
    first = f'<td rowspan="{len(lines)}"><strong>{title}</strong><br><small>{about}</small></td>'
    cells = [f'<td>{escape(name)}</td><td class="{kind}">{escape(value)}</td>' for name, value, kind in lines]
    return "".join(f"<tr>{first if not number else ''}{cell}</tr>" for number, cell in enumerate(cells))


async def _lines(
    request: Request, dashboard: Dashboard, target: dict[str, Any], defaults: dict[str, Any]
) -> list[tuple[str, str, str]]:
    """Return name, current value and style of each series of one query."""
    source = library(request).source_of(target["datasource"], dashboard.model)
    expr = substitute_variables(str(target.get("expr") or ""), dashboard.model)
    if source is None:
        return [(expr, "Datasource was not found", "error")]
    span, kind = Span(moment("now-1h"), moment("now")), str(target.get("queryType") or "")
    try:
        answer = await run(client(request), source, expr, span, instant=True, kind=kind)
    except QueryError as error:
        return [(expr, error.detail, "error")]
    template = str(target.get("legendFormat") or "")
    lines = [
        (legend(template, series.labels, expr), format_value(series.values[-1], defaults), "v")
        for series in answer.series
        if series.values
    ]
    return lines[:MAX_LINES]


def substitute_variables(expr: str, model: dict[str, Any]) -> str:
    """Replace a dashboard's variables (`$name`, `${name}`, `${name:format}`) by their current values."""
    for variable in variables(model):
        value = (variable.get("current") or {}).get("value")
        if isinstance(value, list):
            value = "|".join(str(part) for part in value)
        if value == "$__all":
            value = variable.get("allValue") or ".*"
        if value is not None:
            name = re.escape(str(variable.get("name")))
            # A backslash in the value must stay one.
            text = str(value).replace("\\", r"\\")
            expr = re.sub(rf"\$\{{{name}(?::\w+)?\}}|\${name}\b", text, expr)
    return expr


FORM = (
    '<form method="post" action="/login"><p><label>User <input name="user" autocomplete="username"></label></p>'
    '<p><label>Password <input name="password" type="password" autocomplete="current-password"></label></p>'
    "<p><button>Log in</button></p></form>"
)


async def login(request: Request) -> Response:
    """`/login`: the form on GET; a log-in by it on POST."""
    settings: Settings = request.app.state.settings
    door: Door = request.app.state.door
    title = "Welcome to the Grafana double"
    if not settings.login_form:
        text = "<p>The log-in by name and password is switched off; of identity providers the double knows nothing.</p>"
        return page(title, text, 401 if request.method == "POST" else 200)
    if request.method != "POST":
        return page(title, FORM)
    form = parse_qs((await request.body()).decode(errors="replace"))
    user, password = (form.get(field, [""])[0] for field in ("user", "password"))
    if not door.password_matches(user, password):
        count_failed_login()
        return page(title, f'<p class="error">Invalid username or password</p>{FORM}', 401)
    answer = RedirectResponse("/", 303)
    secure, samesite = settings.cookie_secure, settings.cookie_samesite
    answer.set_cookie(COOKIE, door.open_session(), SESSION_SECONDS, httponly=True, samesite=samesite, secure=secure)
    return answer


async def logout(request: Request) -> Response:
    """`/logout`."""
    request.app.state.door.close_session(request.cookies.get(COOKIE, ""))
    answer = RedirectResponse("/login", 302)
    answer.delete_cookie(COOKIE)
    return answer


ROUTES = [
    Route("/", front),
    Route("/d/{uid}", board),
    Route("/d/{uid}/{slug}", board),
    Route("/login", login, methods=["GET", "POST"]),
    Route("/logout", logout),
]
