"""Point-in-time recovery: base backups and an archive of the write-ahead log, by pgBackRest."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from settings.base import Model
from settings.container import Limits
from settings.schedule import Schedule
from settings.units import Duration

IMAGE = "postgres-pgbackrest"
"""Key of components/images.yaml: the image that runs instead of `postgres`, unless the settings name another one."""

PITR_KEY = "point-in-time-key"
"""Secret with the passphrase of the repositories; generated unless it is set. Without it no backup can be read."""

SERVER_SETTINGS = ("archive_mode", "archive_command", "archive_library", "archive_timeout")
"""Server settings that are derived from this section; `postgres.settings` must not contain them."""

_DAY = 86400

Days = Annotated[Duration, Field(ge=_DAY, multiple_of=_DAY)]


class PointInTime(Model):
    """Base backups by pgBackRest, and every segment of the write-ahead log from the first of them on.

    The larger option: `backups` dumps the database once a day, this loses minutes.
    """

    archive_timeout: Duration = Field(default=60, le=300)
    """A segment that has changes goes to the archive after so long, full or not: with the machine and its disk gone, no
    more than this is lost. At most 5m."""

    keep: Days = 7 * _DAY
    """How far back the database can be brought: base backups and log that this needs are kept (Tumulte: 7d)."""

    schedule: Schedule = "45 1 * * *"
    """When a base backup is taken, in UTC. The first one is taken at once."""

    full_every: Days = 7 * _DAY
    """Age of the last full backup that makes the next one full; the others hold what changed since."""

    offsite: bool = True
    """A second repository in `backups.s3`, where that is given."""

    limits: Limits = Field(default_factory=lambda: Limits.model_validate({"memory": "512MB", "cpus": 1}))
    """Of the container that takes base backups and restores; 256MB at the least: a restore runs a Postgres there."""
