"""Moves a stack's state, with its history, to another backend.

The old backend keeps everything, and a permanent lock: `./dockyard` and plain `pulumi` report the new address to
whoever still uses it. At every moment one of the two backends is locked in this way. Running the same command again
completes an interrupted move.
"""

from __future__ import annotations

import getpass
import json
import os
import socket
import subprocess
import uuid
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

from machine.progress import Progress, SetupError
from machine.workdir import WorkDir
from ops.pulumi_cli import PulumiCli
from ops.run_notes import noted_run
from ops.state.locks import MOVED, lock_error, lock_prefix, locks, wait_for_locks
from ops.state.store import STATES, FileStore, Store, history_prefix, readable_store, store_at
from toolchain.environment import absolute, backend_url

STATE_SUFFIXES = (".json", ".json.gz", ".json.zst", ".pulumi-tags")
BY_HAND = "move it by hand: `pulumi stack export | pulumi stack import`, see docs/state.md"
COPIERS = 8


@dataclass(frozen=True)
class Migration:
    """The move of stacks from one backend to another."""

    work: WorkDir
    env: Mapping[str, str]
    """The complete environment in which `pulumi` uses the old backend."""

    source: Store
    target: Store
    progress: Progress

    def pulumi_cli(self, stack: str, store: Store) -> PulumiCli:
        """Return Pulumi for a stack in one of the two backends."""
        return PulumiCli(self.work, stack, {**self.env, "PULUMI_BACKEND_URL": store.url})

    def stacks(self) -> list[str]:
        """Return the stacks of the old backend that have resources or a history."""
        counts = self.stack_counts(self.source)
        return [name for name, count in counts.items() if count or self.source.keys(history_prefix(name))]

    def stack_counts(self, store: Store) -> dict[str, int]:
        """Return the stacks in a backend, which is created in an empty place. Raises SetupError."""
        try:
            return self.pulumi_cli("", store).list_stacks()
        except subprocess.CalledProcessError as error:
            raise SetupError(f"Pulumi cannot use {store.url}: {error.stderr.strip().splitlines()[-1]}") from error


def prepare_migration(work: WorkDir, url: str, env: Mapping[str, str], progress: Progress) -> Migration:
    """Return a move to the backend at `url`. Raises SetupError if one of the two backends cannot be used."""
    url = absolute(work, url)
    if url == backend_url(work):
        raise SetupError(f"the state is already stored at {url}")
    source = readable_store(work, "`state move` supports files and S3 only", BY_HAND)
    target = store_at(url)
    if target is None:
        raise SetupError(
            f"`state move` supports files (file://) and S3 (s3://), not {url.partition('://')[0]}", BY_HAND
        )
    target.keys(".pulumi/meta.yaml")
    if isinstance(target, FileStore):
        target.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    migration = Migration(work, env, source, target, progress)
    migration.stack_counts(target)
    return migration


def move_stack(migration: Migration, stack: str) -> None:
    """Move one stack to the other backend. Raises SetupError; the stack then stays in the old one."""
    if _moved_before(migration, stack):
        return
    wait_for_locks(migration.work, stack, migration.progress)
    states = _states(migration.source, stack)
    if not states:
        raise SetupError(f"the stack {stack} does not exist at {migration.source.url}")
    if _states(migration.target, stack) and not _moved_to(migration.target, stack):
        raise SetupError(
            f"the stack {stack} already exists at {migration.target.url}",
            "choose another address; nothing was changed",
        )
    with (
        noted_run(migration.work, stack) as ended,
        _locked(migration, stack),
        migration.progress.step(f"Stack {stack}") as step,
    ):
        export = migration.pulumi_cli(stack, migration.source).read("stack export", "--show-secrets")
        if (export.get("deployment") or {}).get("pending_operations"):
            raise SetupError(f"the last run on {stack} was interrupted", f"repair it first: ./dockyard up {stack}")
        # Lock the target until everything is copied, so that nobody uses a partial copy.
        _write_moved_lock(migration.target, stack, migration.source.url)
        copied = _copy_history(migration, stack)
        for key in states:
            migration.target.write(key, migration.source.read(key))
        for key in set(_states(migration.target, stack)) - set(states):
            migration.target.delete(key)
        if migration.pulumi_cli(stack, migration.target).read("stack export", "--show-secrets") != export:
            raise SetupError(f"the copy of {stack} differs from the original", "the old backend was not changed")
        _write_moved_lock(migration.source, stack, migration.target.url)
        migration.target.delete(lock_prefix(stack) + MOVED)
        resources = len((export.get("deployment") or {}).get("resources") or ())
        step.outcome = f"moved, {resources} resources and {copied} files of history"
        ended.append(0)


def _moved_before(migration: Migration, stack: str) -> bool:
    """Return whether the stack was moved before; complete a move that was interrupted before its last step."""
    if _moved_to(migration.source, stack) != migration.target.url:
        return False
    if _moved_to(migration.target, stack) == migration.source.url:
        migration.target.delete(lock_prefix(stack) + MOVED)
    migration.progress.line(f"  · the stack {stack} was already moved")
    return True


def _states(store: Store, stack: str) -> list[str]:
    """Return the keys of a stack's state (one as a rule) and of its tags."""
    names = {f"{STATES}{stack}{ending}" for ending in STATE_SUFFIXES}
    return [key for key in store.keys(f"{STATES}{stack}.") if key in names]


def _copy_history(migration: Migration, stack: str) -> int:
    """Copy the missing records of runs, which never change once written; return the number of all records."""
    folder = history_prefix(stack)
    keys, present = migration.source.keys(folder), set(migration.target.keys(folder))
    with ThreadPoolExecutor(COPIERS) as copiers:
        missing = [key for key in keys if key not in present]
        list(copiers.map(lambda key: migration.target.write(key, migration.source.read(key)), missing))
    return len(keys)


@contextmanager
def _locked(migration: Migration, stack: str) -> Iterator[None]:
    """Hold Pulumi's lock on the stack in the old backend."""
    key = f"{lock_prefix(stack)}{uuid.uuid4()}.json"
    migration.source.write(key, _lock(getpass.getuser()))
    try:
        # Another run may have started before this lock was written; Pulumi checks twice too.
        for lock in locks(migration.source, stack):
            if lock.key != key:
                raise lock_error(stack, lock)
        yield
    finally:
        migration.source.delete(key)


def _moved_to(store: Store, stack: str) -> str:
    """Return the address that a stack's state was moved to, "" if it was not moved."""
    return next((lock.moved_to for lock in locks(store, stack) if lock.moved_to), "")


def _write_moved_lock(store: Store, stack: str, url: str) -> None:
    user = getpass.getuser()
    # Pulumi prints only the user of a lock.
    lock = json.loads(_lock(f"{user}, who moved this state to {url},"))
    store.write(lock_prefix(stack) + MOVED, json.dumps({**lock, "moved_to": url, "moved_by": user}).encode())


def _lock(user: str) -> bytes:
    """Return the content of a lock in Pulumi's format."""
    holder = {"pid": os.getpid(), "username": user, "hostname": socket.gethostname()}
    return json.dumps({**holder, "timestamp": datetime.now(UTC).isoformat()}).encode()
