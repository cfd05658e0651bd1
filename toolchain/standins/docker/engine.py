"""The connection to a Docker engine: made on first use."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

import docker
import docker.errors
import requests

from toolchain.standins.provider import ProviderError
from toolchain.standins.values import Properties

DEFAULT_HOST = "unix:///var/run/docker.sock"

CALL_TIMEOUT = 300
"""Seconds that the engine may take over one call."""

POLL = 0.1
"""Seconds between two looks at something that is waited for."""


class EngineError(ProviderError):
    """The engine refused a call; the text is the engine's own."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(f"Error response from daemon: {text}")
        self.status = status


def failed(message: object) -> ProviderError:
    """Return an error in the form of the official plugin's."""
    return ProviderError(f"1 error occurred:\n\t* {message}\n\n")


class Engine:
    """One Docker engine, spoken to in the API's own terms: what docker-py has no argument for works too."""

    def __init__(self, host: str, auth: list[Properties], cancelled: threading.Event) -> None:
        """Take `host`, else `DOCKER_HOST`, else the default socket. `auth` are registries to log in to."""
        self.host = host or os.environ.get("DOCKER_HOST") or DEFAULT_HOST
        self.cancelled = cancelled
        self._auth = auth
        self._lock = threading.Lock()
        self._client: docker.APIClient | None = None

    @property
    def client(self) -> docker.APIClient:
        """The docker-py client. Raises ProviderError when no engine answers."""
        with self._lock:
            if self._client is None:
                self._client = self._connect()
            return self._client

    def _connect(self) -> docker.APIClient:
        try:
            # More connections than calls can run side by side: a call that waits keeps its own.
            client = docker.APIClient(base_url=self.host, version="auto", timeout=CALL_TIMEOUT, max_pool_size=80)
        except docker.errors.DockerException as error:
            raise failed(f"Cannot connect to the Docker daemon at {self.host}: {error}") from error
        for entry in self._auth:
            client.login(entry.get("username", ""), entry.get("password", ""), registry=entry["address"])
        return client

    def call(self, method: str, path: str, body: Any = None, params: Mapping[str, Any] | None = None) -> Any:
        """Call the API and return its JSON, None for an empty answer. Raises EngineError when it refuses."""
        client = self.client
        try:
            answer = client.request(
                method,
                f"{client.base_url}/v{client.api_version}{path}",
                data=None if body is None else json.dumps(body),
                headers={"Content-Type": "application/json"},
                params=params,
                timeout=CALL_TIMEOUT,
            )
        except requests.exceptions.RequestException as error:
            raise failed(f"Cannot connect to the Docker daemon at {self.host}: {error}") from error
        if answer.status_code >= requests.codes.bad_request:
            try:
                text = answer.json()["message"]
            except (ValueError, KeyError):
                text = answer.text
            raise EngineError(answer.status_code, text)
        return answer.json() if answer.content.strip() else None

    def inspect(self, path: str) -> Properties | None:
        """Return an inspection, or None when there is no such thing."""
        try:
            return dict(self.call("GET", path))
        except EngineError as error:
            if error.status == requests.codes.not_found:
                return None
            raise

    def at_least(self, version: str) -> bool:
        """Tell whether the engine speaks this version of the API."""
        return [int(part) for part in self.client.api_version.split(".")] >= [int(part) for part in version.split(".")]

    def until(self, condition: Callable[[], bool], seconds: float) -> bool:
        """Wait until `done` says so; False when the time is up. Raises ProviderError when cancelled."""
        end = time.monotonic() + seconds
        while not condition():
            if time.monotonic() >= end:
                return False
            if self.cancelled.wait(POLL):
                raise failed("cancelled")
        return True

    def find_image(self, name: str, platform: str = "") -> Properties:
        """Return an image: the local one, else the pulled one. Raises ProviderError when it can't be had."""
        if image := self.inspect(f"/images/{name}/json"):
            return image
        problem = f"unable to find or pull image {name}"
        try:
            for line in self.client.pull(name, stream=True, decode=True, platform=platform or None):
                if "error" in line:
                    raise failed(f"{problem}: {line['error']}")
        except docker.errors.APIError as error:
            raise failed(f"{problem}: {error.explanation or error}") from error
        if image := self.inspect(f"/images/{name}/json"):
            return image
        raise failed(problem)
