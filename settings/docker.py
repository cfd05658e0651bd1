"""Settings of the Docker engine that apply to every container."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, StringConstraints

from settings.base import Model
from settings.units import Duration


class Docker(Model):
    """Settings of the Docker engine that apply to all containers."""

    mirror: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9.-]+(:\d+)?(/[a-z0-9._/-]+)?$")] | None = None
    """Registry that serves the official images under their own paths: `mirror.example.com:5000`."""

    log_max_size: Annotated[str, StringConstraints(pattern=r"^\d+[km]$")] = "10m"
    log_max_files: int = Field(default=14, ge=1, le=1000)
    """Number of rotated log files, 14 as in Tumulte's rotation: json-file rotates by size, so these are not days."""

    health_interval: Duration | None = None
    """Interval of all containers' health checks, in place of their own settings: for environments where the duration of
    an `up` matters more than the cost of the checks."""

    health_start_interval: Duration | None = None
    """Interval of health checks while a container starts, until it is healthy for the first time or its `start_period`
    has passed; after that `health_interval` applies. Needs Docker 25. With a short start interval and a long interval
    an `up` is quick, and an idle container costs little."""

    wait_timeout: Duration = 180
    """How long an `up` waits for a container to become healthy."""
