"""The verbs of backups: backup, backups, restore, restore-drill."""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import typer

from ops.backups.inside import Inside, of_role, of_store, open_stack, scripts
from ops.backups.listing import DUMPED, S3, VOLUME, WHOLE, Backup, backups_of, print_backups
from ops.backups.redis import restore_redis
from ops.setup import Ready
from toolchain.progress import Progress, SetupError
from toolchain.workdir import WorkDir

LATEST = "latest"
_DATABASE = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,39}")


def backup(work: WorkDir, stack: str, store: str | None, progress: Progress) -> int:
    """Take a backup now, of one store or of all, one after the other; return 0, or 1 where one failed."""
    _, found = open_stack(work, stack, progress)
    chosen = [of_store(found, store, stack)] if store else list(found.values())
    failed = []
    for inside in chosen:
        progress.line(f"── {inside.store} ──", "bold")
        if inside.run(*scripts(inside.store, "backup")):
            failed.append(inside.store)
    if failed or not chosen:
        words = f"no good backup of {', '.join(failed)}" if failed else "no container that takes backups runs"
        raise SetupError(words, f"what was good before is still there: ./dockyard backups {stack}")
    return 0


def backups(work: WorkDir, stack: str, progress: Progress) -> int:
    """List what backups there are, in every place."""
    _, found = open_stack(work, stack, progress)
    listed = [one for inside in found.values() for one in backups_of(inside, progress)]
    print_backups(f"Backups of {stack}", listed)
    if not listed:
        progress.line(f"  · none yet; take one: ./dockyard backup {stack}")
    return 0


def drill(work: WorkDir, stack: str, progress: Progress, *, place: str = VOLUME) -> int:
    """Restore the latest backup of Postgres into a throwaway server, look at it, and say how long it took."""
    _, found = open_stack(work, stack, progress)
    return of_store(found, "postgres", stack).run(*scripts("postgres", "drill"), *_from(place))


def restore(
    work: WorkDir,
    stack: str,
    what: str | None,
    progress: Progress,
    *,
    store: str = "postgres",
    to: str | None = None,
    swap: bool = False,
    place: str = VOLUME,
    yes: bool = False,
) -> int:
    """Restore a backup of Postgres into a new database and, with `swap`, put it in the place of the product's.

    Without `what`, a database that was restored before is swapped in. A backup of Redis takes the place of what Redis
    holds, which is backed up first.

    Raises SetupError with nothing changed where it cannot be.
    """
    ready, found = open_stack(work, stack, progress)
    inside = of_store(found, store, stack)
    asked = ready.settings.stack.environment != "development" and not yes
    if store == "redis":
        return _restore_redis(ready, inside, stack, what, place, progress, to=to, swap=swap, asked=asked)
    if store != "postgres":
        raise SetupError(
            f"a backup of {store} is not restored by this command", "docs/backups.md says how it is brought back"
        )
    if to is None or not _DATABASE.fullmatch(to):
        raise SetupError(
            f"--to {to or ''}: the name of a new database is needed",
            "letters, digits, _ and -, a letter first, at most 40: --to restored",
        )
    if what is None and not swap:
        raise SetupError("nothing to restore was named", f"latest, or one of: ./dockyard backups {stack}")
    current = inside.variables.get("PGDATABASE", "")
    if swap and asked:
        _confirm(f"{to} takes the place of {current}, and every session on it is ended.", current)
    if what is not None:
        with ExitStack() as held:
            command = [*_from(place), "restore", _named(inside, stack, what, place, progress, held), to]
            if code := inside.run(*scripts("postgres", "restore"), *command):
                return code
    if not swap:
        progress.line(f"  → look at it, then: ./dockyard restore {stack} --to {to} --swap")
        return 0
    code = inside.run(*scripts("postgres", "restore"), "swap", to)
    if not code:
        progress.line(f"  → services that do not connect again by themselves: ./dockyard restart {stack}")
    return code


def _restore_redis(
    ready: Ready,
    inside: Inside,
    stack: str,
    what: str | None,
    place: str,
    progress: Progress,
    *,
    to: str | None,
    swap: bool,
    asked: bool,
) -> int:
    if to or swap or what is None:
        raise SetupError(
            "Redis has no second database to restore to: the backup takes the place of what it holds",
            f"./dockyard restore {stack} latest --store redis",
        )
    if asked:
        _confirm("The backup takes the place of everything that Redis holds now.", "redis")
    # Before what it holds now is backed up: that will be the latest.
    chosen = _chosen(backups_of(inside, progress), what, place, stack)
    if chosen is None:
        raise SetupError(f"{what} is no backup of Redis", f"list them: ./dockyard backups {stack}")
    # Without letting go of older ones: of each day the last one is kept, and the chosen one may be of today.
    if inside.run(*scripts("redis", "backup"), environment={"BACKUP_KEEP": ""}):
        raise SetupError(
            "what Redis holds now could not be backed up, so nothing was changed", "see above; then restore again"
        )
    restore_redis(ready.docker_client(), inside, of_role(ready, "redis"), chosen, place, progress)
    return 0


def _named(inside: Inside, stack: str, what: str, place: str, progress: Progress, held: ExitStack) -> str:
    """Return what a script in the container calls the backup that a person named."""
    listed = backups_of(inside, progress)
    if chosen := _chosen(listed, what, place, stack):
        return chosen.ids[place] if place in chosen.ids else chosen.ids[DUMPED]
    file = Path(what)
    if not file.is_file():
        known = [one.name for one in listed[-3:]]
        raise SetupError(
            f"{what} is no backup and no file of this machine",
            f"list them: ./dockyard backups {stack}; the last ones are {', '.join(known) or 'none'}",
        )
    return held.enter_context(inside.holding(file))


def _chosen(listed: Sequence[Backup], what: str, place: str, stack: str) -> Backup | None:
    """Return the backup that a person named, None where it is none of them.

    Raises SetupError where it may be any of several, or does not lie in that place.
    """
    if what == LATEST:
        # By its id: another one may be made before the script looks.
        there = [one for one in listed if place in one.ids and one.verified == WHOLE]
        if not there:
            raise SetupError(f"no good backup lies in {place}", f"take one: ./dockyard backup {stack}")
        return there[-1]
    named = [one for one in listed if one.known_as(what)]
    if len(named) > 1:
        raise SetupError(f"{what} may be any of {', '.join(one.name for one in named)}", "give the whole name")
    for one in named:
        if place not in one.ids and DUMPED not in one.ids:
            other = next(iter(one.ids))
            hint = "leave out --from s3" if other == VOLUME else "take it from there: --from s3"
            raise SetupError(f"{one.name} does not lie in {place}, but in {other}", hint)
    return next(iter(named), None)


def _from(place: str) -> Sequence[str]:
    if place not in (VOLUME, S3):
        raise SetupError(f"--from {place} is not known", "--from volume, or --from s3")
    return ("--from", "s3") if place == S3 else ()


def _confirm(what: str, name: str) -> None:
    """Have the person type a name. Raises SetupError where it is another, with nothing changed."""
    typed = typer.prompt(f"{what} Type {name} to go on", default="", show_default=False)
    if typed != name:
        raise SetupError(f"that is not {name}: nothing was changed", "type its name, or give --yes")
