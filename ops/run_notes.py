"""Notes that this checkout changes a stack: the note of a killed run stays."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from machine.workdir import WorkDir

KILLED = 128
"""Exit codes from here on mean that a signal ended the program."""


def run_note(work: WorkDir, stack: str) -> Path:
    """Return the file of the note on a stack."""
    return work.root / "runs" / stack


@contextmanager
def noted_run(work: WorkDir, stack: str) -> Iterator[list[int]]:
    """Keep a note that this checkout changes a stack until its run ends; the caller appends the exit code to the list.

    The note of a killed run stays, and proves that a lock with this machine's host name is of this machine.
    """
    note = run_note(work, stack)
    note.parent.mkdir(parents=True, exist_ok=True)
    note.write_text(datetime.now(UTC).isoformat())
    codes: list[int] = []
    yield codes
    if codes and 0 <= codes[0] < KILLED:
        note.unlink(missing_ok=True)
