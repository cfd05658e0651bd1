"""Workloads of a product: services and jobs, their builds and objectives, and the overrides of one environment."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StringConstraints, model_validator

from settings.base import ExactlyOne, Model, Name
from settings.container import Health, ImageName, Limits, Port, User
from settings.edge import Route
from settings.schedule import Schedule
from settings.units import Duration

Percent = Annotated[float, Field(gt=0, lt=100)]


class LatencyObjective(Model):
    """Objective for the share of requests that are answered fast."""

    threshold: Annotated[float, Field(gt=0)]
    """Seconds. It must be a bucket bound of the service's `…http_request_duration_seconds` histogram, which cannot
    resolve values between two bounds."""

    target: Percent = 95
    """Percentage of the requests that must be answered within the threshold."""

    @property
    def bound(self) -> str:
        """The bucket's label `le`, as Prometheus 3 spells it whatever the service wrote: `0.5`, `1.0`."""
        return str(float(self.threshold))


class Slo(Model):
    """Objectives over 30 days. Alerts fire when the error budget is used up too fast."""

    availability: Percent | None = None
    """Percentage of the requests that must not end in a 5xx: 99.9."""

    latency: LatencyObjective | None = None

    @model_validator(mode="after")
    def _any(self) -> Slo:
        if self.availability is None and self.latency is None:
            raise ValueError("availability or latency, or both")
        return self


Argument = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]
Inside = Annotated[str, StringConstraints(pattern=r"^[^/].*$")]


class Build(ExactlyOne):
    """A Dockerfile, a shipped template or your own, and the build context."""

    alternatives = ("template", "dockerfile")

    template: Literal["node-backend", "nuxt", "static", "python-bot"] | None = None
    """A Dockerfile of templates/, whose first lines list the `args` that it supports."""

    dockerfile: Inside | None = None
    """A Dockerfile of your own, relative to the context. `FROM ${NODE}` resolves to components/images.yaml."""

    context: str = Field(default=".", min_length=1)
    """Folder with the sources: relative to the checkout (`../app`), or absolute. Its .dockerignore is respected."""

    package_manager: Literal["npm", "pnpm"] = "npm"
    """Package manager of the Node.js templates."""

    args: dict[Argument, str] = {}
    """Build arguments. They are readable in Docker's build cache: never put a secret here."""

    target: str | None = Field(default=None, min_length=1)
    """Build stage to stop at. Default: the last."""

    @model_validator(mode="after")
    def _fits_the_template(self) -> Build:
        if "package_manager" in self.model_fields_set and self.template in (None, "python-bot"):
            raise ValueError("no package_manager: only the templates node-backend, nuxt and static use it")
        if self.template and "PACKAGE" in self.args and self.package_manager != "pnpm":
            raise ValueError("package_manager: pnpm, which args.PACKAGE needs")
        return self


EnvName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]
Folder = Annotated[str, StringConstraints(pattern=r"^/[^:,]*[^:,/]$")]
Store = Literal["postgres", "redis"]
Signal = Annotated[str, StringConstraints(pattern=r"^SIG[A-Z0-9]+$")]
Restart = Literal["unless-stopped", "always", "on-failure", "no"]


class File(ExactlyOne):
    """A read-only file in a workload's file system. Its folder contains only such files."""

    alternatives = ("content", "source")

    content: str | None = None
    source: str | None = None
    """Path of a file in the checkout."""


class Workload(ExactlyOne):
    """Settings that services and jobs share."""

    alternatives = ("image", "build")

    image: ImageName | None = None
    """A full reference, or a key of components/images.yaml."""

    build: Build | None = None
    """How its image is built on the deploying machine, where no registry provides it."""

    enabled: bool = True
    """`false` leaves it out, and its dependents start without it: Pivotal Flow's BUILD_FRONTEND and RUN_MIGRATIONS."""

    entrypoint: list[str] | None = Field(default=None, min_length=1)
    """Entry point, instead of the image's own."""

    command: list[str] | None = None
    """Arguments for the entry point. Default: the image's own."""

    env: dict[EnvName, str] = {}
    """Plain environment variables. Never put a secret here: see `secrets`."""

    secrets: list[Name] = []
    """Secrets provided as files: `app-key` is the file /run/secrets/app-key, whose path is in APP_KEY_FILE."""

    optional_secrets: list[Name] = []
    """Like `secrets`, but never generated, and provided only if the stack sets them: Love Parser's SENTRY_DSN."""

    secrets_as_env: bool = False
    """For programs that read secrets only from variables: a wrapper in the container exports APP_KEY from its file and
    then executes the command. It replaces the entry point, so `command` must be the whole command line."""

    files: dict[Folder, File] = {}
    """Path in the container → file."""

    needs: list[Store] = []
    """Data stores that it depends on. It gets their connections: DATABASE_HOST, DATABASE_PASSWORD_FILE, REDIS_HOST …"""

    user: User = "1001:1001"
    """User and group that it runs as (CIS Docker 4.1), by number or name: Tumulte's `nodejs:1001`."""

    read_only: bool = True
    """Read-only root file system with a small /tmp in memory (CIS Docker 5.13)."""

    tmpfs: list[Folder] = []
    """Further tmpfs folders."""

    limits: Limits = Limits.of("512MB")
    stop_signal: Signal | None = None
    """Default: the image's own, usually SIGTERM."""

    stop_grace: Duration = 10
    """Time between the stop signal and the kill, for running requests. Docker's default."""

    @model_validator(mode="after")
    def _whole_command(self) -> Workload:
        if self.secrets_as_env and not self.command:
            raise ValueError("a command in addition to secrets_as_env: the wrapper does not know the image's command")
        return self

    def image_name(self, product: str, name: str) -> str:
        """Return the image's name: as configured, or for an image that is built, `<product>-<workload>`."""
        return self.image or f"{product}-{name}"


class Service(Workload):
    """A long-running process of the product."""

    port: Port | None = None
    """Port that it listens on, inside its network; a bot has none."""

    protocol: Literal["http", "tcp"] = "http"
    """Protocol on that port, for the edge proxy."""

    health: Health
    metrics: Annotated[str, StringConstraints(pattern=r"^/")] | None = None
    """Path of its Prometheus metrics on `port`, if it has any."""

    slo: Slo | None = None
    """Service level objectives, measured by its own HTTP metrics."""

    replicas: int = Field(default=1, ge=1, le=20)
    """Number of instances."""

    routes: list[Route] = []
    """Public host names and paths that are routed to it."""

    after: list[Name] = []
    """Jobs that must have succeeded and services that must be healthy before it starts."""

    restart: Restart = "unless-stopped"
    """Default: Tumulte's policy."""

    dump_before: bool = False
    """Dump Postgres before a new image of it starts: for images whose entry point migrates the database."""

    @model_validator(mode="after")
    def _port_where_required(self) -> Service:
        requirements = [
            name
            for name, applies in {
                "health.http": self.health.http is not None,
                "health.tcp": self.health.tcp,
                "metrics": self.metrics is not None,
                "routes": bool(self.routes),
            }.items()
            if applies
        ]
        if self.port is None and requirements:
            raise ValueError(f"a port, which {' and '.join(requirements)} need")
        if self.slo and self.metrics is None:
            raise ValueError("metrics, from which its slo is measured")
        if self.protocol == "tcp" and (self.routes or self.health.http):
            raise ValueError("protocol http, which routes and health.http need")
        return self


class Job(Workload):
    """A process that runs to completion: once for each image, or on a schedule. Exit code 0 is success."""

    schedule: Schedule | None = None
    """Cron schedule of five fields, UTC. Default: it runs once, before the services that depend on it."""

    after: list[Name] = []
    """Jobs that must have succeeded before it starts."""

    dump_before: bool | None = None
    """Dump Postgres before it runs. Default: yes, where it runs once and needs Postgres."""

    limits: Limits = Limits.of("256MB")

    @model_validator(mode="after")
    def _command_to_repeat(self) -> Job:
        if self.schedule and not self.command:
            raise ValueError("a command in addition to schedule: the scheduler does not know the image's command")
        return self

    @property
    def dumps_before(self) -> bool:
        """Whether the database is dumped before it runs."""
        if self.dump_before is None:
            return self.schedule is None and "postgres" in self.needs
        return self.dump_before


class WorkloadOverride(Model):
    """Overrides of one environment for a service or job; unset fields keep the product's value."""

    enabled: bool | None = None
    image: ImageName | None = None
    build: Build | None = None
    entrypoint: list[str] | None = None
    command: list[str] | None = None
    env: dict[EnvName, str] = {}
    """Added to the product's variables, or replacing those of the same name."""

    secrets_as_env: bool | None = None
    limits: Limits | None = None
    user: User | None = None
    read_only: bool | None = None
    health: Health | None = None
    metrics: Annotated[str, StringConstraints(pattern=r"^/")] | None = None
    slo: Slo | None = None
    replicas: int | None = Field(default=None, ge=1, le=20)
    routes: list[Route] | None = None
    restart: Restart | None = None
    schedule: Schedule | None = None
    dump_before: bool | None = None
    stop_grace: Duration | None = None
