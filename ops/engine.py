"""Runs the `pulumi` command for a stack, with the environment that the set-up made."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ops.events import EventFollower, Outcome
from ops.state_locks import noted_run
from toolchain.progress import Progress
from toolchain.workdir import WorkDir


@dataclass(frozen=True)
class Engine:
    """The Pulumi engine, working on one stack."""

    work: WorkDir
    stack: str
    env: Mapping[str, str]

    def change(self, verb: str, arguments: Sequence[str], progress: Progress) -> tuple[int, Outcome]:
        """Run `up` or `destroy` without questions and tell what happens; return the exit code and the outcome.

        What the engine itself prints goes to a log file.
        """
        self.work.logs.mkdir(parents=True, exist_ok=True)
        events = self.work.logs / f"{verb}-{self.stack}.events"
        command = self._command(verb, "--yes", "--skip-preview", "--event-log", str(events), *arguments)
        with (
            (self.work.logs / f"{verb}-{self.stack}.log").open("w") as output,
            EventFollower(events, progress) as follower,
            noted_run(self.work, self.stack) as ended,
        ):
            with _Interrupts(progress) as interrupts:
                process = subprocess.Popen(
                    command,
                    # The engine takes --event-log only so; its Automation API sets the same.
                    env={**self.env, "PULUMI_DEBUG_COMMANDS": "true"},
                    cwd=self.work.checkout,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    # Out of reach of the terminal's own interrupt, or the engine would get each of them twice.
                    process_group=0,
                )
                interrupts.pass_on_to(process)
                # With a limit it polls; without, a signal that comes right before the wait would be handled after it.
                code = process.wait(timeout=threading.TIMEOUT_MAX)
            ended.append(code)
        follower.outcome.interrupted = interrupts.count > 0
        return code, follower.outcome

    def show(self, verb: str, arguments: Sequence[str]) -> int:
        """Run a command whose output is for the person; return its exit code."""
        command = self._command(verb, *arguments)
        return subprocess.run(command, env=dict(self.env), cwd=self.work.checkout, check=False).returncode

    def read(self, *arguments: str) -> Any:
        """Run a command that prints JSON and return it. Raises CalledProcessError when it fails."""
        return json.loads(self.run(*arguments))

    def run(self, *arguments: str) -> str:
        """Run a command and return what it prints. Raises CalledProcessError when it fails."""
        return self._output_of(self._command(*arguments))

    def clear_pending_operations(self) -> None:
        """Make the state forget operations that an interrupted run had begun, in the official way: an export taken in
        again. Raises CalledProcessError.
        """
        self.import_state(self.run("stack export"))

    def import_state(self, exported: str) -> None:
        """Make an export the stack's state. Raises CalledProcessError."""
        self._output_of(self._command("stack import"), exported)

    def list_stacks(self) -> list[str]:
        """Return the names of all stacks of the backend. Raises CalledProcessError."""
        listed = self._output_of(["pulumi", "stack", "ls", "--json", "--non-interactive"])
        return [stack["name"].rsplit("/", 1)[-1] for stack in json.loads(listed)]

    def _output_of(self, command: Sequence[str], stdin: str | None = None) -> str:
        return subprocess.run(
            command,
            env=dict(self.env),
            cwd=self.work.checkout,
            input=stdin,
            capture_output=True,
            text=True,
            check=True,
        ).stdout

    def _command(self, verb: str, *arguments: str) -> list[str]:
        return ["pulumi", *verb.split(), "--stack", self.stack, "--non-interactive", *arguments]


class _Interrupts:
    """Turns each SIGINT and SIGTERM of ours into an interrupt of the engine, for as long as it runs.

    At the first the engine begins nothing more, ends what it has begun, writes it down and gives its lock back; at
    the second it lets go of what it has begun. As handlers, not as exceptions: one of those could come at any line,
    and leave the engine alone.
    """

    def __init__(self, progress: Progress) -> None:
        self.count = 0
        self._progress = progress
        self._process: subprocess.Popen[bytes] | None = None
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> _Interrupts:
        for sign in (signal.SIGINT, signal.SIGTERM):
            self._before[sign] = signal.signal(sign, self._on_signal)
        return self

    def __exit__(self, *_: object) -> None:
        for sign, handler in self._before.items():
            signal.signal(sign, handler)

    def pass_on_to(self, process: subprocess.Popen[bytes]) -> None:
        """Name the engine's process; what came before it was there is passed on now."""
        early, self._process = self.count, process
        for _ in range(early):
            self._interrupt()

    def _on_signal(self, *_: object) -> None:
        self.count += 1
        message = (
            "stopping: the engine ends what it has begun; interrupt again to stop at once"
            if self.count == 1
            else "stopping at once: the next `up` mends what is left"
        )
        self._progress.line(f"  · {message}", "yellow")
        self._interrupt()

    def _interrupt(self) -> None:
        # The whole group, as a terminal does: `pulumi` may be a script around the engine. Plugins are in others.
        if self._process is not None and self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGINT)
