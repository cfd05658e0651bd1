"""What a product IS, the same in every environment: products/<name>.yaml."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StringConstraints, model_validator

from settings.base import Model
from settings.container import Cores, Health, ImageName, Limits, Name, Port, User
from settings.units import Memory, spell_memory

EnvName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]
Store = Literal["postgres", "redis"]


class Workload(Model):
    """What services and jobs have in common."""

    image: ImageName
    command: list[str] | None = None
    """Arguments for the image's entry point. Default: the image's own."""

    env: dict[EnvName, str] = {}
    """Plain variables. A secret never goes here: see `secrets`."""

    secrets: list[Name] = []
    """Secrets given as files: `app-key` arrives as /run/secrets/app-key, named by APP_KEY_FILE."""

    needs: list[Store] = []
    """Data stores it waits for and is told about: DATABASE_HOST, DATABASE_PASSWORD_FILE, REDIS_HOST …"""

    user: User = "1001:1001"
    """User and group it runs as (CIS Docker 4.1). Default: Tumulte's `nodejs:1001`."""

    read_only: bool = True
    """Read-only root file system with a small /tmp in memory (CIS Docker 5.12)."""

    limits: Limits = Field(default_factory=lambda: Limits.model_validate({"memory": "512MB"}))


class Service(Workload):
    """A long-running process of the product."""

    port: Port
    """The port it listens on, inside its network."""

    health: Health
    metrics: Annotated[str, StringConstraints(pattern=r"^/")] | None = None
    """Path of its Prometheus metrics on `port`, where it has any."""

    after: list[Name] = []
    """Jobs that must have succeeded and services that must be healthy before it starts."""


class Job(Workload):
    """A process that runs once to its end, for each change of its image or settings; exit code 0 is success."""

    limits: Limits = Field(default_factory=lambda: Limits.model_validate({"memory": "256MB"}))


class Postgres(Model):
    """A Postgres server of the product's own, with its exporter. Figures: Tumulte's table."""

    database: Annotated[str, StringConstraints(pattern=r"^[a-z_][a-z0-9_]*$")]
    user: Annotated[str, StringConstraints(pattern=r"^[a-z_][a-z0-9_]*$")]
    shared_buffers: Memory = 1024
    max_connections: int = Field(default=200, ge=5, le=10000)
    limits: Limits = Field(default_factory=lambda: Limits.model_validate({"memory": "4GB", "cpus": 2}))

    @model_validator(mode="after")
    def _buffers_fit(self) -> Postgres:
        if self.shared_buffers >= self.limits.memory:
            raise ValueError(
                f"shared_buffers below the memory limit: {spell_memory(self.shared_buffers)}"
                f" of {spell_memory(self.limits.memory)}"
            )
        return self


class Redis(Model):
    """A Redis server of the product's own, with its exporter. Figures: Tumulte's table."""

    maxmemory: Memory = 384
    """Where eviction begins; below the container's limit, since Redis needs room for itself."""

    maxmemory_policy: Literal[
        "noeviction",
        "allkeys-lru",
        "allkeys-lfu",
        "allkeys-random",
        "volatile-lru",
        "volatile-lfu",
        "volatile-random",
        "volatile-ttl",
    ] = "allkeys-lru"
    limits: Limits = Field(default_factory=lambda: Limits.model_validate({"memory": "512MB"}))

    @model_validator(mode="after")
    def _maxmemory_fits(self) -> Redis:
        if self.maxmemory >= self.limits.memory:
            raise ValueError(
                f"maxmemory below the memory limit: {spell_memory(self.maxmemory)}"
                f" of {spell_memory(self.limits.memory)}"
            )
        return self


class Product(Model):
    """A product: its services, its jobs and its data stores."""

    name: Name
    services: dict[Name, Service] = Field(min_length=1)
    jobs: dict[Name, Job] = {}
    postgres: Postgres | None = None
    redis: Redis | None = None

    @property
    def workloads(self) -> dict[str, Workload]:
        """Services and jobs by name."""
        return {**self.services, **self.jobs}

    @property
    def secrets(self) -> list[str]:
        """Names of the secrets that the product's workloads ask for, each once."""
        return sorted({secret for workload in self.workloads.values() for secret in workload.secrets})


class WorkloadOverride(Model):
    """What one environment says differently of a service or job; only what is written here changes."""

    image: ImageName | None = None
    command: list[str] | None = None
    env: dict[EnvName, str] = {}
    """Added to, or put in place of, the product's variables."""

    limits: Limits | None = None
    user: User | None = None


__all__ = ["Cores", "Job", "Postgres", "Product", "Redis", "Service", "Workload", "WorkloadOverride"]
