"""Progress output of the command: one line per step, with its duration."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from rich.console import Console

Say = Callable[[str], None]
"""Announces what long work is doing now, such as `Step.say`."""


class SetupError(Exception):
    """A step failed. `message` says what is wrong, `remedy` what the user can do; each is one line."""

    def __init__(self, message: str, remedy: str = "") -> None:
        super().__init__(f"{message}. {remedy}" if remedy else message)
        self.message = message
        self.remedy = remedy
        self.printed = False
        """Whether the error has been printed already."""


def format_seconds(seconds: float) -> str:
    """Format a duration for people: `0.4 s`, `12 s`, `2 m 05 s`."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 60:
        return f"{seconds:.0f} s"
    return f"{int(seconds) // 60} m {int(seconds) % 60:02d} s"


@dataclass
class Step:
    """One running step. Call `say` to report progress and set `outcome` to the result."""

    progress: Progress
    title: str
    outcome: str = ""
    failed: bool = False
    """Whether the step failed without an exception; the caller prints the details."""

    started: float = field(default_factory=time.monotonic)

    def say(self, text: str) -> None:
        """Print what the step is doing now, so that long work shows progress."""
        self.progress.line(f"  · {self.title}: {text}", style="dim")


class Progress:
    """Prints steps to a console. Can be shared between threads.

    `quiet` leaves out steps that succeed in under a second, for commands whose own output matters.
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
        """Print an error and its remedy, once per error."""
        if error.printed:
            return
        error.printed = True
        self.line(f"✗ {title + ': ' if title else ''}{error.message}", style="bold red")
        if error.remedy:
            self.line(f"  → {error.remedy}", style="red")

    @contextmanager
    def step(self, title: str) -> Iterator[Step]:
        """Run one step: print its outcome and duration when it ends, or the error when it raises SetupError."""
        current = Step(self, title)
        try:
            yield current
        except SetupError as error:
            self.tell(error, title)
            raise
        seconds = time.monotonic() - current.started
        if self.quiet and not current.failed and seconds < 1:
            return
        took = format_seconds(seconds)
        sign, style = ("✗", "bold red") if current.failed else ("✓", "green")
        self.line(f"{sign} {title}{': ' + current.outcome if current.outcome else ''} ({took})", style=style)
