"""Where an entry begins among the lines of the engine's log files, so that a stack trace is one entry.

The lines are those of Docker's json-file driver: `{"log":"the line\\n","stream":…,"attrs":…,"time":…}`. Patterns are
RE2's, which cannot look ahead, so that "anything but" is spelled out character by character.

The lines of a trace are put together while the file is read, and not by an operator behind it: what waits in an
operator counts as read, and a collector that is killed then would lose it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

LINE = r'\{"log":"'
"""How a line begins. It stands nowhere else: quotes inside of a line are escaped."""

TAB = r"\\(?:t|u0009)"
"""JSON's escape for a tab, and the one that the driver uses."""

SEAM = r'","stream":"std(?:out|err)"[^\n]*\n\{"log":"'
"""What stands between two lines of one entry."""

AFTER_SPACES = (
    # Node, .NET.
    "at ",
    "... ",
    "--- ",
    # What Node prints of an error's own fields: the system's, and those of the Postgres client.
    *(
        f"{name}: "
        for name in (
            "[cause]",
            "[errors]",
            "address",
            "code",
            "column",
            "constraint",
            "dataType",
            "detail",
            "errno",
            "file",
            "hint",
            "hostname",
            "internalPosition",
            "internalQuery",
            "length",
            "line",
            "path",
            "port",
            "position",
            "routine",
            "schema",
            "severity",
            "syscall",
            "table",
            "where",
        )
    ),
)
"""Indented lines that go on with the entry before. Not every indented line does: a table would be one entry."""

AT_THE_MARGIN = ("Caused by: ", '}\\n"')
"""Java; and the end of what Node prints of an error's fields. Lines that begin with a tab go on too: frames of Java and
Go, and the further lines of a statement in Postgres' log."""

CHAINED = ("During handling of the above exception", "The above exception was the direct cause")


def entry_start() -> str:
    """Return the pattern at which an entry begins; it takes in the whole of a Python traceback and of a Go panic."""
    at_the_margin = _otherwise(AT_THE_MARGIN, also=" \\")
    no_tab = rf"\\{_otherwise(('t', 'u0009'))}"
    return f"{LINE}(?:{_python()}|{_go()}|{at_the_margin}|{no_tab}| +{_otherwise(AFTER_SPACES, also=' ')})"


def _python() -> str:
    """A traceback ends with the first line that is not indented, the exception; then there may be another one."""
    block = rf"Traceback \(most recent call last\):[^\n]*(?:\n{LINE}(?: |{TAB})[^\n]*)*(?:\n{LINE}[^ \\\"][^\n]*)?"
    empty = rf'\n{LINE}\\n"[^\n]*'
    return rf"{block}(?:{empty}\n{LINE}(?:{'|'.join(CHAINED)})[^\n]*{empty}\n{LINE}{block})*"


def _go() -> str:
    """After the panic: empty lines, goroutines, functions and where they are."""
    function = r'[A-Za-z_][^ \n"\\]*\([^\n]*?\)\\n"'
    further = rf'\\n"|{TAB}|goroutine \d+ \[|\[signal |created by |panic: |{function}'
    return rf"(?:panic: |fatal error: |goroutine \d+ \[)[^\n]*(?:\n{LINE}(?:{further})[^\n]*)*"


def _otherwise(words: Iterable[str], also: str = "") -> str:
    """Return a pattern for text that begins with none of the words, and with none of the characters of `also`."""
    heads: dict[str, list[str]] = {}
    for word in words:
        heads.setdefault(word[0], []).append(word[1:])
    excluded = "".join(re.escape(head) for head in sorted({*heads, *also}))
    deeper = [f"{re.escape(head)}{_otherwise(rests)}" for head, rests in heads.items() if all(rests)]
    return f"(?:{'|'.join([f'[^{excluded}]', *deeper])})"
