"""VictoriaLogs, vmalert and the collector as LogPipeline runs them, and containers that write lines for them.

Loki's official image cannot be had everywhere: what is of it alone is tested by what the program registers.
"""

import json
import shlex
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

import docker
import httpx
from docker.models.containers import Container

from components.logs.stack import LogPipeline
from settings.logs import Logs
from tests.support.component_stage import ComponentStage
from tests.support.containers import succeeded
from tests.support.recording import RecordedProgram, record
from tests.support.waiting import wait_until

WRITERS = ("victorialogs-writer", "vmalert-config-writer", "collector-config-writer")
LOG_IMAGES = ("busybox", "victorialogs", "vmalert", "otel-collector")
PARTS = ("victorialogs", "vmalert", "collector")
PORTS = {"victorialogs": 9428, "vmalert": 8880}

Line = dict[str, str]  # a line with its fields, as VictoriaLogs names them: `_msg`, `_time`, and those of docs/logs.md


@dataclass
class LogStage(ComponentStage):
    """A log pipeline and those who write; the stack's name is the stage's own."""

    rules: Mapping[str, str] = field(default_factory=dict)
    logs: Logs = field(default_factory=Logs)
    containers: dict[str, Container] = field(default_factory=dict)

    @property
    def store(self) -> Container:
        return self.containers["victorialogs"]

    @property
    def collector(self) -> Container:
        return self.containers["collector"]

    def world(self) -> RecordedProgram:
        def program() -> None:
            inputs = {"docker_root": self.engine.info()["DockerRootDir"], "alertmanagers": ["alertmanager:9093"]}
            LogPipeline("l", self.context(), logs=self.logs, rules=self.rules, **inputs)

        return record(program, stack=self.mark)

    def up(self) -> None:
        self.make_network()
        world = self.world()
        for writer in WRITERS:
            succeeded(self.job(world[f"l-{writer}"]))
        for part in PARTS:
            container = self.make(world[f"l-{part}"])
            container.start()
            self.containers[part] = container
            self.healthy(part)

    def healthy(self, part: str) -> None:
        container = self.containers[part]
        command = self.world()[f"l-{part}"].inputs["healthcheck"]["tests"][1:]
        wait_until(
            lambda: container.exec_run(command)[0] == 0,
            f"{part} is healthy",
            details=lambda: container.logs().decode(),
            ignoring=(docker.errors.APIError,),
        )

    def writer(
        self, service: str, script: str, *, name: str | None = None, rotated_at: str | None = None, **labels: str
    ) -> Container:
        """Run a shell script whose lines go to the log, with labels and log options as every service has them; the size
        of its log files is `rotated_at`, where that is smaller than a service's."""
        options = dict(self.world()["l-victorialogs"].inputs["logOpts"])
        if rotated_at:
            options["max-size"] = rotated_at
        named = {"product": "shop", "environment": "development", "service": service, "stack": self.mark, **labels}
        return self.engine.containers.run(
            self.images["busybox"],
            ["sh", "-c", script],
            # As the engine names its containers.
            name=f"{self.mark}-{name or service}-{uuid.uuid4().hex[:7]}",
            labels={**self.labels, **{f"dockyard.{name}": value for name, value in named.items()}},
            log_config=docker.types.LogConfig(type="json-file", config=options),
            network_mode="none",
            detach=True,
        )

    def fetch(self, part: str, path: str) -> str:
        """Ask a part at its own address: what a command in a container prints is cut now and then on a busy machine."""
        container = self.containers[part]
        container.reload()
        (network,) = container.attrs["NetworkSettings"]["Networks"].values()
        response = httpx.get(f"http://{network['IPAddress']}:{PORTS[part]}{path}", timeout=20)
        assert response.is_success, response.text
        return response.text

    def ask(self, path: str, **parameters: object) -> str:
        return self.fetch("victorialogs", f"{path}?{urlencode(parameters)}")

    def lines(self, selector: str) -> list[Line]:
        """Return every line once, the oldest first. Lines that were sent twice have container and time in common."""
        text = self.ask("/select/logsql/query", query=f"_time:1h {selector}")
        # An empty line has no `_msg`.
        lines: list[Line] = [{"_msg": "", **json.loads(line)} for line in text.splitlines() if line.strip()]
        found = {(line["container_id"], line["_time"]): line for line in lines}
        return [found[key] for key in sorted(found, key=lambda key: key[1])]

    def count(self, selector: str) -> int:
        """Return how many different lines there are, as the alert rules count them."""
        query = f"_time:1h {selector} | stats count_uniq(container_id, _time) as lines"
        result = json.loads(self.ask("/select/logsql/stats_query", query=query))["data"]["result"]
        return int(result[0]["value"][1]) if result else 0

    def arrived(self, service: str, number: int, seconds: float = 60) -> list[Line]:
        selector = f'{{service="{service}"}}'
        self.wait_for(selector, number, seconds)
        return self.lines(selector)

    def wait_for(self, selector: str, number: int, seconds: float = 60) -> None:
        wait_until(
            lambda: self.count(selector) >= number,
            f"{number} lines of {selector} are stored",
            seconds,
            details=lambda: f"{self.count(selector)} lines\n{self.collector.logs(tail=20).decode()}",
        )

    def written(self, service: str, *lines: str) -> list[Line]:
        """Have a service write lines; return its entries, which may be fewer, once the last is there."""
        end = f"the end of {service}"
        text = "".join(f"{line}\n" for line in (*lines, end))
        self.writer(service, f"printf %s {shlex.quote(text)}")
        selector = f'{{service="{service}"}}'
        self.wait_for(f'{selector} _msg:="{end}"', 1)
        return [line for line in self.lines(selector) if line["_msg"] != end]


@contextmanager
def running_pipeline(
    engine: docker.DockerClient, images: Mapping[str, str], rules: Mapping[str, str] | None = None, **logs: Any
) -> Iterator[LogStage]:
    rules = rules or {"none.yml": "groups: []\n"}
    with LogStage(engine, images, rules, Logs.model_validate(logs)) as stage:
        stage.up()
        yield stage
