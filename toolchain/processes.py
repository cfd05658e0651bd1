"""Processes that outlive the command: started detached, found again, stopped only when they are surely ours."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from pathlib import Path


def command_line(pid: int) -> str:
    """Return a process's command line with blanks between the arguments, or "" when there is no such process."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
    except OSError:
        return ""


def is_alive(pid: int) -> bool:
    """Say whether a process runs; one that has ended and waits to be collected does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (OSError, IndexError):
        return False
    return state not in "ZX"


def find(*marks: str) -> list[int]:
    """Return the processes whose command line holds all of the marks."""
    pids = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]
    lines = {pid: command_line(pid) for pid in pids if pid != os.getpid()}
    return [pid for pid, line in lines.items() if line and all(mark in line for mark in marks) and is_alive(pid)]


def ended_by(code: int) -> str:
    """Return the name of the signal that an exit code tells of, or "" when the process ended by itself.

    Python tells a signal as a negative code, shells and Docker as 128 and the signal's number.
    """
    number = -code if code < 0 else code - 128
    try:
        return signal.Signals(number).name
    except ValueError:
        return ""


def descendants(pid: int) -> list[int]:
    """Return a process's children, their children and so on, nearest first."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError, IndexError, ValueError):  # it ended while it was read
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
                children.setdefault(parent, []).append(int(entry.name))
    pids, waiting = [], [pid]
    while waiting:
        below = children.get(waiting.pop(0), [])
        pids += below
        waiting += below
    return pids


def wait_gone(pids: list[int], seconds: float) -> bool:
    """Wait until none of the processes runs; say whether that is so."""
    deadline = time.monotonic() + seconds
    while any(is_alive(pid) for pid in pids):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def stop(pids: list[int], patience: float) -> None:
    """Ask processes to end (SIGTERM), and kill those that have not after `patience` seconds."""
    for sign, seconds in ((signal.SIGTERM, patience), (signal.SIGKILL, 5.0)):
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):  # it has ended by itself
                os.kill(pid, sign)
        if wait_gone(pids, seconds):
            return
