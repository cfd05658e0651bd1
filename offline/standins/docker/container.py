"""Containers: create, read, update, delete."""

from __future__ import annotations

import base64
import io
import tarfile
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import docker.errors

from offline.standins.docker.api import failed
from offline.standins.docker.base import DockerObject, OnCreated
from offline.standins.docker.container_mapping import (
    CHANGED_IN_PLACE,
    container_body,
    container_state,
    endpoint,
    limits,
)
from offline.standins.values import Properties

OPERATION_TIMEOUT = 20 * 60
"""Seconds to wait for a container to end or to be removed; the official plugin's default."""


class Container(DockerObject):
    """A container. Its error messages equal those of the official plugin."""

    path, inspect_suffix = "/containers", "/json"

    def create(self, values: Properties, on_created: OnCreated) -> Properties:
        """Create a container, connect it, upload files, start it and wait. Raises ProviderError."""
        self.api.find_image(values["image"], values.get("platform") or "")
        params = {"name": values["name"]}
        if values.get("platform"):
            params["platform"] = values["platform"]
        failure = "Unable to create container"
        identity: str = self.api.change("POST", "/containers/create", container_body(values), params, failure=failure)[
            "Id"
        ]
        on_created(identity)
        self._join_networks(identity, values.get("networksAdvanced") or [])
        self._upload(identity, values.get("uploads") or [])
        if values.get("start"):
            self._start(identity)
            if values.get("wait"):
                self._wait_for_health(identity, values.get("waitTimeout") or 0)
        logs: Properties = {}
        if values.get("attach"):
            logs = self._wait_for_end(identity, with_logs=bool(values.get("logs")))
        # A container that removes itself (`rm`) cannot be read back.
        return (self.read(identity, values) or {}) | logs

    def _start(self, identity: str) -> None:
        self.api.change("POST", f"/containers/{identity}/start", failure="Unable to start container")

    def _join_networks(self, identity: str, networks: list[Properties]) -> None:
        """Disconnect the container from the default bridge and connect it to the declared networks."""
        if not networks:
            return
        self.api.change(
            "POST",
            "/networks/bridge/disconnect",
            {"Container": identity},
            failure="Unable to disconnect the default network",
            ignore=("is not connected to",),
        )
        for network in networks:
            body = {"Container": identity, "EndpointConfig": endpoint(network)}
            failure = f"Unable to connect to network '{network['name']}'"
            self.api.change("POST", f"/networks/{network['name']}/connect", body, failure=failure)

    def _upload(self, identity: str, uploads: list[Properties]) -> None:
        if not uploads:
            return
        archive = io.BytesIO()
        with tarfile.open(fileobj=archive, mode="w") as tar:
            for upload in uploads:
                content = _upload_content(upload)
                entry = tarfile.TarInfo(upload["file"])
                entry.size, entry.mtime = len(content), int(time.time())
                entry.mode = 0o744 if upload.get("executable") else 0o644
                if upload.get("permissions"):
                    entry.mode = int(upload["permissions"], 8)
                tar.addfile(entry, io.BytesIO(content))
        try:
            self.api.client.put_archive(identity, "/", archive.getvalue())
        except docker.errors.APIError as error:
            raise failed(f"Unable to upload volume content: Error response from daemon: {error.explanation}") from error

    def _wait_for_health(self, identity: str, seconds: int) -> None:
        def healthy() -> bool:
            container = self.inspect(identity)
            health = (container or {}).get("State", {}).get("Health")
            if container and health is None:
                raise failed(
                    "you have supplied a 'wait' argument, but the container does not have a healthcheck defined. "
                    "Please remove the 'wait' argument or add a 'healthcheck' attribute"
                )
            return bool(health and health["Status"] == "healthy")

        if not self.api.until(healthy, seconds):
            raise failed("container failed to be in healthy state")

    def _wait_for_end(self, identity: str, *, with_logs: bool) -> Properties:
        """Wait for a job to end and return its output, both streams combined; nothing unless `with_logs`."""
        output: list[bytes] = []

        def follow() -> None:
            output.extend(self.api.client.logs(identity, stream=True, follow=True))

        reader = threading.Thread(target=follow, daemon=True)
        if with_logs:
            reader.start()

        def ended() -> bool:
            container = self.inspect(identity)
            state = container["State"] if container else {"Running": False, "Status": "removed"}
            return not state["Running"] and state["Status"] != "created" and not state.get("Restarting")

        if not self.api.until(ended, OPERATION_TIMEOUT):
            raise failed("Unable to wait container end of execution: context deadline exceeded")
        if not with_logs:
            return {}
        reader.join(timeout=30)
        return {"containerLogs": b"".join(output).decode(errors="replace")}

    def state(self, inspection: Properties, prior: Properties) -> Properties:
        """Return the properties that an inspection sets."""
        return container_state(inspection, prior)

    def update(self, identity: str, before: Properties, after: Properties) -> None:
        """Start a container that must run again, and update what can be changed in place.

        Like the official plugin, leave everything else that forces no replacement (health check, tmpfs, init …)
        unchanged: only a replacement of the container would apply it.
        """
        if not before.get("mustRun") and after.get("mustRun") and after.get("start"):
            self._start(identity)
        if any((before.get(name) or None) != (after.get(name) or None) for name in CHANGED_IN_PLACE):
            path = f"/containers/{identity}/update"
            self.api.change("POST", path, limits(after), failure="Unable to update a container")

    def delete(self, identity: str, prior: Properties) -> None:
        """Stop a container within its grace period, then remove it."""
        path = f"/containers/{identity}"
        if not prior.get("attach"):
            self.api.change(
                "POST",
                f"{path}/stop",
                params={"t": prior.get("destroyGraceSeconds") or 0},
                failure=f"Error stopping container {identity}",
                ignore=("no such container",),
            )
        self.api.change(
            "DELETE",
            path,
            params={"v": bool(prior.get("removeVolumes")), "force": True},
            failure=f"Error deleting container {identity}",
            ignore=("no such container", "is already in progress"),
        )
        if not self.api.until(lambda: self.inspect(identity) is None, OPERATION_TIMEOUT):
            raise failed(f"Error waiting for container removal '{identity}': it is still there")


def _upload_content(upload: Mapping[str, Any]) -> bytes:
    sources = [name for name in ("content", "contentBase64", "source") if upload.get(name)]
    if not sources:
        raise failed("error with upload content: one of 'content', 'content_base64', or 'source' must be set")
    if len(sources) > 1:
        raise failed("error with upload content: only one of 'content', 'content_base64', or 'source' can be set")
    if sources == ["content"]:
        return str(upload["content"]).encode()
    if sources == ["contentBase64"]:
        return base64.b64decode(upload["contentBase64"])
    try:
        return Path(upload["source"]).read_bytes()
    except OSError as error:
        raise failed(f"could not read file: {error}") from error
