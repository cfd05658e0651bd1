"""One stack of a checkout, as a test drives it and looks at it, and the files of small stacks that tests make."""

import contextlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import docker
import httpx
from docker.models.containers import Container
from docker.models.networks import Network

from settings.machine import read_machine
from tests.support.checkout import Checkout, Finished
from tests.support.waiting import wait_until

MINUTES = 60
FIRST_UP_SECONDS = 30 * MINUTES  # limit of a command that may have to build images and tools


@dataclass
class Stack:
    """One stack of a checkout. The commands below return what they printed; they do not fail by themselves."""

    checkout: Checkout
    name: str
    applied: str | None = field(default=None, init=False)
    """The files that the last successful `up` of this object applied; None after a failed `up` and after a `down`."""

    @property
    def stack_file(self) -> Path:
        return self.checkout.folder / f"Pulumi.{self.name}.yaml"

    @property
    def product_file(self) -> Path:
        """The file that the stack file names. It is read without a YAML parser: `!` tags may stand in the file."""
        (line,) = [line for line in self.stack_file.read_text().splitlines() if "dockyard:product:" in line]
        return self.checkout.folder / line.rpartition(": ")[2]

    @property
    def files(self) -> str:
        return self.stack_file.read_text() + self.product_file.read_text()

    @property
    def impatient(self) -> str:
        """The stack file, changed so that an `up` waits no longer than 15 s for a container to be healthy."""
        return re.sub(r"(dockyard:docker: \{.*)\}", r"\1, wait_timeout: 15s}", self.stack_file.read_text())

    # Commands

    def up(self, *arguments: str) -> Finished:
        files, self.applied = self.files, None
        finished = self.checkout.dockyard("up", self.name, *arguments, limit=FIRST_UP_SECONDS)
        if finished.code == 0 and not arguments:
            self.applied = files
        return finished

    def down(self, *arguments: str) -> Finished:
        before = self.everything
        finished = self.checkout.dockyard("down", self.name, *arguments)
        if self.everything != before:
            self.applied = None
        return finished

    def drift(self, *arguments: str) -> Finished:
        return self.checkout.dockyard("drift", self.name, *arguments)

    def preview(self, *arguments: str, expect_no_changes: bool = True) -> Finished:
        """Run a plain `pulumi preview`, which fails where anything would change, unless it is told otherwise."""
        options = [*arguments, "--non-interactive", *(["--expect-no-changes"] if expect_no_changes else [])]
        return self.checkout.pulumi("preview", "-s", self.name, *options)

    def restore(self) -> None:
        """Bring the stack to what its files say and assert that it is healthy, unless it is both already."""
        if self.applied != self.files or self.unhealthy:
            self.up().good()
        self.wait_until_healthy()

    def wait_until_healthy(self) -> None:
        """Wait until nothing is wrong with the containers: on a busy machine a single health check may fail."""
        wait_until(lambda: not self.unhealthy, f"{self.name} is healthy", details=lambda: str(self.unhealthy))

    @contextlib.contextmanager
    def edited(self, texts: Mapping[Path, str]) -> Iterator[None]:
        """Give files of the checkout other texts; at the end they are as before, and the stack is restored."""
        before = {file: file.read_text() for file in texts}
        for file, text in texts.items():
            assert text != before[file], f"the edit does not change {file.name}"
            file.write_text(text)
        try:
            yield
        finally:
            for file, text in before.items():
                file.write_text(text)
            self.restore()

    # What the engine has of it

    @cached_property
    def client(self) -> docker.DockerClient:
        return self.checkout.docker()

    @property
    def label(self) -> dict[str, str]:
        return {"label": f"dockyard.stack={self.name}"}

    @property
    def all_containers(self) -> list[Container]:
        """Every container of the stack, stopped ones included."""
        return self.client.containers.list(all=True, filters=self.label)

    @property
    def containers(self) -> dict[str, Container]:
        return {container.labels["dockyard.service"]: container for container in self.all_containers}

    def container(self, service: str) -> Container:
        filters = {"label": [f"dockyard.stack={self.name}", f"dockyard.service={service}"]}
        (container,) = self.client.containers.list(all=True, filters=filters)
        return container

    def sql(self, statement: str, database: str = "") -> str:
        """Return what psql prints, as the user and, unless told otherwise, in the database of the stack's own name."""
        place = ["-h", "/var/run/postgresql", "-U", self.name, "-d", database or self.name]
        finished = self.container("postgres").exec_run(["psql", "-XAtq", *place, "-c", statement])
        assert finished.exit_code == 0, finished.output
        return finished.output.decode().strip()

    @property
    def ids(self) -> dict[str, str]:
        return {service: container.id for service, container in self.containers.items()}

    @property
    def running_ids(self) -> set[str]:
        return {container.id for container in self.client.containers.list(filters=self.label)}

    @property
    def unhealthy(self) -> list[str]:
        """What is wrong: no container at all, one that is not healthy, a failed job, a service that is there twice."""
        containers = self.all_containers
        services = [container.labels["dockyard.service"] for container in containers]
        problems = [f"{service} is there twice" for service in {*services} if services.count(service) > 1]
        for container in containers:
            state = container.attrs["State"]
            if not (state["Running"] or (state["Status"] == "exited" and _is_job(container) and not state["ExitCode"])):
                problems.append(f"{container.name} {state['Status']} ({state['ExitCode']})")
            elif state["Running"] and state.get("Health", {}).get("Status", "healthy") != "healthy":
                problems.append(f"{container.name} is {state['Health']['Status']}")
        return problems if containers else ["it has no container"]

    @property
    def networks(self) -> list[Network]:
        return self.client.networks.list(filters=self.label)

    @property
    def volumes(self) -> set[str]:
        return {volume.name for volume in self.client.volumes.list(filters=self.label)}

    @property
    def everything(self) -> set[str]:
        """The ids of all containers, networks and volumes of the stack; a volume's id is its name."""
        return {item.id for item in [*self.all_containers, *self.networks]} | self.volumes

    # What it answers

    @property
    def offset(self) -> int:
        """The number that this machine adds to the ports that the stack publishes."""
        return read_machine(self.checkout.folder / ".dockyard/machine.yaml").port_offsets.get(self.name, 0)

    def outputs(self, *, show_secrets: bool = False) -> dict[str, Any]:
        options = ["--show-secrets"] if show_secrets else []
        printed = self.checkout.pulumi("stack", "output", "-s", self.name, "--json", *options).output
        return json.loads(printed)

    @cached_property
    def urls(self) -> dict[str, str]:
        """The addresses of all that the stack publishes, by service or tool."""
        return self.outputs()["urls"]

    def get(self, name: str, path: str, **options: Any) -> httpx.Response:
        return httpx.get(self.urls[name] + path, timeout=10, **options)

    def post(self, name: str, path: str, body: object) -> httpx.Response:
        return httpx.post(self.urls[name] + path, json=body, timeout=10)

    def query(self, expression: str) -> list[dict[str, Any]]:
        answer = self.get("prometheus", "/api/v1/query", params={"query": expression}).json()
        assert answer["status"] == "success", answer
        return answer["data"]["result"]


def _is_job(container: Container) -> bool:
    return container.attrs["HostConfig"]["RestartPolicy"]["Name"] in ("", "no", "on-failure")


@dataclass(frozen=True)
class FirstUp:
    """The first `up` of a stack, and what held right after it, before any test changed anything."""

    began: float  # seconds since 1970
    finished: Finished
    states: Mapping[str, Mapping[str, Any]]  # what the engine said of each container, by service
    firing: frozenset[str]
    """The alerts that fired once Prometheus had evaluated the group of the Watchdog, which always fires."""


SMALL_PRODUCT = """\
name: {name}
services:
  web:
    image: demo
    port: 3000
    health: {{http: /health, interval: 1s}}
    command: [static]
    limits: {{memory: 128MB, cpus: 0.5}}
    env: {{PORT: "3000", RELEASE: "0"}}
    after: [tell]
jobs:
  tell: {{image: busybox, command: ["true"], env: {{RELEASE: "0"}}}}
"""
"""A web app and a job before it, without a store."""

STORE_PRODUCT = """\
name: {name}
services:
  backend:
    image: demo
    port: 3333
    metrics: /metrics
    health: {{http: /health/ready, interval: 1s}}
    command: [backend, --migrate]
    limits: {{memory: 256MB, cpus: 1}}
    needs: [postgres]
    env: {{PORT: "3333"}}
    dump_before: true
postgres: {{database: polls, user: polls, shared_buffers: 32MB, limits: {{memory: 256MB}}}}
"""
"""A backend over Postgres, which migrates when it starts; the database is dumped before."""

SMALL_SETTINGS = """\
config:
  dockyard:product: products/{name}.yaml
  dockyard:environment: {environment}
  dockyard:docker: {{health_interval: 10s, health_start_interval: 1s}}
  dockyard:monitoring: {{logs: {{enabled: false}}, probes: {{enabled: false}}, prometheus: {{scrape_interval: 2s}}}}
"""
"""As little around the product as a stack can have."""


@contextlib.contextmanager
def small_stack(
    checkout: Checkout,
    name: str,
    product: str = SMALL_PRODUCT,
    *,
    environment: str = "development",
    settings: Sequence[str] = (),
) -> Iterator[Stack]:
    """Write the files of a stack and of its product, which has the place `{name}`, and yield the stack, not up yet. The
    files are removed at the end; what is on the engine remains."""
    stack = Stack(checkout, name)
    product_file = checkout.folder / f"products/{name}.yaml"
    with (checkout.folder / ".git/info/exclude").open("a") as ignored:
        ignored.write(f"/products/{name}.yaml\n/Pulumi.{name}.yaml\n")
    product_file.write_text(product.format(name=name))
    lines = "".join(f"  {line}\n" for line in settings)
    stack.stack_file.write_text(SMALL_SETTINGS.format(name=name, environment=environment) + lines)
    try:
        yield stack
    finally:
        stack.stack_file.unlink()
        product_file.unlink()
