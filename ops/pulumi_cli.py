"""Runs the `pulumi` command for a stack, in the environment that the set-up prepared."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from machine.progress import Progress
from machine.workdir import WorkDir
from ops.events import EventFollower, RunOutcome
from ops.run_notes import noted_run


@dataclass(frozen=True)
class PulumiCli:
    """The Pulumi command line, bound to one stack."""

    work: WorkDir
    stack: str
    env: Mapping[str, str]

    def change(self, verb: str, arguments: Sequence[str], progress: Progress) -> tuple[int, RunOutcome]:
        """Run `up` or `destroy` non-interactively and report progress; return the exit code and the outcome.

        Pulumi's own output goes to a log file.
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
                    # Pulumi accepts --event-log only with this variable; its Automation API sets it too.
                    env={**self.env, "PULUMI_DEBUG_COMMANDS": "true"},
                    cwd=self.work.checkout,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    # A separate process group, or Pulumi would receive each interrupt of the terminal twice.
                    process_group=0,
                )
                interrupts.forward_to(process)
                # With a timeout `wait` polls. Without one, a signal right before it would be handled after it only.
                code = process.wait(timeout=threading.TIMEOUT_MAX)
            ended.append(code)
        follower.outcome.interrupted = interrupts.count > 0
        return code, follower.outcome

    def show(self, verb: str, arguments: Sequence[str]) -> int:
        """Run a command whose output goes to the terminal; return its exit code."""
        return self._run(self._command(verb, *arguments), check=False).returncode

    def read(self, *arguments: str) -> Any:
        """Run a command that prints JSON and return the parsed output. Raises CalledProcessError if it fails."""
        return json.loads(self.run(*arguments))

    def run(self, *arguments: str, stdin: str | None = None) -> str:
        """Run a command and return its output. Raises CalledProcessError if it fails."""
        return self._output_of(self._command(*arguments), stdin)

    def clear_pending_operations(self) -> None:
        """Remove the pending operations of an interrupted run from the state, in the official way: export, then import.

        Raises CalledProcessError.
        """
        self.import_state(self.run("stack export"))

    def import_state(self, exported: str) -> None:
        """Import an export as the stack's state. Raises CalledProcessError."""
        self.run("stack import", stdin=exported)

    def list_stacks(self) -> dict[str, int]:
        """Return the stacks of the backend with their numbers of resources. Raises CalledProcessError.

        In an empty place this creates the backend.
        """
        listed = self._output_of(["pulumi", "stack", "ls", "--json", "--non-interactive"])
        return {stack["name"].rsplit("/", 1)[-1]: stack.get("resourceCount") or 0 for stack in json.loads(listed)}

    def _output_of(self, command: Sequence[str], stdin: str | None = None) -> str:
        return self._run(command, input=stdin, capture_output=True, text=True, check=True).stdout

    def _run(self, command: Sequence[str], **options: Any) -> subprocess.CompletedProcess[str]:
        return subprocess.run(command, env=dict(self.env), cwd=self.work.checkout, **options)  # noqa: PLW1510 - in options

    def _command(self, verb: str, *arguments: str) -> list[str]:
        return ["pulumi", *verb.split(), "--stack", self.stack, "--non-interactive", *arguments]


class _Interrupts:
    """Forwards each SIGINT and SIGTERM of this process to Pulumi while it runs.

    At the first interrupt Pulumi starts no more operations, finishes the running ones, saves the state and releases
    its lock; at the second it cancels the running operations. These are signal handlers rather than a caught
    KeyboardInterrupt, which could be raised at any line and leave Pulumi running unattended.
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

    def forward_to(self, process: subprocess.Popen[bytes]) -> None:
        """Set Pulumi's process, and forward the interrupts that arrived before it started."""
        early, self._process = self.count, process
        for _ in range(early):
            self._interrupt()

    def _on_signal(self, *_: object) -> None:
        self.count += 1
        message = (
            "stopping: Pulumi finishes its current operations; interrupt again to stop at once"
            if self.count == 1
            else "stopping at once: the next `up` repairs what is left"
        )
        self._progress.line(f"  · {message}", "yellow")
        self._interrupt()

    def _interrupt(self) -> None:
        # Signal the whole group, as a terminal does: `pulumi` may be a wrapper script. Plugins have their own groups.
        if self._process is not None and self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGINT)
