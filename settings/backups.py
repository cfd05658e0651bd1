"""Backups: their schedule, retention and offsite copy, and the restore drills that prove them."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, StringConstraints, model_validator

from settings.base import Model
from settings.container import Limits, Name
from settings.schedule import Schedule
from settings.units import Duration

KEY = "backup-key"
"""Secret with the passphrase of the repositories; generated unless it is set. Without it no backup can be read."""

DRILL_SCHEDULE = "45 3 * * 0"
"""Sundays, after that night's backup."""

Sql = Annotated[str, StringConstraints(min_length=1)]


class Keep(Model):
    """How many backups are kept: the last of so many days, weeks and months that have one."""

    daily: int = Field(default=7, ge=0, le=1000)
    weekly: int = Field(default=4, ge=0, le=1000)
    monthly: int = Field(default=6, ge=0, le=1000)

    @model_validator(mode="after")
    def _something(self) -> Keep:
        if not any((self.daily, self.weekly, self.monthly)):
            raise ValueError("at least one backup to keep: daily, weekly or monthly of 1 or more")
        return self


class S3(Model):
    """Where copies go: AWS, or anything that speaks S3."""

    endpoint: Annotated[str, StringConstraints(pattern=r"^https?://[A-Za-z0-9.-]+(:\d{1,5})?$")]
    """Without a path: `https://s3.eu-west-3.amazonaws.com`."""

    bucket: Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$")]
    """Made by somebody else. The access key must be able to list it, and to read, write and delete in it."""

    prefix: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._-]+(/[A-Za-z0-9._-]+)*$")] | None = None
    """Folder in the bucket. Default: `<product>/<stack>`, so that stacks can share a bucket."""

    region: Annotated[str, StringConstraints(pattern=r"^[a-z0-9-]+$")] | None = None
    """Where the endpoint wants one said."""

    access_key: Name
    """The name of the secret with the access key's id."""

    secret_key: Name
    """The name of the secret with the secret access key."""


class Drill(Model):
    """The proof that a backup restores: the last one is brought back into a throwaway Postgres and looked at."""

    schedule: Schedule | None = None
    """In UTC. Default: Sundays at 03:45 in production, elsewhere only when `./dockyard restore-drill` asks for it."""

    checks: dict[Name, Sql] = {}
    """Name → SQL whose one value must be true on the restored database, beside the checks that are always made:
    `orders: select count(*) > 0 from orders`."""

    rto: Duration = 600
    """How long a restore may take, from the first byte to the last check."""


class BackupLimits(Model):
    """What the containers that take backups may use."""

    postgres: Limits = Field(default_factory=lambda: Limits.model_validate({"memory": "512MB", "cpus": 2}))
    """Restores are proved there too, in a Postgres of their own."""

    redis: Limits = Field(default_factory=lambda: Limits.model_validate({"memory": "256MB"}))
    monitoring: Limits = Field(default_factory=lambda: Limits.model_validate({"memory": "256MB"}))


class Backups(Model):
    """Encrypted backups by restic of the product's own data stores and of its monitoring, on a volume, and a copy in S3
    where that is given. What somebody else runs, somebody else backs up."""

    enabled: bool | None = None
    """Default: everywhere but in development."""

    schedule: Schedule = "15 2 * * *"
    """When backups are taken, in UTC. An alert says when none was good for 26 hours: at least daily, therefore."""

    keep: Keep = Keep()
    s3: S3 | None = None
    monitoring: bool = True
    """Also Grafana's database and a snapshot of Prometheus' data, for which Prometheus' admin API is switched on."""

    drill: Drill = Drill()
    limits: BackupLimits = BackupLimits()

    @property
    def on(self) -> bool:
        """Whether backups are taken. Valid after `in_environment`, which resolves the default."""
        return bool(self.enabled)

    @property
    def secrets(self) -> dict[str, str]:
        """Secrets that must be set: name → the settings path that refers to it."""
        if not self.s3 or self.enabled is False:
            return {}
        return {self.s3.access_key: "s3.access_key", self.s3.secret_key: "s3.secret_key"}

    def in_environment(self, environment: str) -> Backups:
        """Return the settings with the defaults that depend on the environment filled in."""
        enabled = environment != "development" if self.enabled is None else self.enabled
        schedule = self.drill.schedule or (DRILL_SCHEDULE if enabled and environment == "production" else None)
        drill = self.drill.model_copy(update={"schedule": schedule})
        return self.model_copy(update={"enabled": enabled, "drill": drill})
