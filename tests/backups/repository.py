"""A restic repository of one store, and the product's scripts run on it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tests.backups.s3 import BUCKET
from tests.support.containers import succeeded

if TYPE_CHECKING:
    from tests.backups.backup_stage import BackupStage


@dataclass(frozen=True)
class Repository:
    """The repository in `folder` of the store's backup container, and its copy below `prefix` in S3, if any."""

    stage: BackupStage
    store: str
    folder: str
    prefix: str = ""

    @property
    def environment(self) -> dict[str, str]:
        return {"RESTIC_REPOSITORY": self.folder, "BACKUP_S3_REPOSITORY": self.s3_address()}

    def s3_address(self, port: int | None = None) -> str:
        """Return restic's address of the copy in S3, by way of another port if told so; empty without a copy."""
        if not self.prefix:
            return ""
        return f"s3:http://host.docker.internal:{port or self.stage.s3.port}/{BUCKET}/{self.prefix}"

    def inside(self, command: str, **env: str) -> tuple[int, str]:
        return self.stage.inside(f"backup-{self.store}", command, **{**self.environment, **env})

    def back_up(self, **env: str) -> tuple[int, str]:
        return self.inside(f"sh /run/backup/backup-{self.store}.sh", **env)

    def restore(self, name: str, options: str = "", **env: str) -> tuple[int, str]:
        return self.inside(f"sh /run/backup/restore-postgres.sh {options} restore latest {name}", **env)

    def drill(self, **env: str) -> tuple[int, str]:
        return self.inside("sh /run/backup/drill-postgres.sh", **env)

    def restic(self, arguments: str) -> str:
        command = (
            f"PATH=$PATH:/tools restic --no-cache --no-lock {arguments} 2>/tmp/errors || {{ cat /tmp/errors; false; }}"
        )
        return succeeded(self.inside(command))

    def snapshots(self, tag: str, *, s3: bool = False) -> list[dict[str, Any]]:
        where = "-r $BACKUP_S3_REPOSITORY " if s3 else ""
        return json.loads(self.restic(f"{where}snapshots --json --tag {tag}"))

    def ids(self, tag: str) -> list[str]:
        return [snapshot["id"] for snapshot in self.snapshots(tag)]

    def runs(self, tag: str) -> set[str]:
        """Return the runs, by the tag that all snapshots of one run share, that have a snapshot with a tag."""
        return {run for snapshot in self.snapshots(tag) for run in snapshot["tags"] if run.startswith("at:")}

    def metrics(self, kind: str, store: str = "") -> dict[str, float]:
        """Return the metrics of `scheduled` backups or `offsite` copies: name without its prefix → value."""
        store = store or self.store
        return self._metrics(f"backup-{kind}-{store}", f'kind="{kind}",store="{store}"')

    def drill_metrics(self) -> dict[str, float]:
        return self._metrics("backup-drill-postgres", 'store="postgres"')

    def verified_metrics(self) -> dict[str, float]:
        return self._metrics("backup-verified-postgres", 'store="postgres"')

    def _metrics(self, file: str, labels: str) -> dict[str, float]:
        holder = "backup-monitoring" if self.store == "monitoring" else "backup-postgres"
        text = succeeded(self.stage.inside(holder, f"cat /metrics/written/{file}.prom"))
        values = {}
        for line in text.splitlines():
            series, value = line.rsplit(" ", 1)
            name, given = series.split("{", 1)
            assert given == f"{labels}}}"
            assert name not in values, f"{name} stands there twice"
            values[name.removeprefix("dockyard_backup_")] = float(value)
        return values
