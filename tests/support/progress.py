"""A progress whose lines a test reads back."""

import io

from rich.console import Console

from machine.progress import Progress


class Words:
    def __init__(self) -> None:
        self.buffer = io.StringIO()
        self.progress = Progress(Console(file=self.buffer, width=1000, soft_wrap=True, highlight=False))

    def __str__(self) -> str:
        return self.buffer.getvalue()

    def __contains__(self, text: str) -> bool:
        return text in str(self)
