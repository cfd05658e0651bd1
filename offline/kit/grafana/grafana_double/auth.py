"""Authentication and access: basic authentication, the session cookie, anonymous viewers where allowed."""

from __future__ import annotations

import base64
import binascii
import logging
import secrets
import time

from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response

from .settings import Settings

LOG = logging.getLogger("context")
COOKIE = "grafana_session"
SESSION_SECONDS = 24 * 3600
PUBLIC = {"/login", "/logout", "/api/health", "/metrics"}
ADMIN_ONLY = "/api/datasources"
"""Path prefix that Grafana denies to anonymous viewers."""


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

    def refusal(self, request: Request) -> Response | None:
        """Return the answer to a request without access: 401 or 403 for the API, the login page for people; else None.

        Wrong basic credentials are a 401 even where anonymous viewers are allowed.
        """
        path = request.url.path
        if path in PUBLIC:
            return None
        scheme, _, credentials = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "basic":
            is_admin = self._basic_matches(credentials)
            return None if is_admin else _refused(401, "Invalid username or password", "password-auth.failed")
        if self._sessions.get(request.cookies.get(COOKIE, ""), 0) > time.monotonic():
            return None
        if self._settings.anonymous:
            message = "You'll need additional permissions to perform this action."
            is_denied = path.startswith(ADMIN_ONLY)
            return _refused(403, message, "accesscontrol.unauthorized") if is_denied else None
        if path.startswith("/api"):
            return _refused(401, "Unauthorized", "auth.unauthorized")
        return RedirectResponse("/login", status_code=302)

    def _basic_matches(self, credentials: str) -> bool:
        try:
            user, _, password = base64.b64decode(credentials, validate=True).decode().partition(":")
            matches = self.password_matches(user, password)
        except (binascii.Error, UnicodeDecodeError):
            matches = False
        if not matches:
            LOG.warning("Failed to authenticate request", extra={"fields": {"error": "Invalid username or password"}})
        return matches


def _refused(status: int, message: str, message_id: str) -> JSONResponse:
    """Return an error in Grafana's shape."""
    body = {"message": message, "messageId": message_id, "statusCode": status, "traceID": ""}
    return JSONResponse(body, status_code=status)
