"""Parse and format durations in Go's notation: `1m30s`, `500ms`."""

from __future__ import annotations

import re
from decimal import Decimal

_SMALL_UNITS = {"ns": 1, "µs": 1_000, "ms": 1_000_000}
_UNITS = {**_SMALL_UNITS, "us": 1_000, "s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9}
"""Unit → its nanoseconds."""

_PART = r"(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|ms|s|m|h)"
_DURATION = re.compile(rf"[+-]?(?:0|(?:{_PART})+)")


def parse_duration(text: str) -> int:
    """Return a duration in nanoseconds. Raises ValueError for text that Go would reject."""
    if not _DURATION.fullmatch(text):
        raise ValueError(f"{text!r} is not a duration such as 30s or 1m30s")
    total = sum(float(number) * _UNITS[unit] for number, unit in re.findall(_PART, text))
    return round(-total if text.startswith("-") else total)


def format_duration(nanoseconds: int) -> str:
    """Format nanoseconds as Go does: `0s`, `1.5s`, `1m0s`, `1h0m0s`."""
    if nanoseconds < 0:
        return f"-{format_duration(-nanoseconds)}"
    for unit, size in _SMALL_UNITS.items():
        if 0 < nanoseconds < size * 1000:
            return f"{Decimal(nanoseconds) / size:f}{unit}"
    minutes, rest = divmod(nanoseconds, _UNITS["m"])
    hours, minutes = divmod(minutes, 60)
    larger = f"{hours}h{minutes}m" if hours else f"{minutes}m" if minutes else ""
    return f"{larger}{Decimal(rest) / _UNITS['s']:f}s"
