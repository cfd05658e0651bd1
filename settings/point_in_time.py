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
    """Point-in-time recovery: base backups by pgBackRest, and every segment of the write-ahead log since the first of
    them.

    This is the larger option: `backups` dumps the database once a day, this loses only minutes.
    """

    archive_timeout: Duration = Field(default=60, le=300)
    """A segment with changes is archived after this time even if it is not full: the maximum loss when the machine and
    its disk are lost. At most 5m. A Postgres that has just started applies it after `checkpoint_timeout` (5m)."""

    keep: Days = 7 * _DAY
    """How far back the database can be restored: the base backups and log that this requires are kept (Tumulte: 7d)."""

    schedule: Schedule = "45 1 * * *"
    """Cron schedule of base backups, in UTC. The first one is taken at once."""

    full_every: Days = 7 * _DAY
    """Age of the last full backup after which the next one is full; the others contain only changes."""

    offsite: bool = True
    """Keep a second repository in `backups.s3`, where that is set."""

    limits: Limits = Field(default_factory=lambda: Limits.of("512MB", cpus=1))
    """Limits of the container that takes base backups and runs restores; at least 256MB, since a restore runs a
    Postgres there."""
