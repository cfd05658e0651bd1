"""Pulumi's locks on stacks in its backend, and the release of those that killed runs left behind."""

from __future__ import annotations

import json
import os
import re
import socket
import time
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from machine.progress import Progress, SetupError
from machine.workdir import WorkDir
from ops.run_notes import run_note
from ops.state.store import PROJECT, FileStore, Store, store_of

POLL_SECONDS = 0.5
CLOCK_SECONDS = 2.0
"""Tolerance for the start time of a process, which is computed from the boot time of the machine."""

MOVED = "moved.json"
"""Name of the lock that `state move` leaves behind, so that plain `pulumi` cannot change the old state either."""

PULUMI_LOCK = re.compile(r"created by (?P<user>.*)@(?P<host>\S*) \(pid (?P<pid>\d+)\) at (?P<since>\S+)")


@dataclass(frozen=True)
class Lock:
    """One lock on a stack, as Pulumi writes it (backend/diy/lock.go)."""

    key: str
    pid: int
    user: str
    host: str
    since: str
    moved_to: str = ""
    """Address that the state was moved to; empty in a lock of Pulumi."""

    @property
    def is_local(self) -> bool:
        """Whether a machine of this host name created the lock."""
        return self.host == socket.gethostname()

    @property
    def alive(self) -> bool:
        """Whether the process that created the lock still runs. Only meaningful for a local lock (`is_local`)."""
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return False
        except PermissionError:
            pass  # a process of another user
        started = _started(self.pid)
        # A process that started after the lock was created only reuses its pid: the machine was rebooted since.
        return started is None or self.began is None or started <= self.began.timestamp() + CLOCK_SECONDS

    @property
    def began(self) -> datetime | None:
        """When the lock was created; None if its timestamp cannot be parsed."""
        try:
            return datetime.fromisoformat(self.since)
        except ValueError:
            return None

    def __str__(self) -> str:
        """Describe the holder: `process 7 of user@host since …`."""
        since = f"{self.began.astimezone():%d %B %Y, %H:%M:%S}" if self.began else self.since
        return f"process {self.pid} of {self.user}@{self.host} since {since}"


def lock_prefix(stack: str) -> str:
    """Return the key prefix of a stack's locks."""
    return f".pulumi/locks/organization/{PROJECT}/{stack}/"


def locks(store: Store, stack: str) -> list[Lock]:
    """Return the locks on a stack, the lock of `state move` first."""
    stack_locks = []
    for key in store.keys(lock_prefix(stack)):
        if not key.endswith(".json"):
            continue  # a draft that is being written
        try:
            record = json.loads(store.read(key))
        except FileNotFoundError:
            continue  # released in the meantime
        since, moved = str(record.get("timestamp")), record.get("moved_to") or ""
        user = record.get("moved_by") or record.get("username")
        stack_locks.append(Lock(key, int(record.get("pid") or 0), str(user), str(record.get("hostname")), since, moved))
    return sorted(stack_locks, key=lambda lock: (not lock.moved_to, lock.key))


def check_not_moved(store: Store, stack: str) -> None:
    """Raise SetupError if a stack's state was moved to another backend."""
    for lock in locks(store, stack):
        if lock.moved_to:
            when = f"{lock.began.astimezone():%d %B %Y}" if lock.began else lock.since
            raise SetupError(
                f"the state of the stack {stack} was moved on {when} by {lock.user}@{lock.host} to {lock.moved_to}",
                f'use the new one: `backend: {{url: "{lock.moved_to}"}}` in Pulumi.yaml, or PULUMI_BACKEND_URL',
            )


def check_usable(work: WorkDir, stack: str | None) -> None:
    """Raise SetupError with one sentence if the backend cannot be used or the stack's state was moved away from it.

    Pulumi itself would retry for long and print a long error.
    """
    store = store_of(work)
    if store and stack:
        check_not_moved(store, stack)
    elif store:
        store.keys(".pulumi/meta.yaml")


def wait_for_locks(work: WorkDir, stack: str, progress: Progress) -> None:
    """Wait for another run of this machine on the stack to end, and remove the lock of a killed run.

    Raises SetupError with holder, time and remedy if another machine holds the lock. For a backend that only Pulumi
    supports, Pulumi itself reports the lock when it starts.
    """
    store = store_of(work)
    if store is None:
        return
    check_not_moved(store, stack)
    for lock in locks(store, stack):
        if not lock.is_local:
            raise lock_error(stack, lock)
        if lock.alive:
            progress.line(f"  · waiting for another run on this stack to end: process {lock.pid}", "yellow")
            while lock.alive and lock.key in store.keys(lock.key):
                time.sleep(POLL_SECONDS)
        elif not isinstance(store, FileStore) and not _created_here(work, stack, lock):
            # Two machines may share a host name, and this machine cannot see the processes of the other.
            raise lock_error(stack, lock)
        if lock.key in store.keys(lock.key):
            store.delete(lock.key)
            progress.line(f"  · released the lock that process {lock.pid} left when it was killed", "dim")


def lock_error(stack: str, lock: Lock) -> SetupError:
    """Return the error for a stack that another run has locked."""
    return SetupError(
        f"the stack {stack} is being changed elsewhere: {lock}",
        f"wait until that run has ended; if it was killed: ./dockyard state unlock {stack}",
    )


def lock_error_from_output(stack: str, printed: str) -> SetupError | None:
    """Return the error of a locked stack if Pulumi's output says that it is locked, else None."""
    match = PULUMI_LOCK.search(printed) if "the stack is currently locked" in printed else None
    return match and lock_error(stack, Lock("", int(match["pid"]), match["user"], match["host"], match["since"]))


def lock_holder(store: Store, stack: str) -> str:
    """Return the description of the holder of a stack's lock, "" if there is none or it was killed."""
    return next((str(lock) for lock in locks(store, stack) if not lock.is_local or lock.alive), "")


def _created_here(work: WorkDir, stack: str, lock: Lock) -> bool:
    """Return whether a killed run of this checkout created a lock."""
    note = run_note(work, stack)
    return bool(note.exists() and lock.began and lock.began >= datetime.fromisoformat(note.read_text()))


def _started(pid: int) -> float | None:
    """Return the start time of a process in seconds since 1970, None if the system has no /proc."""
    try:
        ticks = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])
        boot = next(line for line in Path("/proc/stat").read_text().splitlines() if line.startswith("btime "))
    except (OSError, StopIteration):
        return None
    return int(boot.split()[1]) + ticks / os.sysconf("SC_CLK_TCK")
