"""Swarm: secrets, configs and services."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from offline.standins.docker.api import failed
from offline.standins.docker.base import DockerObject, OnCreated
from offline.standins.docker.durations import parse_duration
from offline.standins.docker.service_mapping import service_body, service_state
from offline.standins.values import Properties

SECOND = 1_000_000_000

NO_NEW_ROLLOUT = 3.0
"""Seconds after which a change without a roll-out (labels, replicas) counts as one that needs none."""

FAILED_ROLLOUTS = {
    "rollback_completed": "service rollback completed",
    "paused": "service update paused",
    "rollback_paused": "service rollback paused",
}
"""State of a roll-out that failed → the official plugin's words for it."""


class Secret(DockerObject):
    """A secret; its content keeps its prior value on a read."""

    path, id_key = "/secrets", "ID"

    def state(self, inspection: Properties, prior: Properties) -> Properties:
        """Return the name."""
        return super().state(inspection["Spec"], prior)


class ServiceConfig(DockerObject):
    """A config; its content is read back."""

    path, id_key = "/configs", "ID"

    def body(self, values: Properties) -> Properties:
        """Return the request body."""
        body = super().body(values)
        if values.get("dataRaw"):
            body["Data"] = base64.b64encode(values["dataRaw"].encode()).decode()
        return body

    def state(self, inspection: Properties, prior: Properties) -> Properties:
        """Return the name and the content, in the form in which it was declared."""
        content = inspection["Spec"].get("Data") or ""
        data = {"dataRaw": base64.b64decode(content).decode()} if prior.get("dataRaw") else {"data": content}
        return super().state(inspection["Spec"], prior) | data


class Service(DockerObject):
    """A service. With a converge config, creates and updates wait until its tasks run."""

    path, id_key = "/services", "ID"

    def body(self, values: Properties) -> Properties:
        """Return the request body that creates or updates the service."""
        return service_body(values)

    def state(self, inspection: Properties, prior: Properties) -> Properties:
        """Return the properties that an inspection sets."""
        return service_state(inspection)

    def create(self, values: Properties, on_created: OnCreated) -> Properties | None:
        """Create a service; remove it if it does not converge.

        Raises ProviderError when Docker refuses it or the time is up.
        """

        def converge(identity: str) -> None:
            if problem := self._wait(identity, values, lambda: self._all_run(identity)):
                self.delete(identity, {})
                raise failed(problem)
            on_created(identity)

        return super().create(values, converge)

    def update(self, identity: str, before: Properties, after: Properties) -> Properties | None:
        """Update a service in place and follow the roll-out to its end.

        Raises ProviderError when the roll-out was paused or rolled back; the old tasks then keep running.
        """
        service = self.inspect(identity)
        if service is None:
            raise failed(f"service {identity} not found")
        earlier = (service.get("UpdateStatus") or {}).get("StartedAt")
        params = {"version": service["Version"]["Index"]}
        self.api.change("POST", f"/services/{identity}/update", self.body(after), params)
        started = time.monotonic()
        if problem := self._wait(identity, after, lambda: self._rolled_out(identity, earlier, started)):
            raise failed(problem)
        return self.read(identity, after)

    def _wait(self, identity: str, values: Properties, condition: Callable[[], bool]) -> str:
        """Wait as long as the converge config says; return the problem when the time is up."""
        timeout = (values.get("convergeConfig") or {}).get("timeout")
        if not timeout or self.api.until(condition, parse_duration(timeout) / SECOND):
            return ""
        return f"service ({identity}) did not converge after {timeout}"

    def _rolled_out(self, identity: str, earlier: str | None, started: float) -> bool:
        service = self.inspect(identity) or {}
        status = service.get("UpdateStatus") or {}
        if not status or status.get("StartedAt") == earlier:
            return time.monotonic() - started > NO_NEW_ROLLOUT and self._all_run(identity)
        rollout = status.get("State")
        if rollout == "rollback_started" and self._all_run(identity):
            rollout = "rollback_completed"
        if rollout in FAILED_ROLLOUTS:
            raise failed(f"{FAILED_ROLLOUTS[rollout]}: {status.get('Message')}")
        return bool(rollout == "completed")

    def _all_run(self, identity: str) -> bool:
        service = self.inspect(identity) or {}
        running = sum(task["Status"]["State"] == "running" for task in self._tasks(identity, "running"))
        mode = service.get("Spec", {}).get("Mode", {})
        if "Replicated" in mode:
            return bool(running == mode["Replicated"].get("Replicas", 1))
        nodes = self.api.call("GET", "/nodes")
        return bool(running == sum(node["Spec"]["Availability"] == "active" for node in nodes))

    def _tasks(self, identity: str, *desired_states: str) -> list[Mapping[str, Any]]:
        filters = {"service": [identity]} | ({"desired-state": desired_states} if desired_states else {})
        tasks: list[Mapping[str, Any]] = self.api.call("GET", "/tasks", params={"filters": json.dumps(filters)})
        return tasks

    def delete(self, identity: str, prior: Properties) -> None:
        """Remove a service; with a grace period, wait until its containers are gone.

        Raises ProviderError when a container outlives the grace period.
        """
        spec = (prior.get("taskSpec") or {}).get("containerSpec") or {}
        grace = spec.get("stopGracePeriod") or "0s"
        tasks = [] if grace == "0s" else self._tasks(identity)
        running = [task["Status"] for task in tasks if task["Status"]["State"] != "shutdown"]
        super().delete(identity, prior)
        for status in running:
            container = status.get("ContainerStatus", {}).get("ContainerID", "")
            if container and not self.api.until(partial(self._is_gone, container), parse_duration(grace) / SECOND):
                raise failed(f"error on wait for container with ID '{container}': it did not go within {grace}")

    def _is_gone(self, container: str) -> bool:
        return self.api.inspect(f"/containers/{container}/json") is None
