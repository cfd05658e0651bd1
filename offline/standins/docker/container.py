"""Containers: create, read, update, delete."""

from __future__ import annotations

import base64
import io
import tarfile
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import docker.errors

from offline.standins.docker.container_spec import container_body, endpoint, limits
from offline.standins.docker.container_state import container_state
from offline.standins.docker.engine import DockerApi, EngineError, failed
from offline.standins.values import Properties

OPERATION_TIMEOUT = 20 * 60
"""Seconds to wait for a container to end or to be removed; the official plugin's default."""

CHANGED_IN_PLACE = (
    "restart",
    "maxRetryCount",
    "cpuShares",
    "memory",
    "memoryReservation",
    "cpuSet",
    "memorySwap",
    "deviceReadBps",
    "deviceReadIops",
    "deviceWriteBps",
    "deviceWriteIops",
)


def create(engine: DockerApi, values: Properties, on_created: Callable[[str], None]) -> Properties:
    """Create a container, connect it, upload files, start it and wait; call `on_created` as soon as it has an id.

    Raises ProviderError in the words of the official plugin.
    """
    image = values["image"]
    engine.find_image(image, values.get("platform") or "")
    params = {"name": values["name"]}
    if values.get("platform"):
        params["platform"] = values["platform"]
    try:
        identity: str = engine.call("POST", "/containers/create", container_body(values), params)["Id"]
    except EngineError as error:
        raise failed(f"Unable to create container: {error}") from error
    on_created(identity)
    _join_networks(engine, identity, values.get("networksAdvanced") or [])
    _upload(engine, identity, values.get("uploads") or [])
    if values.get("start"):
        try:
            engine.call("POST", f"/containers/{identity}/start")
        except EngineError as error:
            raise failed(f"Unable to start container: {error}") from error
        if values.get("wait"):
            _wait_for_health(engine, identity, values.get("waitTimeout") or 0)
    extra: Properties = {}
    if values.get("attach"):
        logs = _wait_for_end(engine, identity, with_logs=bool(values.get("logs")))
        if logs is not None:
            extra["containerLogs"] = logs
    state = read(engine, identity, values)
    if state is None:
        # A container that removes itself (`rm`) cannot be read back.
        return extra
    return state | extra


def _join_networks(engine: DockerApi, identity: str, networks: list[Properties]) -> None:
    """Disconnect the container from the default bridge and connect it to the declared networks."""
    if not networks:
        return
    try:
        engine.call("POST", "/networks/bridge/disconnect", {"Container": identity})
    except EngineError as error:
        if "is not connected to" not in str(error):
            raise failed(f"Unable to disconnect the default network: {error}") from error
    for network in networks:
        body = {"Container": identity, "EndpointConfig": endpoint(network)}
        try:
            engine.call("POST", f"/networks/{network['name']}/connect", body)
        except EngineError as error:
            raise failed(f"Unable to connect to network '{network['name']}': {error}") from error


def _upload(engine: DockerApi, identity: str, uploads: list[Properties]) -> None:
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
        engine.client.put_archive(identity, "/", archive.getvalue())
    except docker.errors.APIError as error:
        raise failed(f"Unable to upload volume content: Error response from daemon: {error.explanation}") from error


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


def _wait_for_health(engine: DockerApi, identity: str, seconds: int) -> None:
    def healthy() -> bool:
        container = engine.inspect(f"/containers/{identity}/json")
        health = (container or {}).get("State", {}).get("Health")
        if container and health is None:
            raise failed(
                "you have supplied a 'wait' argument, but the container does not have a healthcheck defined. "
                "Please remove the 'wait' argument or add a 'healthcheck' attribute"
            )
        return bool(health and health["Status"] == "healthy")

    if not engine.until(healthy, seconds):
        raise failed("container failed to be in healthy state")


def _wait_for_end(engine: DockerApi, identity: str, *, with_logs: bool) -> str | None:
    """Wait for a job to end and return its output, both streams combined; None unless `with_logs`."""
    output: list[bytes] = []

    def follow() -> None:
        output.extend(engine.client.logs(identity, stream=True, follow=True))

    reader = threading.Thread(target=follow, daemon=True)
    if with_logs:
        reader.start()

    def ended() -> bool:
        container = engine.inspect(f"/containers/{identity}/json")
        state = container["State"] if container else {"Running": False, "Status": "removed"}
        return not state["Running"] and state["Status"] != "created" and not state.get("Restarting")

    if not engine.until(ended, OPERATION_TIMEOUT):
        raise failed("Unable to wait container end of execution: context deadline exceeded")
    if not with_logs:
        return None
    reader.join(timeout=30)
    return b"".join(output).decode(errors="replace")


def read(engine: DockerApi, identity: str, prior: Properties) -> Properties | None:
    """Read a container back; None when it is gone."""
    container = engine.inspect(f"/containers/{identity}/json")
    return None if container is None else container_state(container, prior)


def update(engine: DockerApi, identity: str, before: Properties, after: Properties) -> None:
    """Start a container that must run again, and update what can be changed in place.

    Like the official plugin, leave everything else that forces no replacement (health check, tmpfs, init …) unchanged:
    only a replacement of the container would apply it.
    """
    if not before.get("mustRun") and after.get("mustRun") and after.get("start"):
        try:
            engine.call("POST", f"/containers/{identity}/start")
        except EngineError as error:
            raise failed(f"Unable to start container: {error}") from error
    if all((before.get(name) or None) == (after.get(name) or None) for name in CHANGED_IN_PLACE):
        return
    policy = {"Name": after.get("restart") or "", "MaximumRetryCount": after.get("maxRetryCount") or 0}
    try:
        engine.call("POST", f"/containers/{identity}/update", limits(after) | {"RestartPolicy": policy})
    except EngineError as error:
        raise failed(f"Unable to update a container: {error}") from error


def delete(engine: DockerApi, identity: str, prior: Properties) -> None:
    """Stop a container within its grace period, then remove it."""
    if not prior.get("attach"):
        grace = {"t": prior.get("destroyGraceSeconds") or 0}
        try:
            engine.call("POST", f"/containers/{identity}/stop", params=grace)
        except EngineError as error:
            if "no such container" not in str(error).lower():
                raise failed(f"Error stopping container {identity}: {error}") from error
    params = {"v": bool(prior.get("removeVolumes")), "force": True}
    try:
        engine.call("DELETE", f"/containers/{identity}", params=params)
    except EngineError as error:
        text = str(error).lower()
        if "no such container" not in text and "is already in progress" not in text:
            raise failed(f"Error deleting container {identity}: {error}") from error
    if not engine.until(lambda: engine.inspect(f"/containers/{identity}/json") is None, OPERATION_TIMEOUT):
        raise failed(f"Error waiting for container removal '{identity}': it is still there")
