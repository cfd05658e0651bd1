"""Swarm: secrets, configs and services."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from offline.standins.docker.container_spec import labels
from offline.standins.docker.durations import parse_duration
from offline.standins.docker.engine import DockerApi, EngineError, failed
from offline.standins.docker.service_spec import service_body
from offline.standins.docker.service_state import service_state
from offline.standins.values import Properties

SECOND = 1_000_000_000
NO_NEW_ROLLOUT = 3.0
"""Seconds after which a change without a roll-out (labels, replicas) counts as one that needs none."""


def create_secret(engine: DockerApi, values: Properties, on_created: Callable[[str], None]) -> Properties | None:
    """Create a secret."""
    return _create_file(engine, "/secrets", values, on_created)


def read_secret(engine: DockerApi, identity: str, prior: Properties) -> Properties | None:
    """Read a secret's name back; its content keeps its prior value."""
    del prior
    secret = engine.inspect(f"/secrets/{identity}")
    return None if secret is None else {"id": identity, "name": secret["Spec"]["Name"]}


def delete_secret(engine: DockerApi, identity: str, prior: Properties) -> None:
    """Remove a secret."""
    del prior
    _delete(engine, f"/secrets/{identity}")


def create_config(engine: DockerApi, values: Properties, on_created: Callable[[str], None]) -> Properties | None:
    """Create a config."""
    if values.get("dataRaw"):
        content = base64.b64encode(values["dataRaw"].encode()).decode()
        return _create_file(engine, "/configs", values | {"data": content}, on_created)
    return _create_file(engine, "/configs", values, on_created)


def read_config(engine: DockerApi, identity: str, prior: Properties) -> Properties | None:
    """Read a config back, its content included."""
    config = engine.inspect(f"/configs/{identity}")
    if config is None:
        return None
    content = config["Spec"].get("Data") or ""
    name = {"id": identity, "name": config["Spec"]["Name"]}
    if prior.get("dataRaw"):
        return name | {"dataRaw": base64.b64decode(content).decode()}
    return name | {"data": content}


def delete_config(engine: DockerApi, identity: str, prior: Properties) -> None:
    """Remove a config."""
    del prior
    _delete(engine, f"/configs/{identity}")


def _create_file(
    engine: DockerApi, path: str, values: Properties, on_created: Callable[[str], None]
) -> Properties | None:
    body = {"Name": values["name"], "Data": values["data"], "Labels": labels(values.get("labels"))}
    try:
        identity = engine.call("POST", f"{path}/create", body)["ID"]
    except EngineError as error:
        raise failed(error) from error
    on_created(identity)
    return {"id": identity, "name": values["name"]}


def _delete(engine: DockerApi, path: str) -> None:
    try:
        engine.call("DELETE", path)
    except EngineError as error:
        if error.status != 404:
            raise failed(error) from error


def create_service(engine: DockerApi, values: Properties, on_created: Callable[[str], None]) -> Properties | None:
    """Create a service and, with a converge config, wait until its tasks run; remove it if they do not.

    Raises ProviderError when Docker refuses it or the time is up.
    """
    try:
        identity: str = engine.call("POST", "/services/create", service_body(values))["ID"]
    except EngineError as error:
        raise failed(error) from error
    if converge := values.get("convergeConfig"):
        seconds = parse_duration(converge["timeout"]) / SECOND
        if not engine.until(lambda: _all_run(engine, identity), seconds):
            _delete(engine, f"/services/{identity}")
            raise failed(f"service ({identity}) did not converge after {converge['timeout']}")
    on_created(identity)
    return read_service(engine, identity, values)


def read_service(engine: DockerApi, identity: str, prior: Properties) -> Properties | None:
    """Read a service back; None when it is gone."""
    del prior
    service = engine.inspect(f"/services/{identity}")
    return None if service is None else service_state(service)


def update_service(engine: DockerApi, identity: str, before: Properties, after: Properties) -> None:
    """Update a service in place and, with a converge config, follow the roll-out to its end.

    Raises ProviderError when the roll-out was paused or rolled back; the old tasks then keep running.
    """
    del before
    service = engine.inspect(f"/services/{identity}")
    if service is None:
        raise failed(f"service {identity} not found")
    earlier = (service.get("UpdateStatus") or {}).get("StartedAt")
    params = {"version": service["Version"]["Index"]}
    try:
        engine.call("POST", f"/services/{identity}/update", service_body(after), params)
    except EngineError as error:
        raise failed(error) from error
    if converge := after.get("convergeConfig"):
        seconds = parse_duration(converge["timeout"]) / SECOND
        started = time.monotonic()
        if not engine.until(lambda: _rolled_out(engine, identity, earlier, started), seconds):
            raise failed(f"service ({identity}) did not converge after {converge['timeout']}")


def _rolled_out(engine: DockerApi, identity: str, earlier: str | None, started: float) -> bool:
    service = engine.inspect(f"/services/{identity}") or {}
    status = service.get("UpdateStatus") or {}
    if not status or status.get("StartedAt") == earlier:
        return time.monotonic() - started > NO_NEW_ROLLOUT and _all_run(engine, identity)
    state = status.get("State")
    problems = {
        "rollback_completed": "service rollback completed",
        "paused": "service update paused",
        "rollback_paused": "service rollback paused",
    }
    if state in problems:
        raise failed(f"{problems[state]}: {status.get('Message')}")
    if state == "rollback_started" and _all_run(engine, identity):
        raise failed(f"service rollback completed: {status.get('Message')}")
    return bool(state == "completed")


def _all_run(engine: DockerApi, identity: str) -> bool:
    service = engine.inspect(f"/services/{identity}") or {}
    filters = json.dumps({"service": [identity], "desired-state": ["running"]})
    tasks: list[Mapping[str, Any]] = engine.call("GET", "/tasks", params={"filters": filters})
    running = sum(task["Status"]["State"] == "running" for task in tasks)
    mode = service.get("Spec", {}).get("Mode", {})
    if "Replicated" in mode:
        return bool(running == mode["Replicated"].get("Replicas", 1))
    nodes = engine.call("GET", "/nodes")
    active = [node for node in nodes if node["Spec"]["Availability"] == "active"]
    return bool(running == len(active))


def delete_service(engine: DockerApi, identity: str, prior: Properties) -> None:
    """Remove a service; with a grace period, wait until its containers are gone.

    Raises ProviderError when a container outlives the grace period.
    """
    spec = (prior.get("taskSpec") or {}).get("containerSpec") or {}
    grace = spec.get("stopGracePeriod") or "0s"
    containers: list[str] = []
    if grace != "0s":
        filters = json.dumps({"service": [identity]})
        tasks = engine.call("GET", "/tasks", params={"filters": filters})
        running = [task["Status"] for task in tasks if task["Status"]["State"] != "shutdown"]
        containers = [status.get("ContainerStatus", {}).get("ContainerID", "") for status in running]
    _delete(engine, f"/services/{identity}")
    for container in filter(None, containers):
        if not engine.until(partial(_is_gone, engine, container), parse_duration(grace) / SECOND):
            raise failed(f"error on wait for container with ID '{container}': it did not go within {grace}")


def _is_gone(engine: DockerApi, container: str) -> bool:
    return engine.inspect(f"/containers/{container}/json") is None
