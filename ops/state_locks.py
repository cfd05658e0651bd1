"""Who is changing a stack: the locks that the engine puts into its backend, and those left by the killed."""

from __future__ import annotations

import json
import os
import re
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from ops.backend import PROJECT, FileStore, Store, store_of
from toolchain.progress import Progress, SetupError
from toolchain.workdir import WorkDir

POLL_SECONDS = 0.5
KILLED = 128
"""Exit codes from here on are those of a program that a signal ended."""

CLOCK_SECONDS = 2.0
"""What the start of a process, reckoned from the boot of the machine, may be off."""

MOVED = "moved.json"
"""The name of the lock that `state move` leaves behind, so that plain `pulumi` does not change the old state either."""

ENGINE_LOCK = re.compile(r"created by (?P<user>.*)@(?P<host>\S*) \(pid (?P<pid>\d+)\) at (?P<since>\S+)")


@dataclass(frozen=True)
class Lock:
    """One lock on a stack, as the engine writes it (backend/diy/lock.go)."""

    key: str
    pid: int
    user: str
    host: str
    since: str
    moved_to: str = ""
    """Where the state went; a lock of the engine says nothing of the kind."""

    @property
    def is_local(self) -> bool:
        """Whether it was made by a machine of this one's name."""
        return self.host == socket.gethostname()

    @property
    def alive(self) -> bool:
        """Whether the process that made it still runs; to be asked of a lock that was made here."""
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return False
        except PermissionError:
            pass  # somebody else's process
        started = _started(self.pid)
        # One that began after the lock was made only has the same number: the machine was started anew since.
        return started is None or self.began is None or started <= self.began.timestamp() + CLOCK_SECONDS

    @property
    def began(self) -> datetime | None:
        """When it was made; None where nobody can read that."""
        try:
            return datetime.fromisoformat(self.since)
        except ValueError:
            return None

    def __str__(self) -> str:
        """Who holds it, in words."""
        since = f"{self.began.astimezone():%d %B %Y, %H:%M:%S}" if self.began else self.since
        return f"process {self.pid} of {self.user}@{self.host} since {since}"


def folder_of(stack: str) -> str:
    """Return what the keys of a stack's locks begin with."""
    return f".pulumi/locks/organization/{PROJECT}/{stack}/"


def locks(store: Store, stack: str) -> list[Lock]:
    """Return the locks on a stack, the one that says it has moved first."""
    stack_locks = []
    for key in store.keys(folder_of(stack)):
        if not key.endswith(".json"):
            continue  # a file that is being written
        try:
            record = json.loads(store.read(key))
        except FileNotFoundError:
            continue  # given back a moment ago
        since, moved = str(record.get("timestamp")), record.get("moved_to") or ""
        user = record.get("moved_by") or record.get("username")
        stack_locks.append(Lock(key, int(record.get("pid") or 0), str(user), str(record.get("hostname")), since, moved))
    return sorted(stack_locks, key=lambda lock: (not lock.moved_to, lock.key))


def refuse_moved(store: Store, stack: str) -> None:
    """Raise SetupError where a stack's state was moved away from here."""
    for lock in locks(store, stack):
        if lock.moved_to:
            when = f"{lock.began.astimezone():%d %B %Y}" if lock.began else lock.since
            raise SetupError(
                f"the state of the stack {stack} was moved on {when} by {lock.user}@{lock.host} to {lock.moved_to}",
                f'use that: `backend: {{url: "{lock.moved_to}"}}` in Pulumi.yaml, or PULUMI_BACKEND_URL',
            )


def check_usable(work: WorkDir, stack: str | None) -> None:
    """Raise SetupError in one sentence where the backend cannot be used, or the stack's state was moved away from it.

    The engine would try long, and say much.
    """
    store = store_of(work)
    if store and stack:
        refuse_moved(store, stack)
    elif store:
        store.keys(".pulumi/meta.yaml")


def settle_locks(work: WorkDir, stack: str, progress: Progress) -> None:
    """Wait for another run on this stack and this machine to end, and remove the lock of one that was killed.

    Raises SetupError where another machine holds the lock: who, since when, what to do. Of a backend that only the
    engine can read the engine says it when it begins.
    """
    store = store_of(work)
    if store is None:
        return
    refuse_moved(store, stack)
    for lock in locks(store, stack):
        if not lock.is_local:
            raise lock_error(stack, lock)
        if lock.alive:
            progress.line(f"  · waiting for another run on this stack to end: process {lock.pid}", "yellow")
            while lock.alive and lock.key in store.keys(lock.key):
                time.sleep(POLL_SECONDS)
        elif not isinstance(store, FileStore) and not _left_here(work, stack, lock):
            # Two machines may have one name, and of another's processes nothing is known here.
            raise lock_error(stack, lock)
        if lock.key in store.keys(lock.key):
            store.delete(lock.key)
            progress.line(f"  · released the lock that process {lock.pid} left when it was killed", "dim")


def lock_error(stack: str, lock: Lock) -> SetupError:
    """Return what to tell a person who must wait for another's run."""
    return SetupError(
        f"the stack {stack} is being changed elsewhere: {lock}",
        f"wait until that run has ended; if it was killed: ./dockyard state unlock {stack}",
    )


def lock_error_from_output(stack: str, printed: str) -> SetupError | None:
    """Return the same of what the engine printed where it found a lock; None where that is not why it failed."""
    match = ENGINE_LOCK.search(printed) if "the stack is currently locked" in printed else None
    return match and lock_error(stack, Lock("", int(match["pid"]), match["user"], match["host"], match["since"]))


def lock_holder(store: Store, stack: str) -> str:
    """Return who holds a stack's lock, in words; nothing where nobody does, or somebody who was killed."""
    return next((str(lock) for lock in locks(store, stack) if not lock.is_local or lock.alive), "")


@contextmanager
def noted_run(work: WorkDir, stack: str) -> Iterator[list[int]]:
    """Note that this checkout changes a stack, until its run has ended by itself; put its exit code into the list.

    What stays of a killed run says that a lock with this machine's name is this machine's.
    """
    note = _note(work, stack)
    note.parent.mkdir(parents=True, exist_ok=True)
    note.write_text(datetime.now(UTC).isoformat())
    codes: list[int] = []
    yield codes
    if codes and 0 <= codes[0] < KILLED:
        note.unlink(missing_ok=True)


def _left_here(work: WorkDir, stack: str, lock: Lock) -> bool:
    """Tell whether a lock was made by a run of this checkout that was killed."""
    note = _note(work, stack)
    return bool(note.exists() and lock.began and lock.began >= datetime.fromisoformat(note.read_text()))


def _note(work: WorkDir, stack: str) -> Path:
    return work.root / "runs" / stack


def _started(pid: int) -> float | None:
    """Return when a process began, in seconds since 1970; None where the system does not say so (no /proc)."""
    try:
        ticks = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])
        boot = next(line for line in Path("/proc/stat").read_text().splitlines() if line.startswith("btime "))
    except (OSError, StopIteration):
        return None
    return int(boot.split()[1]) + ticks / os.sysconf("SC_CLK_TCK")
