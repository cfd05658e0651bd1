"""Authentication and access: basic authentication, the session cookie, anonymous viewers where allowed."""

from __future__ import annotations

import base64
import binascii
import logging
import secrets
import time

from starlette.requests import HTTPConnection
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .settings import Settings

LOG = logging.getLogger("context")
COOKIE = "grafana_session"
SESSION_SECONDS = 24 * 3600
PUBLIC = {"/login", "/logout", "/api/health", "/healthz", "/metrics", "/robots.txt"}
ADMIN_ONLY = ("/api/datasources", "/api/admin")
"""Path prefixes that Grafana denies to anonymous viewers."""


class Door:
    """Authenticates the single account and holds its sessions, which end with the process."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._sessions: dict[str, float] = {}

    def password_matches(self, user: str, password: str) -> bool:
        """Tell whether user and password match, in constant time."""
        right_user = secrets.compare_digest(user.encode(), self._settings.admin_user.encode())
        right_password = secrets.compare_digest(password.encode(), self._settings.admin_password.encode())
        return right_user and right_password

    def open_session(self) -> str:
        """Return a new session's token."""
        now = time.monotonic()
        self._sessions = {token: end for token, end in self._sessions.items() if end > now}
        token = secrets.token_urlsafe(32)
        self._sessions[token] = now + SESSION_SECONDS
        return token

    def close_session(self, token: str) -> None:
        """Forget a session."""
        self._sessions.pop(token, None)

    def identify(self, connection: HTTPConnection) -> str | None:
        """Return "admin", "anonymous" or None. Raises PermissionError for wrong basic credentials (401 in Grafana)."""
        scheme, _, encoded = connection.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "basic":
            try:
                user, _, password = base64.b64decode(encoded, validate=True).decode().partition(":")
            except (binascii.Error, UnicodeDecodeError):
                raise PermissionError("Invalid Basic Auth Header") from None
            if not self.password_matches(user, password):
                raise PermissionError("Invalid username or password")
            return "admin"
        if self._sessions.get(connection.cookies.get(COOKIE, ""), 0) > time.monotonic():
            return "admin"
        return "anonymous" if self._settings.anonymous else None


class RequireLogin:
    """Middleware that requires a login: answers 401 for the API, and redirects people to the login page."""

    def __init__(self, app: ASGIApp, door: Door) -> None:
        self._app = app
        self._door = door

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer in the application's place when access is denied."""
        refusal = self._refusal(scope) if scope["type"] == "http" else None
        await (refusal or self._app)(scope, receive, send)

    def _refusal(self, scope: Scope) -> Response | None:
        connection = HTTPConnection(scope)
        path = connection.url.path
        if path in PUBLIC:
            return None
        try:
            who = self._door.identify(connection)
        except PermissionError as error:
            LOG.warning("Failed to authenticate request", extra={"fields": {"path": path, "error": error}})
            return refused(401, str(error), "password-auth.failed")
        if who is None and path.startswith("/api"):
            return refused(401, "Unauthorized", "auth.unauthorized")
        if who is None:
            return RedirectResponse("/login", status_code=302)
        if who == "anonymous" and path.startswith(ADMIN_ONLY):
            return refused(
                403,
                "You'll need additional permissions to perform this action.",
                "accesscontrol.unauthorized",
            )
        scope.setdefault("state", {})["who"] = who
        return None


class StrictTransport:
    """Middleware that adds the HSTS header to every response."""

    def __init__(self, app: ASGIApp, seconds: int) -> None:
        self._app = app
        self._header = (b"strict-transport-security", f"max-age={seconds}".encode())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Add the header."""

        async def with_header(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], self._header]
            await send(message)

        await self._app(scope, receive, with_header)


def refused(status: int, message: str, message_id: str) -> JSONResponse:
    """Return an error in Grafana's shape."""
    return JSONResponse(
        {"message": message, "messageId": message_id, "statusCode": status, "traceID": ""}, status_code=status
    )
