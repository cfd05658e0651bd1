"""Loki and the collector as LogPipeline runs them, and containers that write lines for them."""

from __future__ import annotations

import json
import shlex
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

import docker
import pulumi
from docker.models.containers import Container

from components.context import StackContext
from components.log_pipeline import LogPipeline, LogPipelineConfig
from settings.docker import Docker
from settings.logs import Logs
from tests.images.edge_stage import wait
from tests.images.making import make_container, remove_all, run_job
from tests.unit.world import Made, World, build

LABEL = "log-test"
PAGE = 5000
"""Lines that Loki gives at once, at most."""


@dataclass
class LogStage:
    """A log pipeline and those who write; the stack's name is the stage's own."""

    engine: docker.DockerClient
    images: Mapping[str, str]
    rules: Mapping[str, str] = field(default_factory=dict)
    logs: Logs = field(default_factory=Logs)
    mark: str = field(default_factory=lambda: f"log-test-{uuid.uuid4().hex[:10]}")
    loki: Container = field(init=False)
    collector: Container = field(init=False)

    def world(self) -> World:
        """Return what the program registers."""

        def program() -> None:
            network = pulumi.Output.from_input(self.mark)
            context = StackContext("shop", "development", Docker(), False, network, network)
            root = self.engine.info()["DockerRootDir"]
            image = self.images.__getitem__
            LogPipeline("l", LogPipelineConfig(self.logs, context, image, root, ["alertmanager:9093"], self.rules))

        return build(program, stack=self.mark)

    def up(self) -> None:
        """Make everything and wait until both are healthy."""
        self.engine.networks.create(self.mark, labels={LABEL: self.mark})
        world = self.world()
        for part in ("loki", "collector"):
            assert run_job(self.make(world[f"l-{part}-config-writer"])) == (0, "")
        self.loki, self.collector = (self.make(world[f"l-{part}"]) for part in ("loki", "collector"))
        for part, container in (("loki", self.loki), ("collector", self.collector)):
            container.start()
            self.healthy(container, world[f"l-{part}"])

    def healthy(self, container: Container, made: Made | None = None) -> None:
        """Wait until the container's own health check succeeds."""
        made = made or self.world()["l-loki" if container == self.loki else "l-collector"]
        command = made.inputs["healthcheck"]["tests"][1:]
        wait(lambda: container.exec_run(command)[0] == 0, lambda: container.logs().decode(), 60)

    def make(self, made: Made) -> Container:
        """Make a container as the inputs of its resource say."""
        return make_container(self.engine, made, self.mark, {LABEL: self.mark})

    def writer(
        self, service: str, script: str, *, name: str | None = None, rotated_at: str | None = None, **labels: str
    ) -> Container:
        """Run a shell script whose lines go to the log, with the labels and the log options that every service has.

        The container has the name of its service, or `name`, and what the engine puts behind it. `rotated_at` is the
        size of its log files, where they are smaller than a service's.
        """
        options = dict(self.world()["l-loki"].inputs["logOpts"])
        if rotated_at:
            options["max-size"] = rotated_at
        named = {"product": "shop", "environment": "development", "service": service, "stack": self.mark, **labels}
        return self.engine.containers.run(
            self.images["busybox"],
            ["sh", "-c", script],
            # As the engine names its containers.
            name=f"{self.mark}-{name or service}-{uuid.uuid4().hex[:7]}",
            labels={LABEL: self.mark, **{f"dockyard.{name}": value for name, value in named.items()}},
            log_config=docker.types.LogConfig(type="json-file", config=options),
            network_mode="none",
            detach=True,
        )

    def ask(self, path: str, **parameters: object) -> dict:
        """Ask Loki."""
        url = f"http://127.0.0.1:3100{path}?{urlencode(parameters)}"
        for _ in range(3):
            code, said = self.loki.exec_run(["wget", "-q", "-T", "20", "-O", "-", url])
            assert code == 0, said.decode()
            # On a busy machine the engine loses what a command said now and then.
            if said:
                break
        return json.loads(said)["data"]

    def lines(self, selector: str) -> list[tuple[dict[str, str], str]]:
        """Return every line with its labels, oldest first."""
        found: list[tuple[dict[str, str], str]] = []
        start = 0
        began = time.time_ns() - 3600 * 10**9
        while True:
            answer = self.ask(
                "/loki/api/v1/query_range",
                query=selector,
                start=max(began, start),
                end=time.time_ns() + 10**9,
                limit=PAGE,
                direction="forward",
            )
            page = sorted(
                (int(moment), line, stream["stream"])
                for stream in answer["result"]
                for moment, line in stream["values"]
            )
            found += [(labels, line) for _, line, labels in page]
            if len(page) < PAGE:
                return found
            # The driver's times have nanoseconds, and one container's lines never share one.
            start = page[-1][0] + 1

    def count(self, selector: str) -> int:
        """Return how many lines there are."""
        result = self.ask("/loki/api/v1/query", query=f"sum(count_over_time({selector}[1h]))")["result"]
        return int(result[0]["value"][1]) if result else 0

    def arrived(self, service: str, number: int, seconds: float = 60) -> list[tuple[dict[str, str], str]]:
        """Wait until a service has a number of lines in Loki; return all that it has."""
        selector = f'{{service="{service}"}}'

        def tell() -> str:
            return f"{self.count(selector)} of {number} lines\n{self.collector.logs(tail=20).decode()}"

        wait(lambda: self.count(selector) >= number, tell, seconds)
        return self.lines(selector)

    def said(self, service: str, *lines: str) -> list[tuple[dict[str, str], str]]:
        """Have a service write lines; return what Loki has of them once the last is there.

        `lines` are those that the service writes, line feeds and all; entries may be fewer.
        """
        end = f"the end of {service}"
        text = "".join(f"{line}\n" for line in (*lines, end))
        self.writer(service, f"printf %s {shlex.quote(text)}")
        selector = f'{{service="{service}"}}'
        wait(lambda: self.count(f"{selector} |= `{end}`") > 0, lambda: self.collector.logs(tail=20).decode(), 60)
        return [one for one in self.lines(selector) if one[1] != end]

    def down(self) -> None:
        """Remove everything."""
        remove_all(self.engine, f"{LABEL}={self.mark}", self.mark)


@contextmanager
def running_pipeline(
    engine: docker.DockerClient, images: Mapping[str, str], rules: Mapping[str, str] | None = None, **logs: Any
) -> Iterator[LogStage]:
    """Run a pipeline with these rules and settings; everything of it is gone at the end."""
    stage = LogStage(engine, images, rules or {}, Logs.model_validate(logs))
    try:
        stage.up()
        yield stage
    finally:
        stage.down()
