"""Run programs to their end; find and stop background processes, which their command lines identify."""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from machine.progress import SetupError


def run(
    command: Sequence[str],
    failure: str,
    remedy: str = "",
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
) -> str:
    """Run a program to its end and return its standard output. `env` updates this process's environment.

    Raises SetupError with `failure` followed by the program's error line.
    """
    variables = {**os.environ, "LC_ALL": "C", **(env or {})}
    try:
        finished = subprocess.run(command, cwd=cwd, env=variables, capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        raise SetupError(f"{failure}: {command[0]} is not installed", remedy) from error
    if signal_name := ended_by(finished.returncode) if finished.returncode < 0 else "":
        # The user pressed Ctrl-C, or the kernel ran out of memory.
        raise SetupError(f"{failure}: {command[0]} was interrupted ({signal_name})", "Run it again: it continues.")
    if finished.returncode:
        lines = (finished.stderr + finished.stdout).splitlines()
        complaint = next((line for line in lines if line.startswith(("E:", "error"))), "")
        complaint = complaint or last_line(finished.stderr) or last_line(finished.stdout) or "it printed nothing"
        if "No space left" in finished.stderr:
            complaint = "the disk is full"
        raise SetupError(f"{failure}: {complaint.removeprefix('E: ')}", remedy)
    return finished.stdout


def spawn(command: Sequence[str], log: Path, env: Mapping[str, str]) -> subprocess.Popen[bytes]:
    """Start a program that keeps running after this command ends and its terminal closes; append its output to `log`.

    `env` is its complete environment, in whose PATH the program is searched.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    program = shutil.which(command[0], path=env.get("PATH")) or command[0]
    with log.open("ab") as output:
        output.write(f"$ {shlex.join(command)}\n".encode())
        output.flush()
        return subprocess.Popen(
            [program, *command[1:]],
            env=env,
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )


def last_line(text: str) -> str:
    """Return the last line that is not blank, "" when there is none."""
    return next((line.strip() for line in reversed(text.splitlines()) if line.strip()), "")


def wait_until(condition: Callable[[], bool], seconds: float) -> bool:
    """Wait until a condition holds; return False when it still does not after `seconds`."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def command_line(pid: int) -> str:
    """Return a process's command line with spaces between the arguments, "" when there is no such process."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
    except OSError:
        return ""


def _state_and_parent(pid: int) -> tuple[str, int]:
    """Return a process's state and its parent's id; `X`, which is dead, when there is no such process."""
    try:
        state, parent = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[:2]
    except (OSError, ValueError):
        return "X", 0
    return state, int(parent)


def _pids() -> list[int]:
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]


def is_alive(pid: int) -> bool:
    """Tell whether a process runs; a zombie does not."""
    return _state_and_parent(pid)[0] not in "ZX"


def find(*marks: str) -> list[int]:
    """Return the ids of the processes whose command line contains all of the marks."""
    lines = {pid: command_line(pid) for pid in _pids() if pid != os.getpid()}
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
    for child in _pids():
        children.setdefault(_state_and_parent(child)[1], []).append(child)
    pids = [*children.get(pid, [])]
    for child in pids:
        pids += children.get(child, [])
    return pids


def stop(pids: list[int], patience: float) -> None:
    """Send SIGTERM to the processes, and SIGKILL to those that still run after `patience` seconds."""
    for sign, seconds in ((signal.SIGTERM, patience), (signal.SIGKILL, 5.0)):
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):  # it has ended by itself
                os.kill(pid, sign)
        if wait_until(lambda: not any(map(is_alive, pids)), seconds):
            return
