"""The commands `backup`, `backups`, `restore` and `restore-drill`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import typer

from machine.progress import Progress, SetupError
from machine.workdir import WorkDir
from ops.backups.containers import BackupContainer, container_for_role, container_for_store, open_stack, scripts
from ops.backups.listing import DUMPED, S3, VERIFIED, VOLUME, Backup, backups_of, print_backups
from ops.backups.redis import restore_redis
from ops.session import StackSession

LATEST = "latest"
_DATABASE = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,39}")


def backup(work: WorkDir, stack: str, store: str | None, progress: Progress) -> int:
    """Take a backup of one store, or of all stores one after the other, and return 0.

    Raises SetupError if a backup failed, or no container that takes backups runs.
    """
    _, containers = open_stack(work, stack, progress)
    chosen = [container_for_store(containers, store, stack)] if store else list(containers.values())
    failed = []
    for container in chosen:
        progress.line(f"── {container.store} ──", "bold")
        if container.run(*scripts(container.store, "backup")):
            failed.append(container.store)
    if failed or not chosen:
        message = f"the backup of {', '.join(failed)} failed" if failed else "no backup container is running"
        raise SetupError(message, f"earlier backups are unchanged: ./dockyard backups {stack}")
    return 0


def backups(work: WorkDir, stack: str, progress: Progress) -> int:
    """Print the backups in every place."""
    _, containers = open_stack(work, stack, progress)
    listed = [backup for container in containers.values() for backup in backups_of(container, progress)]
    print_backups(f"Backups of {stack}", listed)
    if not listed:
        progress.line(f"  · none yet; make one: ./dockyard backup {stack}")
    return 0


def drill(work: WorkDir, stack: str, progress: Progress, *, place: str = VOLUME) -> int:
    """Restore the latest Postgres backup into a throwaway server, check it, and print how long it took."""
    _, containers = open_stack(work, stack, progress)
    return container_for_store(containers, "postgres", stack).run(*scripts("postgres", "drill"), *_from(place))


def restore(
    work: WorkDir,
    stack: str,
    source: str | None,
    progress: Progress,
    *,
    store: str = "postgres",
    to: str | None = None,
    swap: bool = False,
    place: str = VOLUME,
    yes: bool = False,
) -> int:
    """Restore a Postgres backup into a new database `to`; with `swap`, that database replaces the product's.

    `source` is `latest`, the name or id of a backup, or a dump file on this machine. Without it, `swap` uses a database
    that was restored earlier. A Redis backup replaces the whole content of Redis, which is backed up first.

    Raises SetupError, with nothing changed, if the restore is not possible.
    """
    session, containers = open_stack(work, stack, progress)
    container = container_for_store(containers, store, stack)
    confirm = session.settings.stack.environment != "development" and not yes
    if store == "redis":
        if to or swap or source is None:
            raise SetupError(
                "Redis cannot restore into a new database: the backup replaces its content",
                f"run: ./dockyard restore {stack} latest --store redis",
            )
        if confirm:
            _confirm("The backup replaces everything that Redis holds now.", "redis")
        return _restore_redis(session, container, stack, source, place, progress)
    if store != "postgres":
        message = f"this command cannot restore a backup of {store}"
        raise SetupError(message, "docs/backups.md explains how to restore it")
    if to is None or not _DATABASE.fullmatch(to):
        raise SetupError(
            f"--to {to or ''}: the name of a new database is required",
            "at most 40 letters, digits, _ and -, beginning with a letter: --to restored",
        )
    if source is None and not swap:
        raise SetupError("no backup to restore was given", f"give latest, or a name from ./dockyard backups {stack}")
    current = container.variables.get("PGDATABASE", "")
    if swap and confirm:
        _confirm(f"{to} replaces {current}, and all sessions on it end.", current)
    if source is not None:
        with ExitStack() as uploads:
            backup_source = _restore_source(container, stack, source, place, progress, uploads)
            if code := container.run(*scripts("postgres", "restore"), *_from(place), "restore", backup_source, to):
                return code
    if not swap:
        progress.line(f"  → check it, then run: ./dockyard restore {stack} --to {to} --swap")
        return 0
    code = container.run(*scripts("postgres", "restore"), "swap", to)
    if not code:
        progress.line(f"  → if services do not reconnect by themselves: ./dockyard restart {stack}")
    return code


def _restore_redis(
    session: StackSession, container: BackupContainer, stack: str, name: str, place: str, progress: Progress
) -> int:
    # Resolve `latest` before the current content is backed up: that backup will be the latest.
    chosen = _find_backup(backups_of(container, progress), name, place, stack)
    if chosen is None:
        raise SetupError(f"{name} is not a backup of Redis", f"list them: ./dockyard backups {stack}")
    # Remove no older backups: only the last one of each day is kept, and the chosen one may be from today.
    if container.run(*scripts("redis", "backup"), environment={"BACKUP_KEEP": ""}):
        message = "the current content of Redis could not be backed up, so nothing was changed"
        raise SetupError(message, "fix the error above, then restore again")
    restore_redis(session.docker_client(), container, container_for_role(session, "redis"), chosen, place, progress)
    return 0


def _restore_source(
    container: BackupContainer, stack: str, source: str, place: str, progress: Progress, uploads: ExitStack
) -> str:
    """Return the snapshot id or path by which a script in the container finds the backup that the user named."""
    listed = backups_of(container, progress)
    if chosen := _find_backup(listed, source, place, stack):
        return chosen.ids[place] if place in chosen.ids else chosen.ids[DUMPED]
    file = Path(source)
    if not file.is_file():
        last_names = [backup.name for backup in listed[-3:]]
        raise SetupError(
            f"{source} is neither a backup nor a file on this machine",
            f"list them: ./dockyard backups {stack}; the latest are {', '.join(last_names) or 'none'}",
        )
    return uploads.enter_context(container.uploaded(file))


def _find_backup(listed: Sequence[Backup], name: str, place: str, stack: str) -> Backup | None:
    """Return the backup that the user named, or None if no backup matches.

    Raises SetupError if several backups match, or the backup does not exist in that place.
    """
    if name == LATEST:
        # Pass an id instead of `latest`: a newer backup may be created before the script starts.
        intact = [backup for backup in listed if place in backup.ids and backup.verified == VERIFIED]
        if not intact:
            raise SetupError(f"{place} has no good backup", f"make one: ./dockyard backup {stack}")
        return intact[-1]
    matching = [backup for backup in listed if backup.matches(name)]
    if len(matching) > 1:
        several = ", ".join(backup.name for backup in matching)
        raise SetupError(f"{name} matches several backups: {several}", "give the full name")
    for backup in matching:
        if place not in backup.ids and DUMPED not in backup.ids:
            other_place = next(iter(backup.ids))
            hint = "omit --from s3" if other_place == VOLUME else "add --from s3"
            raise SetupError(f"{backup.name} is not in {place}, but in {other_place}", hint)
    return next(iter(matching), None)


def _from(place: str) -> Sequence[str]:
    if place not in (VOLUME, S3):
        raise SetupError(f"--from {place} is not supported", "use --from volume or --from s3")
    return ("--from", "s3") if place == S3 else ()


def _confirm(warning: str, name: str) -> None:
    """Ask the user to type a name. Raises SetupError, with nothing changed, if the answer differs."""
    typed = typer.prompt(f"{warning} Type {name} to continue", default="", show_default=False)
    if typed != name:
        raise SetupError(f"that is not {name}: nothing was changed", "type its name, or give --yes")
