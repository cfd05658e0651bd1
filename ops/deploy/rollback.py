"""The verb that returns a stack to an earlier release."""

from __future__ import annotations

import time

from machine.progress import Progress, SetupError
from machine.workdir import WorkDir
from ops.deploy import history
from ops.deploy.up import bring_up
from ops.session import prepare_pulumi
from ops.state import releases
from ops.state.locks import wait_for_locks
from ops.state.snapshot import State

MAX_LISTED_CHANGES = 12
"""Number of changes that a rollback prints one by one."""


def rollback(work: WorkDir, stack: str, progress: Progress) -> int:
    """Roll back to the newest good release that differs from the running one; return the exit code.

    Images, settings and files are rolled back; data and migrations are not. Raises SetupError if there is no earlier
    release.
    """
    began = time.monotonic()
    backend = history.history_store(work)
    pulumi_cli = prepare_pulumi(work, stack, Progress(progress.console, quiet=True))
    wait_for_locks(work, stack, progress)
    state = State.of(pulumi_cli)
    running = releases.running_release(state, stack)
    updates = history.updates(backend, stack)
    target = history.rollback_target(updates, running, broken=history.is_broken(updates, state))
    if target is None or target.release is None:
        raise SetupError(
            f"the history of the stack {stack} has no earlier release",
            "restore the earlier files from git, then run `up`",
        )
    since = f"{target.ended.astimezone():%d %B %Y, %H:%M:%S}"
    progress.line(f"Roll back to the release of {since}", "bold")
    differences = history.changes(running, target.release) or ["the release before the failed run"]
    if len(differences) > MAX_LISTED_CHANGES:
        differences[MAX_LISTED_CHANGES:] = [f"and {len(differences) - MAX_LISTED_CHANGES} more"]
    progress.line("\n".join(f"  · {line}" for line in differences))
    releases.use(work, stack, target.release)
    code = bring_up(work, stack, progress, began, f"{history.ROLLBACK} to {since}")
    warning = f"The files still describe the newer release: change them before the next ./dockyard up {stack}"
    progress.line(warning, "yellow")
    return code
