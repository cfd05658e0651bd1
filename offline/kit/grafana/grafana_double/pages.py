"""The pages for people: the list of dashboards, and each dashboard as a table of its panels' current values."""

from __future__ import annotations

import asyncio
import re
from html import escape
from typing import Any
from urllib.parse import parse_qs

import httpx
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from . import NOTICE, VERSION
from .api import client, library, meters
from .auth import COOKIE, SESSION_SECONDS, Door, refused
from .dashboards import Dashboard, panels
from .library import Library, variables
from .queries import QueryError, legend, run
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
MOST_LINES = 20
"""Series or log lines shown for one query."""


def page(title: str, body: str, status: int = 200, refresh: int = 0) -> HTMLResponse:
    """Return one page, which says that this is a double. `body` must be escaped already."""
    again = f'<meta http-equiv="refresh" content="{refresh}">' if refresh else ""
    text = (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)} · Grafana double</title>'
        f"{again}<style>{STYLE}</style></head><body>"
        f'<p class="double"><strong>Grafana double.</strong> {NOTICE} Version {VERSION}.</p>'
        f"<h1>{escape(title)}</h1>{body}</body></html>"
    )
    return HTMLResponse(text, status, headers=HEADERS)


async def front(request: Request) -> Response:
    """`/`: the dashboards, the data sources, and their problems."""
    loaded = library(request)
    boards = "".join(
        f'<tr><td><a href="/d/{board.uid}/{board.slug}">{escape(board.title)}</a></td>'
        f"<td>{escape(board.folder or 'General')}</td><td>{escape(', '.join(board.tags))}</td></tr>"
        for board in sorted(loaded.dashboards.values(), key=lambda board: board.title)
    )
    sources = "".join(
        f"<tr><td>{escape(source.name)}{' (default)' if source.is_default else ''}</td>"
        f"<td>{escape(source.type)}</td><td>{escape(source.uid)}</td><td>{escape(source.url)}</td></tr>"
        for source in loaded.data_sources
    )
    problems = "".join(f'<li class="error">{escape(problem)}</li>' for problem in loaded.problems)
    return page(
        "Dashboards",
        f"<table><tr><th>Dashboard</th><th>Folder</th><th>Tags</th></tr>{boards}</table>"
        f"<h2>Data sources</h2><table><tr><th>Name</th><th>Type</th><th>Uid</th><th>Address</th></tr>{sources}</table>"
        + (f"<h2>Problems</h2><ul>{problems}</ul>" if problems else ""),
    )


async def board(request: Request) -> Response:
    """`/d/{uid}`: each panel's title and the current values of its queries."""
    loaded = library(request)
    dashboard = loaded.dashboards.get(request.path_params["uid"])
    if not dashboard:
        return page("Dashboard not found", '<p><a href="/">All dashboards</a></p>', status=404)
    data_panels = list(panels(dashboard.model))
    rows = await asyncio.gather(*(_panel(loaded, client(request), dashboard, panel) for panel in data_panels))
    about = escape(str(dashboard.model.get("description") or ""))
    return page(
        dashboard.title,
        f'<p>{about} <small>Now; refreshed every 30 seconds. <a href="/">All dashboards</a></small></p>'
        f"<table><tr><th>Panel</th><th>Series</th><th>Value</th></tr>{''.join(rows)}</table>",
        refresh=30,
    )


async def _panel(loaded: Library, http: httpx.AsyncClient, dashboard: Dashboard, panel: dict[str, Any]) -> str:
    defaults = (panel.get("fieldConfig") or {}).get("defaults") or {}
    targets = [target for target in panel.get("targets") or [] if isinstance(target, dict)]
    lines: list[tuple[str, str, str]] = []
    for target in targets:
        if not target.get("hide"):
            lines += await _lines(loaded, http, dashboard, panel, target, defaults)
    if not lines:
        lines = [("", str(defaults.get("noValue") or "No data"), "v")]
    title = escape(str(panel.get("title") or ""))
    about = escape(str(panel.get("description") or ""))
    first = f'<td rowspan="{len(lines)}"><strong>{title}</strong><br><small>{about}</small></td>'
    cells = [f'<td>{escape(name)}</td><td class="{kind}">{escape(value)}</td>' for name, value, kind in lines]
    return "".join(f"<tr>{first if not number else ''}{cell}</tr>" for number, cell in enumerate(cells))


async def _lines(
    loaded: Library,
    http: httpx.AsyncClient,
    dashboard: Dashboard,
    panel: dict[str, Any],
    target: dict[str, Any],
    defaults: dict[str, Any],
) -> list[tuple[str, str, str]]:
    """Return name, current value and style of each series of one query."""
    source = loaded.source_of(target.get("datasource") or panel.get("datasource"), dashboard.model)
    expr = substitute_variables(str(target.get("expr") or ""), dashboard.model)
    if source is None:
        return [(expr, "Datasource was not found", "error")]
    now = moment("now")
    try:
        answer = await run(
            http, source, expr, Span(now - 3600, now), instant=True, kind=str(target.get("queryType") or "")
        )
    except QueryError as error:
        return [(expr, str(error), "error")]
    template = str(target.get("legendFormat") or "")
    lines = [
        (legend(template, series.labels, expr), format_value(series.values[-1], defaults), "v")
        for series in answer.series
        if series.values
    ]
    return lines[:MOST_LINES]


def substitute_variables(expr: str, model: dict[str, Any]) -> str:
    """Replace a dashboard's variables (`$name`, `${name}`, `[[name]]`) by their default values."""
    for variable in variables(model):
        current = variable.get("current")
        value = current.get("value") if isinstance(current, dict) else None
        if value is None and variable.get("type") in {"constant", "textbox", "custom"}:
            value = str(variable.get("query") or "").split(",")[0]
        if isinstance(value, list):
            value = "|".join(str(part) for part in value)
        if value in {"$__all", "All"}:
            value = str(variable.get("allValue") or ".*")
        if value is not None:
            name = re.escape(str(variable.get("name")))
            text = str(value)
            pattern = rf"\$\{{{name}(?::\w+)?\}}|\[\[{name}\]\]|\${name}\b"
            # A backslash in the value must stay one.
            expr = re.sub(pattern, text.replace("\\", r"\\"), expr)
    return expr


FORM = (
    '<form method="post" action="/login"><p><label>User <input name="user" autocomplete="username"></label></p>'
    '<p><label>Password <input name="password" type="password" autocomplete="current-password"></label></p>'
    "<p><button>Log in</button></p></form>"
)


async def login(request: Request) -> Response:
    """`/login`: the form on GET; a login on POST, by form or by JSON as Grafana's own page sends it."""
    if not request.app.state.settings.login_form:
        text = "<p>The log-in by name and password is switched off; of identity providers the double knows nothing.</p>"
        return page("Welcome to the Grafana double", text, 401 if request.method == "POST" else 200)
    if request.method != "POST":
        return page("Welcome to the Grafana double", FORM)
    door: Door = request.app.state.door
    as_json = request.headers.get("content-type", "").startswith("application/json")
    try:
        if as_json:
            credentials = await request.json()
            user, password = str(credentials["user"]), str(credentials["password"])
        else:
            form = parse_qs((await request.body()).decode())
            user, password = form.get("user", [""])[0], form.get("password", [""])[0]
    except (ValueError, KeyError, TypeError):
        return refused(400, "bad login data", "bad-request")
    if not door.password_matches(user, password):
        meters(request).login_failed()
        if as_json:
            return refused(401, "Invalid username or password", "password-auth.failed")
        return page("Welcome to the Grafana double", f'<p class="error">Invalid username or password</p>{FORM}', 401)
    answer: Response = (
        JSONResponse({"message": "Logged in", "redirectUrl": "/"}) if as_json else RedirectResponse("/", 303)
    )
    settings = request.app.state.settings
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
    Route("/dashboards", front),
    Route("/d/{uid}", board),
    Route("/d/{uid}/{slug}", board),
    Route("/login", login, methods=["GET", "POST"]),
    Route("/logout", logout),
]
