"""A snapshot of the Docker engine and of a stack's running containers, taken once for all checks."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import docker
import requests
from docker.errors import APIError, DockerException, NotFound

from runtime.labels import SERVICE, stack_filter

MAX_CONNECTIONS = 16
TIMEOUT = 10
"""Timeout of one request to the engine."""


@dataclass(frozen=True)
class RunningContainer:
    """One running container, as reported by `docker inspect` and `docker top`."""

    service: str
    inspected: Mapping[str, Any]
    programs: tuple[str, ...] | None = ()
    """Command lines of its processes; None if the engine did not report them."""

    @property
    def host(self) -> Mapping[str, Any]:
        """HostConfig of the inspection."""
        return self.inspected.get("HostConfig") or {}

    @property
    def config(self) -> Mapping[str, Any]:
        """Config of the inspection."""
        return self.inspected.get("Config") or {}

    @property
    def mounts(self) -> Sequence[Mapping[str, Any]]:
        """Mounts of the inspection."""
        return self.inspected.get("Mounts") or ()

    @property
    def security_options(self) -> set[str]:
        """Security options, in the form `name=value` or `name`."""
        return {str(option).replace(":", "=") for option in self.host.get("SecurityOpt") or ()}

    @property
    def published(self) -> list[tuple[str, int]]:
        """Host address and host port of each published port."""
        bindings = self.host.get("PortBindings") or {}
        if self.host.get("PublishAllPorts"):
            bindings = (self.inspected.get("NetworkSettings") or {}).get("Ports") or {}
        return [
            (str(binding.get("HostIp") or ""), int(binding["HostPort"]))
            for bindings_of_port in bindings.values()
            for binding in bindings_of_port or ()
            if binding.get("HostPort")
        ]


@dataclass(frozen=True)
class DockerSnapshot:
    """The engine at `docker_host`, and the stack's running containers there."""

    docker_host: str
    info: Mapping[str, Any]
    bridge: Mapping[str, Any] | None
    """The default bridge network; None if the engine has none."""

    containers: Sequence[RunningContainer] = ()
    requested_ports: frozenset[int] | None = None
    """Host ports that the settings publish; None if the settings cannot be read."""

    queried_at: float = 0.0
    """When the engine was asked for `info`, by this machine's clock: seconds since the epoch."""

    def security(self, name: str) -> bool:
        """Return whether the engine lists a security option, such as `apparmor`."""
        return any(option.split(",")[0] == f"name={name}" for option in self.info.get("SecurityOptions") or ())

    @property
    def remaps_root(self) -> bool:
        """Whether root in a container is another user of the host."""
        return self.security("userns") or self.security("rootless")

    @property
    def in_swarm(self) -> bool:
        """Whether the engine is part of a Swarm, or joining one."""
        return bool((self.info.get("Swarm") or {}).get("LocalNodeState", "inactive") != "inactive")


def take_snapshot(docker_host: str, stack: str, requested_ports: frozenset[int] | None) -> DockerSnapshot:
    """Query the engine. Raises DockerException or requests.RequestException if it does not answer."""
    client = docker.DockerClient(base_url=docker_host, timeout=TIMEOUT, max_pool_size=MAX_CONNECTIONS)
    try:
        info = client.info()
        queried_at = time.time()
        bridges = [network for network in client.networks.list(names=["bridge"]) if network.name == "bridge"]
        running = client.api.containers(filters={"label": stack_filter(stack)})
        with ThreadPoolExecutor(MAX_CONNECTIONS) as pool:
            bridge = pool.submit(lambda: client.api.inspect_network(str(bridges[0].id)) if bridges else None)
            inspected = list(pool.map(lambda summary: _container(client, summary["Id"]), running))
        containers = [container for container in inspected if container is not None]
        return DockerSnapshot(docker_host, info, bridge.result(), containers, requested_ports, queried_at)
    finally:
        client.close()


def _container(client: docker.DockerClient, identity: str) -> RunningContainer | None:
    try:
        inspected = client.api.inspect_container(identity)
    except NotFound:
        # The container was removed in the meantime.
        return None
    service = inspected["Config"]["Labels"].get(SERVICE) or inspected["Name"].lstrip("/")
    try:
        processes = client.api.top(identity)
    except (APIError, DockerException, requests.RequestException):
        return RunningContainer(service, inspected, None)
    return RunningContainer(service, inspected, tuple(" ".join(row[-1:]) for row in processes.get("Processes") or ()))
