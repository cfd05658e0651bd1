"""Backups: schedule, retention, offsite copy, restore drills, and point-in-time recovery of Postgres."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, StringConstraints, model_validator

from settings.base import Model, Name, SecretRef
from settings.container import Limits
from settings.schedule import Schedule
from settings.units import Duration

BACKUP_KEY_SECRET = "backup-key"  # noqa: S105 - its name
"""Secret with the passphrase of the repositories; generated unless it is set. Without it no backup can be read."""

DRILL_SCHEDULE = "45 3 * * 0"
"""Sundays, after that night's backup."""

PITR_IMAGE = "postgres-pgbackrest"
"""Key of components/images.yaml: the image that runs instead of `postgres`, unless the settings name another one."""

PITR_KEY_SECRET = "point-in-time-key"  # noqa: S105 - its name
"""Secret with the passphrase of the repositories; generated unless it is set. Without it no backup can be read."""

SERVER_SETTINGS = ("archive_mode", "archive_command", "archive_library", "archive_timeout")
"""Server settings that are derived from this section; `postgres.settings` must not contain them."""

_DAY = 86400
Sql = Annotated[str, StringConstraints(min_length=1)]
Days = Annotated[Duration, Field(ge=_DAY, multiple_of=_DAY)]


class PointInTime(Model):
    """Point-in-time recovery: base backups by pgBackRest, and every segment of the write-ahead log since the first.

    It loses only minutes, and costs more than `backups`, which dumps the database once a day.
    """

    archive_timeout: Duration = Field(default=60, le=300)
    """Time after which a segment with changes is archived even if it is not full: the maximum loss if the machine and
    its disk are lost. At most 5m. A newly started Postgres applies it after `checkpoint_timeout` (5m)."""

    keep: Days = 7 * _DAY
    """How far back the database can be restored: the base backups and log that this requires are kept (Tumulte: 7d)."""

    schedule: Schedule = "45 1 * * *"
    """Cron schedule of base backups, in UTC. The first one is taken at once."""

    full_every: Days = 7 * _DAY
    """Age of the last full backup after which the next one is full; the others contain only changes."""

    offsite: bool = True
    """Keep a second repository in `backups.s3`, where that is set."""

    limits: Limits = Limits.of("512MB", cpus=1)
    """Limits of the container for base backups and restores; at least 256MB, since a restore runs a Postgres there."""


class Keep(Model):
    """Retention: how many daily, weekly and monthly backups are kept."""

    daily: int = Field(default=7, ge=0, le=1000)
    weekly: int = Field(default=4, ge=0, le=1000)
    monthly: int = Field(default=6, ge=0, le=1000)

    @model_validator(mode="after")
    def _something(self) -> Keep:
        if not any((self.daily, self.weekly, self.monthly)):
            raise ValueError("at least one backup to keep: daily, weekly or monthly of 1 or more")
        return self


class S3(Model):
    """Bucket for offsite copies: AWS, or any other S3-compatible store."""

    endpoint: Annotated[str, StringConstraints(pattern=r"^https?://[A-Za-z0-9.-]+(:\d{1,5})?$")]
    """Address without a path: `https://s3.eu-west-3.amazonaws.com`."""

    bucket: Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$")]
    """An existing bucket. The access key must be allowed to list it, and to read, write and delete in it."""

    prefix: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._-]+(/[A-Za-z0-9._-]+)*$")] | None = None
    """Folder in the bucket. Default: `<product>/<stack>`, so that stacks can share a bucket."""

    region: Annotated[str, StringConstraints(pattern=r"^[a-z0-9-]+$")] | None = None
    """Region, for endpoints that require one."""

    access_key: SecretRef
    """Name of the secret with the access key's id."""

    secret_key: SecretRef
    """Name of the secret with the secret access key."""


class Drill(Model):
    """Restore drill: the last backup is restored into a throwaway Postgres and checked."""

    schedule: Schedule | None = None
    """Cron schedule in UTC. Default: Sundays at 03:45 in production, elsewhere only by `./dockyard restore-drill`."""

    checks: dict[Name, Sql] = {}
    """Further checks: name → SQL that must return true on the restored database: `select count(*) > 0 from orders`."""

    rto: Duration = 600
    """Maximum duration of a restore, from the first byte to the last check."""


class BackupLimits(Model):
    """Limits of the backup containers."""

    postgres: Limits = Limits.of("512MB", cpus=2)
    """Restore drills run here as well, in a Postgres of their own."""

    redis: Limits = Limits.of("256MB")
    monitoring: Limits = Limits.of("256MB")


class Backups(Model):
    """Encrypted backups by restic of the product's own data stores and of its monitoring, on a volume, with a copy in
    S3 where `s3` is set. External stores are not backed up."""

    enabled: bool | None = None
    """Whether backups are taken. Default: everywhere but in development."""

    schedule: Schedule = "15 2 * * *"
    """Cron schedule of backups, in UTC. At least daily: an alert fires when none has succeeded for 26 hours."""

    keep: Keep = Keep()
    s3: S3 | None = None
    monitoring: bool = True
    """Also back up Grafana's database and a snapshot of Prometheus, whose admin API is enabled for it."""

    drill: Drill = Drill()
    limits: BackupLimits = BackupLimits()

    @property
    def on(self) -> bool:
        """Whether backups are taken. Valid after `in_environment`, which resolves the default."""
        return bool(self.enabled)

    def in_environment(self, environment: str) -> Backups:
        """Return the settings with the defaults that depend on the environment filled in."""
        enabled = environment != "development" if self.enabled is None else self.enabled
        schedule = self.drill.schedule or (DRILL_SCHEDULE if enabled and environment == "production" else None)
        drill = self.drill.model_copy(update={"schedule": schedule})
        return self.model_copy(update={"enabled": enabled, "drill": drill})
