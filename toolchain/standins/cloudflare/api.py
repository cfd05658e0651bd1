"""A client of Cloudflare's API v4: its envelope, its errors in one sentence each, and what a closed network means."""

from __future__ import annotations

from typing import Any

import httpx

from toolchain.standins.provider import ProviderError

TIMEOUT_SECONDS = 30.0
CONNECT_SECONDS = 5.0
"""A closed network often swallows packets instead of refusing them; nobody should wait long for that."""


class CloudflareError(ProviderError):
    """Cloudflare refused a request, or could not be reached."""


class CloudflareApi:
    """Calls the API below `base_url` (the official one ends in `/client/v4`) with a bearer token."""

    def __init__(self, base_url: str, token: str) -> None:
        self.base_url = base_url.rstrip("/")
        self._client = httpx.Client(
            base_url=self.base_url,
            headers={"Authorization": f"Bearer {token}"},
            timeout=httpx.Timeout(TIMEOUT_SECONDS, connect=CONNECT_SECONDS),
            transport=httpx.HTTPTransport(retries=2),
        )

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """Return the `result` of a request. Raises CloudflareError."""
        answer = self._send(method, path, body)
        return self._result(method, path, answer)

    def find(self, path: str) -> Any:
        """Return the `result` of a GET, or None when there is no such thing. Raises CloudflareError."""
        answer = self._send("GET", path, None)
        return None if answer.status_code == httpx.codes.NOT_FOUND else self._result("GET", path, answer)

    def remove(self, path: str) -> None:
        """Delete; what is gone already is fine. Raises CloudflareError."""
        answer = self._send("DELETE", path, None)
        if answer.status_code != httpx.codes.NOT_FOUND:
            self._result("DELETE", path, answer)

    def _send(self, method: str, path: str, body: Any) -> httpx.Response:
        try:
            return self._client.request(method, path, json=body)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise CloudflareError(
                f"Cloudflare's API at {self.base_url} cannot be reached ({error or type(error).__name__}); on a closed"
                " network turn the stack's tunnel off, or set CLOUDFLARE_BASE_URL to an API that can be reached"
            ) from error

    def _result(self, method: str, path: str, answer: httpx.Response) -> Any:
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
        errors = [f"{entry.get('message')} (code {entry.get('code')})" for entry in envelope.get("errors") or []]
        remedy = ""
        if answer.status_code in (httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN):
            remedy = "; check the API token and its permissions (Cloudflare Tunnel: Edit, DNS: Edit)"
        raise CloudflareError(
            f"Cloudflare refused {method} {path} with {answer.status_code}: {', '.join(errors) or 'no reason'}{remedy}"
        )
