"""What a component registers, made on a real engine under a mark of its own."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

import docker
import pulumi
from docker.models.containers import Container

from runtime.context import StackContext
from runtime.docker import DockerRuntime
from settings.container import Docker
from tests.support.containers import make_container, remove_all, run_job, wait_in
from tests.support.recording import RecordedResource

LABEL = "component-stage"
NO_CONTENT: Any = {
    "targets": [],
    "alertmanagers": ["a:9093"],
    "rules": {},
    "dashboards": {},
    "root_url": "http://g.test",
}
"""Arguments of a MonitoringStack with nothing to scrape and nothing to show."""


@dataclass
class ComponentStage:
    """Networks, volumes and containers of one component; all of it is gone when the context ends."""

    engine: docker.DockerClient
    images: Mapping[str, str]
    mark: str = field(default_factory=lambda: f"stage-{uuid.uuid4().hex[:10]}", kw_only=True)

    @property
    def labels(self) -> dict[str, str]:
        return {LABEL: self.mark}

    def context(self, app: str = "", monitoring: str = "", environment: str = "development") -> StackContext:
        """Return the context of a shop's stack, whose two networks are one unless they are named."""
        networks = (pulumi.Output.from_input(name or self.mark) for name in (app, monitoring))
        return DockerRuntime("shop", environment, Docker(), False, *networks, self._image)

    def _image(self, name: str) -> str:
        return self.images.get(name, name)

    def make_network(self, name: str = "") -> None:
        """Make the network of the mark, or of this name."""
        self.engine.networks.create(name or self.mark, labels=self.labels)

    def make(self, made: RecordedResource) -> Container:
        return make_container(self.engine, made, self.mark, self.labels)

    def job(self, made: RecordedResource) -> tuple[int, str]:
        """Run a one-shot job to its end; return its exit code and what it said."""
        return run_job(self.make(made))

    def start(self, made: RecordedResource) -> Container:
        """Start a container and wait until its own health check succeeds."""
        container = self.make(made)
        container.start()
        command = made.inputs["healthcheck"]["tests"][1:]
        wait_in(container, lambda: container.exec_run(command)[0] == 0, f"{container.name} is healthy")
        return container

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        remove_all(self.engine, f"{LABEL}={self.mark}", self.mark)
