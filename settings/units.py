"""Quantities with units, as settings files have them: validated once, then handled as numbers."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import BeforeValidator, PlainSerializer, WithJsonSchema

_MEMORY = re.compile(r"^(\d+)\s?(MB|GB)$")
_DURATION = re.compile(r"^(\d+)(s|m|h|d)$")
_MEMORY_UNITS = {"MB": 1, "GB": 1024}
_DURATION_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def parse_memory(value: Any) -> int:
    """Turn `512MB` or `2GB` into MiB, the unit that Docker means by MB and the provider takes.

    Raises ValueError for anything else, a bare number included: 512 what?
    """
    if isinstance(value, str) and (match := _MEMORY.match(value)):
        size = int(match[1]) * _MEMORY_UNITS[match[2]]
        if size < 6:
            raise ValueError("a size of at least 6MB (the smallest limit that Docker takes)")
        return size
    raise ValueError("a size with its unit, like 512MB or 2GB")


def parse_duration(value: Any) -> int:
    """Turn `15s`, `5m`, `12h` or `30d` into seconds. Raises ValueError for anything else."""
    if isinstance(value, str) and (match := _DURATION.match(value)) and int(match[1]) > 0:
        return int(match[1]) * _DURATION_UNITS[match[2]]
    raise ValueError("a time with its unit, like 15s, 5m, 12h or 30d")


def format_memory(mebibytes: int) -> str:
    """Return the shortest spelling that `parse_memory` reads back."""
    return f"{mebibytes // 1024}GB" if mebibytes % 1024 == 0 else f"{mebibytes}MB"


def format_duration(seconds: int) -> str:
    """Return the shortest spelling that `parse_duration`, Prometheus and Docker read back."""
    for unit in ("d", "h", "m"):
        if seconds % _DURATION_UNITS[unit] == 0:
            return f"{seconds // _DURATION_UNITS[unit]}{unit}"
    return f"{seconds}s"


Memory = Annotated[
    int,
    BeforeValidator(parse_memory),
    PlainSerializer(format_memory),
    WithJsonSchema({"type": "string", "pattern": _MEMORY.pattern, "examples": ["512MB", "2GB"]}),
]
"""Memory in MiB, written with its unit."""

Duration = Annotated[
    int,
    BeforeValidator(parse_duration),
    PlainSerializer(format_duration),
    WithJsonSchema({"type": "string", "pattern": _DURATION.pattern, "examples": ["15s", "30d"]}),
]
"""A time in seconds, written with its unit."""
