"""Point-in-time recovery of Postgres with pgBackRest: settings/backups.py."""

from __future__ import annotations

from datetime import UTC, datetime

from machine.progress import Progress, SetupError
from machine.workdir import WorkDir
from ops.backups.containers import BackupContainer, running_containers
from ops.session import connect
from ops.state.snapshot import State
from settings.names import POINT_IN_TIME

SCRIPT = "/run/pgbackrest/restore-at.sh"
"""Path of components/stores/scripts/restore-at.sh in the container."""


def restore_at(work: WorkDir, stack: str, at: str, to: str | None, progress: Progress, *, store: str) -> int:
    """Restore the product's database as of the time `at` into a new database `to`; return the script's exit code.

    Raises SetupError, with nothing changed, if the store is not Postgres, the time or name is invalid, or the stack
    has no running container for point-in-time recovery.
    """
    if store != "postgres":
        raise SetupError(f"{store} cannot be restored to a point in time", f"use a backup: ./dockyard backups {stack}")
    moment = parse_moment(at, datetime.now(UTC))
    if to is None:
        raise SetupError(
            "--at needs the name of a new database", f'./dockyard restore {stack} --at "{at}" --to restored'
        )
    session = connect(work, stack, progress)
    declared = State.of(session.pulumi_cli).instance_of(POINT_IN_TIME)
    if declared is None:
        raise SetupError(
            f"the stack {stack} has no archived WAL, so its database cannot be restored to a point in time",
            "set `postgres: {point_in_time: {}}` to archive it from then on: docs/point-in-time.md",
        )
    container = running_containers(session).get(declared.id)
    if container is None:
        raise SetupError(
            f"{POINT_IN_TIME} is not running", f"start it: ./dockyard up {stack}; see ./dockyard logs {stack}"
        )
    backup_container = BackupContainer(POINT_IN_TIME.removeprefix("backup-"), container)
    return backup_container.run("/bin/sh", SCRIPT, "--at", moment, "--to", to)


def parse_moment(text: str, now: datetime) -> str:
    """Return a time in UTC, in a format that both Postgres and pgBackRest accept; without a zone it counts as UTC.

    Raises SetupError if the text is not a time, or the time is in the future.
    """
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise SetupError(
            f"{text} is not a time", 'like "2026-11-21 12:00:00+00:00"; without a zone it is UTC'
        ) from error
    moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    if moment > now:
        raise SetupError(f"{text} is in the future", f"the time is {now:%Y-%m-%d %H:%M:%S} UTC")
    return f"{moment:%Y-%m-%d %H:%M:%S.%f}+00"
