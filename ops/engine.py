"""Runs the `pulumi` command for a stack, with the environment that the set-up made."""

from __future__ import annotations

import json
import signal
import subprocess
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
            process = subprocess.Popen(
                command,
                # The engine takes --event-log only so; its Automation API sets the same.
                env={**self.env, "PULUMI_DEBUG_COMMANDS": "true"},
                cwd=self.work.checkout,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                # Out of reach of the terminal's own interrupt: the engine stops orderly at the first one that it
                # gets, and at once at the second.
                process_group=0,
            )
            code = _wait(process, progress)
            ended.append(code)
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
        return subprocess.run(
            self._command(*arguments),
            env=dict(self.env),
            cwd=self.work.checkout,
            capture_output=True,
            text=True,
            check=True,
        ).stdout

    def drop_pending(self) -> None:
        """Make the state forget operations that an interrupted run had begun, in the official way: an export taken in
        again. Raises CalledProcessError.
        """
        exported = subprocess.run(
            self._command("stack export"), env=dict(self.env), cwd=self.work.checkout, capture_output=True, check=True
        )
        self.take_in(exported.stdout)

    def take_in(self, exported: bytes) -> None:
        """Make an export the stack's state. Raises CalledProcessError."""
        subprocess.run(
            self._command("stack import"),
            env=dict(self.env),
            cwd=self.work.checkout,
            input=exported,
            capture_output=True,
            check=True,
        )

    def _command(self, verb: str, *arguments: str) -> list[str]:
        return ["pulumi", *verb.split(), "--stack", self.stack, "--non-interactive", *arguments]


def _wait(process: subprocess.Popen[bytes], progress: Progress) -> int:
    """Wait for the engine; pass each interrupt of ours on to it, once."""
    while True:
        try:
            return process.wait()
        except KeyboardInterrupt:
            progress.line(
                "  · stopping: the engine finishes what it has begun; interrupt again to stop at once", "yellow"
            )
            process.send_signal(signal.SIGINT)
