"""A stack of a checkout, as tests look at it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property

import docker
import httpx

from settings.machine import read_machine
from tests.live.conftest import Checkout, Finished


@dataclass(frozen=True)
class Running:
    """One stack, and what came of its `up`."""

    checkout: Checkout
    stack: str
    up: Finished

    @cached_property
    def client(self) -> docker.DockerClient:
        """A client of the engine that the checkout uses."""
        return self.checkout.docker()

    @property
    def containers(self) -> dict[str, docker.models.containers.Container]:
        """The stack's containers by role."""
        found = self.client.containers.list(all=True, filters=self._labelled)
        return {container.labels["dockyard.service"]: container for container in found}

    @property
    def networks(self) -> list[docker.models.networks.Network]:
        """The stack's own networks."""
        return self.client.networks.list(filters=self._labelled)

    @property
    def everything(self) -> set[str]:
        """Ids of all containers, networks and volumes of the stack."""
        volumes = self.client.volumes.list(filters=self._labelled)
        return {one.id for one in [*self.containers.values(), *self.networks, *volumes]}

    @property
    def _labelled(self) -> dict[str, str]:
        return {"label": f"dockyard.stack={self.stack}"}

    @property
    def offset(self) -> int:
        """What the machine adds to the ports that the stack publishes."""
        return read_machine(self.checkout.folder / ".dockyard/machine.yaml").port_offsets.get(self.stack, 0)

    @cached_property
    def urls(self) -> dict[str, str]:
        """Addresses of all that the stack publishes."""
        return json.loads(self.checkout.pulumi("stack", "output", "-s", self.stack, "--json").output)["urls"]

    def get(self, name: str, path: str) -> httpx.Response:
        """Fetch a path of a published service."""
        return httpx.get(self.urls[name] + path, timeout=10)

    def post(self, name: str, path: str, body: object) -> httpx.Response:
        """Post JSON to a path of a published service."""
        return httpx.post(self.urls[name] + path, json=body, timeout=10)

    def preview(self) -> Finished:
        """Run a plain preview with refresh, which fails where anything would change."""
        return self.checkout.pulumi(
            "preview", "-s", self.stack, "--refresh", "--expect-no-changes", "--non-interactive"
        )

    def down(self) -> Finished:
        """Take it down with its data."""
        return self.checkout.dockyard("down", self.stack, "--volumes", "--yes")
