"""A restic repository of one store, and the product's scripts run on it."""

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

    stage: "BackupStage"
    store: str
    folder: str
    prefix: str = ""

    @property
    def environment(self) -> dict[str, str]:
        """Variables that point the scripts to this repository."""
        return {"RESTIC_REPOSITORY": self.folder, "BACKUP_S3_REPOSITORY": self.s3_address()}

    def s3_address(self, port: int | None = None) -> str:
        """Return restic's address of the copy in S3, by way of another port if told so; empty without a copy."""
        if not self.prefix:
            return ""
        return f"s3:http://host.docker.internal:{port or self.stage.s3.port}/{BUCKET}/{self.prefix}"

    def inside(self, command: str, **env: str) -> tuple[int, str]:
        """Run a shell command in the store's backup container; return its exit code and its output."""
        return self.stage.inside(f"backup-{self.store}", command, **{**self.environment, **env})

    def back_up(self, **env: str) -> tuple[int, str]:
        """Make a backup as a person does by hand."""
        return self.inside(f"sh /run/backup/backup-{self.store}.sh", **env)

    def restore(self, name: str, options: str = "", **env: str) -> tuple[int, str]:
        """Restore the latest backup into a new database."""
        return self.inside(f"sh /run/backup/restore-postgres.sh {options} restore latest {name}", **env)

    def drill(self, **env: str) -> tuple[int, str]:
        """Restore the latest backup into a throwaway server and verify it there."""
        return self.inside("sh /run/backup/drill-postgres.sh", **env)

    def restic(self, arguments: str) -> str:
        """Return what restic prints; fails where it fails."""
        command = (
            f"PATH=$PATH:/tools restic --no-cache --no-lock {arguments} 2>/tmp/errors || {{ cat /tmp/errors; false; }}"
        )
        return succeeded(self.inside(command))

    def snapshots(self, tag: str, *, s3: bool = False) -> list[dict[str, Any]]:
        """Return the snapshots with a tag, here or in S3."""
        where = "-r $BACKUP_S3_REPOSITORY " if s3 else ""
        snapshots: list[dict[str, Any]] = json.loads(self.restic(f"{where}snapshots --json --tag {tag}"))
        return snapshots

    def ids(self, tag: str) -> list[str]:
        """Return the ids of the snapshots with a tag."""
        return [snapshot["id"] for snapshot in self.snapshots(tag)]

    def runs(self, tag: str) -> set[str]:
        """Return the runs, by the tag that all snapshots of one run share, that have a snapshot with a tag."""
        return {run for snapshot in self.snapshots(tag) for run in snapshot["tags"] if run.startswith("at:")}

    def metrics(self, kind: str, store: str = "") -> dict[str, float]:
        """Return the metrics of `scheduled` backups or `offsite` copies: name without its prefix → value."""
        store = store or self.store
        return self._metrics(f"backup-{kind}-{store}", f'kind="{kind}",store="{store}"')

    def drill_metrics(self) -> dict[str, float]:
        """Return the metrics of the last drill."""
        return self._metrics("backup-drill-postgres", 'store="postgres"')

    def verified_metrics(self) -> dict[str, float]:
        """Return the metrics of the last restore that was verified."""
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
