"""Settings of containers: image, limits, health check, and the Docker engine's own for all of them."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, StringConstraints, model_validator

from settings.base import ExactlyOne, Model
from settings.units import Duration, Memory, format_memory

ImageName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][A-Za-z0-9._/:@-]*$")]
"""A key of components/images.yaml, or a full reference with registry and tag."""

User = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.-]+(:[A-Za-z0-9_.-]+)?$")]
Port = Annotated[int, Field(ge=1, le=65535)]
Cores = Annotated[float, Field(ge=0.1, lt=10, multiple_of=0.05)]
"""Processor cores. Outside these bounds the official provider reads back another spelling than it was given, and
would replace the container at every `up`."""


class Limits(Model):
    """Resource limits of a container, and its memory reservation."""

    memory: Memory
    """Hard memory limit without additional swap, so that a leak is seen early (CIS Docker 5.11)."""

    reserved: Memory | None = None
    """Memory reserved when the host runs short. Default: half the limit, as in the dating app's table."""

    cpus: Cores = 1.0
    """Limit in processor cores."""

    @classmethod
    def of(cls, memory: str, **fields: str | float) -> Limits:
        """Return limits as a settings file would spell them: `Limits.of("64MB", cpus=0.5)`."""
        return cls.model_validate({"memory": memory, **fields})

    @property
    def reservation(self) -> int:
        """The reservation in MiB; every limit has one."""
        return self.reserved or max(6, self.memory // 2)

    @model_validator(mode="after")
    def _reserved_fits(self) -> Limits:
        if self.reserved is not None and self.reserved > self.memory:
            reserved, limit = format_memory(self.reserved), format_memory(self.memory)
            raise ValueError(f"a reservation within the limit of {limit}, not {reserved}")
        return self


class Health(ExactlyOne):
    """Health check of a container: exactly one of `http`, `tcp` and `command`."""

    alternatives = ("http", "tcp", "command")

    http: Annotated[str, StringConstraints(pattern=r"^/")] | None = None
    """Path that must answer 2xx on the service's own port."""

    tcp: bool = False
    """The service's port must accept connections."""

    command: list[str] | None = Field(default=None, min_length=1)
    """Command that must exit 0 in the container."""

    interval: Duration = 30
    timeout: Duration = 10
    retries: int = Field(default=3, ge=1, le=100)
    start_period: Duration = 40
    """Failures during this time do not count. The last four defaults are the figures of Tumulte's Dockerfiles."""


class Docker(Model):
    """Settings of the Docker engine that apply to all containers."""

    mirror: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9.-]+(:\d+)?(/[a-z0-9._/-]+)?$")] | None = None
    """Registry that serves the official images under their own paths: `mirror.example.com:5000`."""

    log_max_size: Annotated[str, StringConstraints(pattern=r"^\d+[km]$")] = "10m"
    log_max_files: int = Field(default=14, ge=1, le=1000)
    """Number of rotated log files. Tumulte keeps 14 days; the json-file driver rotates by size, not by day."""

    health_interval: Duration | None = None
    """Health check interval of all containers, instead of their own: where a fast `up` is worth the cost."""

    health_start_interval: Duration | None = None
    """Health check interval while a container starts: until it is healthy, or its `start_period` has passed. Afterwards
    `health_interval` applies. Needs Docker 25. A short start interval makes an `up` fast, and a long interval makes an
    idle container cheap."""

    wait_timeout: Duration = 180
    """How long an `up` waits for a container to become healthy."""
