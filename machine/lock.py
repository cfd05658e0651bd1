"""A lock between processes, released when its holder ends."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # bootstrap.py uses this module before rich is installed
    from machine.progress import Say


@contextmanager
def locked(path: Path, say: Say) -> Iterator[None]:
    """Hold the lock file `path`; if another process holds it, say so once and wait.

    The kernel releases the lock when its holder dies, so a kill leaves nothing to clean up.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("waiting for another dockyard process that does the same")
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
