"""How the command says what it is doing: one line a step, with the time it took."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from rich.console import Console


class SetupError(Exception):
    """A step cannot go on. `message` says what is missing, `remedy` what the person can do; each is one line."""

    def __init__(self, message: str, remedy: str = "") -> None:
        super().__init__(f"{message}. {remedy}" if remedy else message)
        self.message = message
        self.remedy = remedy
        self.printed = False
        """Whether a step has printed it already."""


def spell_seconds(seconds: float) -> str:
    """Return a duration as a person reads it: `0.4 s`, `12 s`, `2 m 05 s`."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 60:
        return f"{seconds:.0f} s"
    return f"{int(seconds) // 60} m {int(seconds) % 60:02d} s"


@dataclass
class Step:
    """One running step. Call `say` with what is going on and set `outcome` to what came of it."""

    progress: Progress
    title: str
    outcome: str = ""
    failed: bool = False
    """Ended, but not well, and the caller goes on to say more."""

    started: float = field(default_factory=time.monotonic)

    def say(self, text: str) -> None:
        """Tell what the step is doing now; printed at once, so that long work is seen to move."""
        self.progress.line(f"  · {self.title}: {text}", style="dim")


class Progress:
    """Prints steps to a console. Safe to share between threads that work side by side.

    `quiet` leaves out steps that went well in under a second: for commands that people run for what they print.
    """

    def __init__(self, console: Console | None = None, *, quiet: bool = False) -> None:
        self.quiet = quiet
        self.console = console or Console(stderr=True, highlight=False, soft_wrap=True)
        self._lock = threading.Lock()

    def line(self, text: str, style: str = "") -> None:
        """Print one line."""
        with self._lock:
            self.console.print(text, style=style or None, markup=False)

    def tell(self, error: SetupError, title: str = "") -> None:
        """Print an error and its remedy, once however often it is told."""
        if error.printed:
            return
        error.printed = True
        self.line(f"✗ {title + ': ' if title else ''}{error.message}", style="bold red")
        if error.remedy:
            self.line(f"  → {error.remedy}", style="red")

    @contextmanager
    def step(self, title: str) -> Iterator[Step]:
        """Run one step: prints its outcome and time when it ends, or the failure when it raises."""
        current = Step(self, title)
        try:
            yield current
        except SetupError as error:
            self.tell(error, title)
            raise
        seconds = time.monotonic() - current.started
        if self.quiet and not current.failed and seconds < 1:
            return
        took = spell_seconds(seconds)
        sign, style = ("✗", "bold red") if current.failed else ("✓", "green")
        self.line(f"{sign} {title}{': ' + current.outcome if current.outcome else ''} ({took})", style=style)
