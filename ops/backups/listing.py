"""Lists backups: restic snapshots in the volume and in S3, and the dumps taken before releases."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from rich.console import Console
from rich.table import Table

from machine.progress import Progress, SetupError
from ops.backups.containers import BackupContainer

RESTIC = "/tools/restic"
DUMPS = "/dumps"
"""Folder with the dumps taken before releases, if there are any, in the container that backs up Postgres."""

VOLUME, S3, DUMPED = "volume", "s3", "dumps"
MANIFEST, UNVERIFIED = "manifest", "unverified"
"""Tags of snapshots that are not backups on their own: components/backups/scripts/backup-common.sh."""

VERIFIED = "read back"
_RUN = "at:"


@dataclass(frozen=True)
class Backup:
    """One backup. It has the same `name` in every place, and a different id in each."""

    store: str
    name: str
    created: datetime
    size: int
    """Bytes before compression; 0 where restic does not report it."""

    verified: str
    ids: Mapping[str, str]
    """Place → the snapshot's id there, or the path of a dump."""

    def matches(self, words: str) -> bool:
        """Whether a user's words name this backup: its name, or at least the first 4 characters of one of its ids."""
        is_id = bool(re.fullmatch(r"[0-9a-f]{4,64}", words))
        return words == self.name or (is_id and any(identity.startswith(words) for identity in self.ids.values()))


def backups_of(container: BackupContainer, progress: Progress) -> list[Backup]:
    """Return the backups of a store, oldest first. A place that cannot be read is reported and skipped.

    Raises SetupError if no place can be read.
    """
    places = {
        VOLUME: container.variables.get("RESTIC_REPOSITORY", ""),
        S3: container.variables.get("BACKUP_S3_REPOSITORY", ""),
    }
    snapshots: dict[str, Sequence[Mapping[str, Any]]] = {}
    problem: SetupError | None = None
    for place, repository in places.items():
        if not repository:
            continue
        command = [RESTIC, "snapshots", "--json", "--no-lock"]
        try:
            output = container.read(*command, environment={"RESTIC_REPOSITORY": repository})
        except SetupError as error:
            problem = error
            progress.line(f"  ! {container.store}, {place}: {error.message}", "yellow")
        else:
            snapshots[place] = json.loads(output) or []
    if problem and not snapshots:
        raise problem
    listed = merge_snapshots(container.store, snapshots)
    if container.store == "postgres":
        listed += dumps(container.read("/bin/sh", "-c", f"cd {DUMPS} 2>/dev/null && stat -c '%n %s %Y' -- *.dump || :"))
    return sorted(listed, key=lambda backup: backup.created)


def merge_snapshots(store: str, places: Mapping[str, Sequence[Mapping[str, Any]]]) -> list[Backup]:
    """Return one Backup for all snapshots of the same run, which may exist in several places.

    All snapshots of one run of a script carry the same tag `at:…` in every place. Unverified snapshots are left out.
    """
    copies_by_run: dict[tuple[str, str], dict[str, Mapping[str, Any]]] = {}
    compared: set[str] = set()
    for place, snapshots in places.items():
        for snapshot in snapshots:
            tags = snapshot.get("tags") or ()
            run = next((tag for tag in tags if tag.startswith(_RUN)), str(snapshot["id"]))
            if MANIFEST in tags:
                compared.add(run)
            elif UNVERIFIED not in tags:
                # The container `backup-monitoring` backs up both Grafana and Prometheus: the first tag says which.
                copies_by_run.setdefault((next(iter(tags), store), run), {})[place] = snapshot
    backups = []
    for (kind, run), copies in copies_by_run.items():
        first = next(iter(copies.values()))
        created = datetime.fromisoformat(re.sub(r"\.\d+", "", first["time"])).astimezone(UTC)
        size = int((first.get("summary") or {}).get("total_bytes_processed") or 0)
        verified = VERIFIED if kind != "postgres" or run in compared else "no manifest"
        ids = {place: str(snapshot["id"]) for place, snapshot in copies.items()}
        backups.append(Backup(kind, f"{kind}-{created:%Y%m%dT%H%M%SZ}", created, size, verified, ids))
    return backups


def dumps(output: str) -> list[Backup]:
    """Return the dumps taken before releases, parsed from lines `NAME SIZE TIME` (bytes, seconds since the epoch)."""
    backups = []
    for line in output.splitlines():
        name, size, seconds = line.rsplit(" ", 2)
        created = datetime.fromtimestamp(int(seconds), UTC)
        backups.append(Backup("postgres", name, created, int(size), "no manifest", {DUMPED: f"{DUMPS}/{name}"}))
    return backups


def print_backups(title: str, backups: Iterable[Backup]) -> None:
    """Print a table of backups, newest first."""
    table = Table(title=title, title_justify="left", title_style="bold")
    for column in ("store", "name", "id", "time (UTC)", "size", "verified", "where"):
        table.add_column(column, justify="right" if column == "size" else "left", no_wrap=True)
    for backup in sorted(backups, key=lambda backup: backup.created, reverse=True):
        short = "" if DUMPED in backup.ids else next(iter(backup.ids.values()))[:8]
        size = f"{backup.size / 1e6:,.1f} MB" if backup.size else ""
        created = f"{backup.created:%Y-%m-%d %H:%M:%S}"
        table.add_row(backup.store, backup.name, short, created, size, backup.verified, ", ".join(backup.ids))
    console = Console(file=sys.stdout)
    # Users copy the names, so none may be truncated, whether the terminal is narrow or there is none.
    Console(file=sys.stdout, width=max(console.width, 140)).print(table)
