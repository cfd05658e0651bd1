"""The connection to the Docker API, opened on first use."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable, Collection, Mapping
from typing import Any

import docker
import docker.errors
import requests

from offline.standins.provider import ProviderError
from offline.standins.values import Properties

DEFAULT_HOST = "unix:///var/run/docker.sock"

CALL_TIMEOUT = 300
"""Timeout of one API call in seconds."""

POLL = 0.1
"""Seconds between two checks of a condition that is waited for."""


class DockerApiError(ProviderError):
    """Docker refused a call; the message contains Docker's own text."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(f"Error response from daemon: {text}")
        self.status = status


def failed(problem: object, failure: str = "") -> ProviderError:
    """Return an error formatted like those of the official plugin."""
    return ProviderError(f"1 error occurred:\n\t* {failure and f'{failure}: '}{problem}\n\n")


class DockerApi:
    """The raw API of one Docker engine, so that settings without an argument in docker-py work too."""

    def __init__(self, host: str, auth: list[Properties], cancelled: threading.Event) -> None:
        """Use `host`, else `DOCKER_HOST`, else the default socket. `auth` lists registries to log in to."""
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
            # More connections than parallel calls: a call that waits keeps its connection.
            client = docker.APIClient(base_url=self.host, version="auto", timeout=CALL_TIMEOUT, max_pool_size=80)
        except docker.errors.DockerException as error:
            raise failed(error, f"Cannot connect to the Docker daemon at {self.host}") from error
        for entry in self._auth:
            client.login(entry.get("username", ""), entry.get("password", ""), registry=entry["address"])
        return client

    def call(self, method: str, path: str, body: Any = None, params: Mapping[str, Any] | None = None) -> Any:
        """Call the API and return the response's JSON, None when it is empty. Raises DockerApiError on an error."""
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
            raise failed(error, f"Cannot connect to the Docker daemon at {self.host}") from error
        if answer.status_code >= requests.codes.bad_request:
            try:
                text = answer.json()["message"]
            except (ValueError, KeyError):
                text = answer.text
            raise DockerApiError(answer.status_code, text)
        return answer.json() if answer.content.strip() else None

    def change(
        self,
        method: str,
        path: str,
        body: Any = None,
        params: Mapping[str, Any] | None = None,
        *,
        failure: str = "",
        ignore: Collection[str] = (),
    ) -> Any:
        """Call the API to change something and return the response's JSON.

        Raises ProviderError in the words of the official plugin, which starts with `failure`, unless the error's text
        contains one of the texts to ignore.
        """
        try:
            return self.call(method, path, body, params)
        except DockerApiError as error:
            if any(text in str(error).lower() for text in ignore):
                return None
            raise failed(error, failure) from error

    def inspect(self, path: str) -> Properties | None:
        """Return an inspection, None when the object does not exist."""
        try:
            return dict(self.call("GET", path))
        except DockerApiError as error:
            if error.status == requests.codes.not_found:
                return None
            raise

    def until(self, condition: Callable[[], bool], seconds: float) -> bool:
        """Wait until `condition` is true; return False after `seconds`. Raises ProviderError when cancelled."""
        end = time.monotonic() + seconds
        while not condition():
            if time.monotonic() >= end:
                return False
            if self.cancelled.wait(POLL):
                raise failed("cancelled")
        return True

    def find_image(self, name: str, platform: str = "") -> Properties:
        """Return the local image, or pull it. Raises ProviderError when it cannot be pulled."""
        if image := self.inspect(f"/images/{name}/json"):
            return image
        problem = f"unable to find or pull image {name}"
        try:
            for line in self.client.pull(name, stream=True, decode=True, platform=platform or None):
                if "error" in line:
                    raise failed(line["error"], problem)
        except docker.errors.APIError as error:
            raise failed(error.explanation or error, problem) from error
        if image := self.inspect(f"/images/{name}/json"):
            return image
        raise failed(problem)
