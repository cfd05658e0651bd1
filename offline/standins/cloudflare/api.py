"""A client of Cloudflare's API v4: unwraps the response envelope and explains errors, also on a closed network."""

from __future__ import annotations

import threading
from typing import Any

import httpx

from offline.standins.provider import ProviderError

TIMEOUT_SECONDS = 30.0
CONNECT_SECONDS = 5.0
"""Short, because a closed network often drops packets instead of refusing them."""


PATIENCE_SECONDS = 90.0
"""Total time that one request waits for Cloudflare's rate limit (1200 requests in five minutes)."""

FIRST_PAUSE_SECONDS = 1.0
"""First wait without a Retry-After header; doubled each time."""

PAGE = 50


class CloudflareError(ProviderError):
    """Cloudflare refused a request, or could not be reached."""


class CloudflareApi:
    """Calls the API below `base_url` (the official one ends in `/client/v4`) with a bearer token."""

    def __init__(self, base_url: str, token: str, cancelled: threading.Event) -> None:
        self.base_url = base_url.rstrip("/")
        self._cancelled = cancelled
        self._client = httpx.Client(
            base_url=self.base_url,
            headers={"Authorization": f"Bearer {token}"},
            timeout=httpx.Timeout(TIMEOUT_SECONDS, connect=CONNECT_SECONDS),
            transport=httpx.HTTPTransport(retries=2),
        )

    def call(self, method: str, path: str, body: Any = None, *, missing_ok: bool = False) -> Any:
        """Return the `result` of a request; with `missing_ok`, None when there is no such thing.

        Raises CloudflareError.
        """
        answer = self._send(method, path, body)
        if missing_ok and answer.status_code == httpx.codes.NOT_FOUND:
            return None
        try:
            envelope = answer.json()
        except ValueError:
            envelope = None
        if not isinstance(envelope, dict) or "success" not in envelope:
            raise CloudflareError(
                f"{method} {path}: {self.base_url} answered {answer.status_code} with something that is not"
                " Cloudflare's API; a proxy in between?"
            )
        if answer.is_success and envelope["success"]:
            return envelope.get("result")
        entries = envelope.get("errors") or []
        errors = [_format_error(error) for entry in entries for error in (entry, *(entry.get("error_chain") or []))]
        remedy = ""
        if answer.status_code in (httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN):
            remedy = (
                "; check the API token and its permissions (Cloudflare Tunnel: Edit, DNS: Edit, and for Access"
                " Access: Apps and Policies: Edit, Access: Service Tokens: Edit)"
            )
        raise CloudflareError(
            f"Cloudflare refused {method} {path} with {answer.status_code}: {', '.join(errors) or 'no reason'}{remedy}"
        )

    def all(self, path: str) -> list[Any]:
        """Return every item of a list, page by page. Raises CloudflareError."""
        items: list[Any] = []
        while True:
            page = f"{path}?page={len(items) // PAGE + 1}&per_page={PAGE}"
            page_items = self.call("GET", page)
            items += page_items or []
            if len(page_items or []) < PAGE:
                return items

    def _send(self, method: str, path: str, body: Any) -> httpx.Response:
        """Send a request; while it is rate-limited, retry after a pause, for at most PATIENCE_SECONDS."""
        remaining, pause = PATIENCE_SECONDS, FIRST_PAUSE_SECONDS
        while True:
            answer = self._send_once(method, path, body)
            if answer.status_code != httpx.codes.TOO_MANY_REQUESTS:
                return answer
            retry_after = answer.headers.get("Retry-After", "")
            seconds = float(retry_after) if retry_after.isdigit() else pause
            if seconds > remaining or self._cancelled.wait(seconds):
                return answer
            remaining -= seconds
            pause *= 2

    def _send_once(self, method: str, path: str, body: Any) -> httpx.Response:
        try:
            return self._client.request(method, path, json=body)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise CloudflareError(
                f"Cloudflare's API at {self.base_url} cannot be reached ({error or type(error).__name__}); on a closed"
                " network turn the stack's tunnel off, or set CLOUDFLARE_BASE_URL to an API that can be reached"
            ) from error


def _format_error(error: Any) -> str:
    return f"{error.get('message')} (code {error.get('code')})"
