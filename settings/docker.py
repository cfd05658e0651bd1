"""Settings of the Docker engine that apply to every container."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, StringConstraints

from settings.base import Model
from settings.units import Duration


class Docker(Model):
    """How containers run on the host."""

    mirror: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9.-]+(:\d+)?(/[a-z0-9._/-]+)?$")] | None = None
    """A registry that serves the official images under their own paths: `mirror.example.com:5000`."""

    log_max_size: Annotated[str, StringConstraints(pattern=r"^\d+[km]$")] = "10m"
    log_max_files: int = Field(default=14, ge=1, le=1000)
    """Rotated logs kept, 14 as in Tumulte's rotation: json-file rotates by size, so these are not days."""

    health_interval: Duration | None = None
    """Check the health of every container this often, whatever its own setting says: for environments where the
    time an `up` takes matters more than the cost of the checks."""

    health_start_interval: Duration | None = None
    """Check the health of a container this often while it starts, until it is healthy for the first time or its
    `start_period` has passed; after that every `health_interval`. Needs Docker 25. With a short start interval and a
    long interval an `up` is quick, and a container at rest costs little."""

    wait_timeout: Duration = 180
    """How long an `up` waits for one container to become healthy."""
