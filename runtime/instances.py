"""Reads instances of services from a Docker engine: status, health, memory, logs, networks and volumes."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import docker
import requests
from docker.errors import APIError, NotFound
from docker.models.containers import Container

from runtime.labels import SERVICE, STACK, stack_filter
from runtime.pulumi_state import CONTAINER, NETWORK, VOLUME, Resource

DEFAULT_SECONDS = 30
"""Docker's default for the interval and the timeout of a health check."""


class LiveInstance:
    """One instance on the engine, as of its last inspection."""

    def __init__(self, container: Container) -> None:
        self.container = container
        self.id = str(container.id)
        self.name = str(container.name)
        self.service = str(container.labels.get(SERVICE, self.name))
        self.stack = str(container.labels.get(STACK, ""))

    @property
    def status(self) -> str:
        """`created`, `running`, `paused`, `restarting`, `exited` or `dead`."""
        return str(self._state["Status"])

    @property
    def running(self) -> bool:
        """Whether it runs and is not between two restarts."""
        return self.status == "running" and not self._state.get("Restarting")

    @property
    def check(self) -> str | None:
        """The result of the health check: `starting`, `healthy` or `unhealthy`; None without a check."""
        return (self._state.get("Health") or {}).get("Status")

    @property
    def health(self) -> str:
        """The result of the health check where it runs, else how it ended (`done`, `failed (3)`) or its status."""
        if self.status == "exited":
            return "done" if self._state["ExitCode"] == 0 else f"failed ({self._state['ExitCode']})"
        return self.check or self.status if self.status == "running" else self.status

    @property
    def check_output(self) -> str:
        """The output of the last health check, or ""."""
        checks = (self._state.get("Health") or {}).get("Log") or []
        return str(checks[-1]["Output"]).strip() if checks else ""

    @property
    def check_seconds(self) -> float:
        """Maximum seconds until the next result of the health check."""
        check = self.container.attrs["Config"].get("Healthcheck") or {}
        # In nanoseconds; 0 means the default.
        return sum((check.get(part) or DEFAULT_SECONDS * 10**9) / 10**9 for part in ("Interval", "Timeout"))

    @property
    def started(self) -> datetime:
        """When it last started, in whole seconds."""
        return parse_time(self._state["StartedAt"])

    @property
    def created(self) -> datetime:
        """When it was created, in whole seconds."""
        return parse_time(self.container.attrs["Created"])

    @property
    def restarts(self) -> int:
        """How often the engine restarted it."""
        return int(self.container.attrs["RestartCount"])

    @property
    def networks(self) -> set[str]:
        """Ids of the networks that it has joined."""
        endpoints = self.container.attrs["NetworkSettings"]["Networks"].values()
        return {str(endpoint.get("NetworkID")) for endpoint in endpoints}

    @property
    def volumes(self) -> set[str]:
        """Names of the volumes that it mounts."""
        return {mount["Name"] for mount in self.container.attrs.get("Mounts") or () if mount.get("Name")}

    @property
    def _state(self) -> Mapping[str, Any]:
        state: Mapping[str, Any] = self.container.attrs["State"]
        return state

    def memory(self, client: docker.DockerClient) -> tuple[float, float] | None:
        """Return the used memory and the limit in MiB, None where the engine does not report them; it is slow."""
        try:
            return used_memory(client.api.stats(self.id, stream=False, one_shot=True).get("memory_stats") or {})
        except (APIError, requests.RequestException):
            return None

    def refresh(self) -> None:
        """Inspect it again. Raises NotFound where it is gone."""
        self.container.reload()

    def restart(self) -> None:
        """Restart it with its own stop timeout. Raises NotFound where it is gone."""
        # docker-py's default is ten seconds, whatever the container's own timeout.
        self.container.restart(timeout=int(self.container.attrs["Config"].get("StopTimeout") or 10))

    def remove(self) -> None:
        """Remove it, even if it runs. Raises NotFound where it is gone, and APIError where the engine refuses."""
        self.container.remove(force=True)

    def run(self, command: Sequence[str]) -> tuple[int, str, str]:
        """Run a command in it; return exit code, output and errors."""
        # docker-py's type stubs declare the streaming result only.
        result: Any = self.container.exec_run(list(command), demux=True)
        output, errors = ((part or b"").decode(errors="replace") for part in result.output)
        return result.exit_code or 0, output, errors

    def log_tail(self, count: int) -> list[str]:
        """Return the last lines of its log, followed by the output of its last health check."""
        try:
            lines: list[str] = self.container.logs(tail=count).decode(errors="replace").splitlines()
        except NotFound:
            return ["(it has been removed)"]
        return lines + ([f"health check: {self.check_output}"] if self.check_output else [])

    def log_lines(self, *, follow: bool, tail: int) -> Iterator[str]:
        """Yield the last lines of its log, and with `follow` new lines as they come."""
        rest = b""
        for chunk in self.container.logs(stream=True, follow=follow, tail=tail):
            *lines, rest = (rest + chunk).split(b"\n")
            yield from (line.decode(errors="replace") for line in lines)
        if rest:
            yield rest.decode(errors="replace")


def parse_time(text: str) -> datetime:
    """Return a time of an inspection of a container, `2026-11-21T13:00:01.123456789Z`, in whole seconds."""
    return datetime.fromisoformat(text[:19]).replace(tzinfo=UTC)


def used_memory(stats: Mapping[str, Any]) -> tuple[float, float] | None:
    """Return used memory and limit in MiB, without the inactive file cache, as `docker stats` does."""
    if "usage" not in stats or not stats.get("limit"):
        return None
    details = stats.get("stats") or {}
    # The first key is that of cgroups v1, the second that of v2.
    cache = details.get("total_inactive_file", details.get("inactive_file", 0))
    return max(0, stats["usage"] - cache) / 2**20, stats["limit"] / 2**20


def find_instance(client: docker.DockerClient, identity: str) -> LiveInstance | None:
    """Return an instance by its id or name, None where the engine does not have it."""
    try:
        return LiveInstance(client.containers.get(identity))
    except NotFound:
        return None


def live_instances(client: docker.DockerClient, **filters: str) -> list[LiveInstance]:
    """Return all instances, running or not, that pass Docker's filters: `label=`, `volume=`."""
    return [LiveInstance(each) for each in client.containers.list(all=True, filters={**filters}, ignore_removed=True)]


def of_stack(client: docker.DockerClient, stack: str) -> list[LiveInstance]:
    """Return all instances with the label of a stack, running or not."""
    return live_instances(client, label=stack_filter(stack))


@dataclass(frozen=True)
class Endpoint:
    """An endpoint that keeps a network in use."""

    network: str
    name: str
    """Name of the instance, which may be gone."""

    instance: LiveInstance | None


def endpoints(client: docker.DockerClient, network_id: str) -> list[Endpoint]:
    """Return the endpoints on a network, none where it is gone."""
    try:
        network = client.networks.get(network_id)
    except NotFound:
        return []
    return [
        # An endpoint without a container has the key `ep-…`; its name is still that of the container.
        Endpoint(str(network.name), entry["Name"], find_instance(client, entry["Name"] if key[:3] == "ep-" else key))
        for key, entry in (network.attrs.get("Containers") or {}).items()
    ]


def remove_created(client: docker.DockerClient, resource: Resource, stack: str, known_ids: Collection[str]) -> bool:
    """Remove the engine's object with a resource's name, if it has the stack's label and its id is not known.

    Return whether it was removed. Raises APIError where it is in use.
    """
    collections: dict[str, Any] = {CONTAINER: client.containers, NETWORK: client.networks, VOLUME: client.volumes}
    if not resource.name or resource.type not in collections:
        return False
    try:
        created = collections[resource.type].get(resource.name)
    except NotFound:
        return False
    labels = created.labels if resource.is_instance else created.attrs.get("Labels") or {}
    if created.id in known_ids or labels.get(STACK) != stack:
        return False
    created.remove(**({"force": True} if resource.is_instance else {}))
    return True
