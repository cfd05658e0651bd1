"""Parse and format durations in Go's notation: `1m30s`, `500ms`."""

from __future__ import annotations

import re

_UNITS = {
    "ns": 1,
    "us": 1_000,
    "µs": 1_000,
    "ms": 1_000_000,
    "s": 1_000_000_000,
    "m": 60_000_000_000,
    "h": 3_600_000_000_000,
}
_PART = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|ms|s|m|h)")


def parse_duration(text: str) -> int:
    """Return a duration in nanoseconds. Raises ValueError for text that Go would reject."""
    rest = text.lstrip("+-")
    if rest == "0":
        return 0
    total, position = 0.0, 0
    for part in _PART.finditer(rest):
        if part.start() != position:
            break
        total += float(part.group(1)) * _UNITS[part.group(2)]
        position = part.end()
    if position != len(rest) or not rest:
        raise ValueError(f"{text!r} is not a duration such as 30s or 1m30s")
    return round(-total if text.startswith("-") else total)


def format_duration(nanoseconds: int) -> str:
    """Format nanoseconds as Go does: `0s`, `1.5s`, `1m0s`, `1h0m0s`."""
    if nanoseconds == 0:
        return "0s"
    if nanoseconds < 0:
        return "-" + format_duration(-nanoseconds)
    for unit, size in (("ns", 1), ("µs", 1_000), ("ms", 1_000_000)):
        if nanoseconds < size * 1000:
            return f"{_decimal(nanoseconds, size)}{unit}"
    minutes, rest = divmod(nanoseconds, _UNITS["m"])
    seconds = f"{_decimal(rest, _UNITS['s'])}s"
    if minutes == 0:
        return seconds
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes}m{seconds}" if hours else f"{minutes}m{seconds}"


def _decimal(amount: int, size: int) -> str:
    whole, rest = divmod(amount, size)
    if rest == 0:
        return str(whole)
    digits = len(str(size)) - 1
    return f"{whole}.{str(rest).zfill(digits).rstrip('0')}"
