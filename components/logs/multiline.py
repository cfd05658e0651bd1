"""The pattern of the first line of an entry in Docker's log files, so that a stack trace becomes one entry.

The lines are those of Docker's json-file driver: `{"log":"the line\\n","stream":…,"attrs":…,"time":…}`. The patterns
are in RE2's syntax, which has no lookahead, so that "anything but" is spelled out character by character.

The lines of a trace are joined while the file is read, and not by a later operator: lines that wait in an operator
count as read, and a collector that is killed then would lose them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

LINE = r'\{"log":"'
"""Beginning of a line. It occurs nowhere else, since quotes inside a line are escaped."""

TAB = r"\\(?:t|u0009)"
"""JSON's two escapes of a tab; the driver uses the second one."""

LINE_BOUNDARY = r'","stream":"std(?:out|err)"[^\n]*\n\{"log":"'
"""The text between two lines of an entry."""

ERROR_FIELDS = (
    *("[cause]", "[errors]", "address", "code", "column", "constraint", "dataType", "detail", "errno", "file", "hint"),
    *("hostname", "internalPosition", "internalQuery", "length", "line", "path", "port", "position", "routine"),
    *("schema", "severity", "syscall", "table", "where"),
)
"""Fields of errors in Node: those of system errors, and those of the Postgres client."""

INDENTED = (
    # Node, .NET.
    "at ",
    "... ",
    "--- ",
    # Node prints an error's own fields.
    *(f"{name}: " for name in ERROR_FIELDS),
)
"""Beginnings of indented lines that continue an entry. Other indented lines do not: a table would become one entry."""

UNINDENTED = ("Caused by: ", '}\\n"')
"""Beginnings of continuing lines without indentation: Java's, and the end of an error's fields in Node. Lines that
begin with a tab continue an entry as well: frames of Java and Go, and further lines of a statement in Postgres' log."""

CHAINED_EXCEPTIONS = ("During handling of the above exception", "The above exception was the direct cause")


def entry_start() -> str:
    """Return the pattern at which an entry begins; it matches a whole Python traceback or Go panic."""
    unindented = _none_of(UNINDENTED, also=" \\")
    no_tab = rf"\\{_none_of(('t', 'u0009'))}"
    return f"{LINE}(?:{_python()}|{_go()}|{unindented}|{no_tab}| +{_none_of(INDENTED, also=' ')})"


def _python() -> str:
    """Return the pattern of Python tracebacks, each ending with the first unindented line, the exception."""
    block = rf"Traceback \(most recent call last\):[^\n]*(?:\n{LINE}(?: |{TAB})[^\n]*)*(?:\n{LINE}[^ \\\"][^\n]*)?"
    empty = rf'\n{LINE}\\n"[^\n]*'
    return rf"{block}(?:{empty}\n{LINE}(?:{'|'.join(CHAINED_EXCEPTIONS)})[^\n]*{empty}\n{LINE}{block})*"


def _go() -> str:
    """Return the pattern of a Go panic, followed by empty lines, goroutines, functions and their locations."""
    function = r'[A-Za-z_][^ \n"\\]*\([^\n]*?\)\\n"'
    further = rf'\\n"|{TAB}|goroutine \d+ \[|\[signal |created by |panic: |{function}'
    return rf"(?:panic: |fatal error: |goroutine \d+ \[)[^\n]*(?:\n{LINE}(?:{further})[^\n]*)*"


def _none_of(words: Iterable[str], also: str = "") -> str:
    """Return a pattern of text that begins with none of the words and none of the characters in `also`."""
    heads: dict[str, list[str]] = {}
    for word in words:
        heads.setdefault(word[0], []).append(word[1:])
    excluded = "".join(re.escape(head) for head in sorted({*heads, *also}))
    deeper = [f"{re.escape(head)}{_none_of(rests)}" for head, rests in heads.items() if all(rests)]
    return f"(?:{'|'.join([f'[^{excluded}]', *deeper])})"
