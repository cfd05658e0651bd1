"""Find and stop background processes, identified by their command lines, that outlive the command that started them."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from pathlib import Path


def command_line(pid: int) -> str:
    """Return a process's command line with spaces between the arguments, "" when there is no such process."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
    except OSError:
        return ""


def is_alive(pid: int) -> bool:
    """Tell whether a process runs; a zombie does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (OSError, IndexError):
        return False
    return state not in "ZX"


def find(*marks: str) -> list[int]:
    """Return the ids of the processes whose command line contains all of the marks."""
    pids = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]
    lines = {pid: command_line(pid) for pid in pids if pid != os.getpid()}
    return [pid for pid, line in lines.items() if line and all(mark in line for mark in marks) and is_alive(pid)]


def ended_by(code: int) -> str:
    """Return the name of the signal that an exit code stands for, "" when the process ended by itself.

    Python reports a signal as a negative code, shells and Docker as 128 plus the signal's number.
    """
    number = -code if code < 0 else code - 128
    try:
        return signal.Signals(number).name
    except ValueError:
        return ""


def descendants(pid: int) -> list[int]:
    """Return the ids of a process's children, their children and so on, nearest first."""
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
    """Wait until none of the processes runs; return False when one still runs after `seconds`."""
    deadline = time.monotonic() + seconds
    while any(is_alive(pid) for pid in pids):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def stop(pids: list[int], patience: float) -> None:
    """Send SIGTERM to the processes, and SIGKILL to those that still run after `patience` seconds."""
    for sign, seconds in ((signal.SIGTERM, patience), (signal.SIGKILL, 5.0)):
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):  # it has ended by itself
                os.kill(pid, sign)
        if wait_gone(pids, seconds):
            return
