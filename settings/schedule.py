"""Schedules of jobs: cron's five fields, validated before any resource is created."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import BeforeValidator, WithJsonSchema

_FIELDS = (
    ("a minute", 0, 59),
    ("an hour", 0, 23),
    ("a day of the month", 1, 31),
    ("a month", 1, 12),
    ("a day of the week", 0, 7),
)
_SHORTHANDS = {"@hourly": "0 * * * *", "@daily": "0 0 * * *", "@weekly": "0 0 * * 0", "@monthly": "0 0 1 * *"}
_PART = re.compile(r"(?:\*|(\d{1,2})(?:-(\d{1,2}))?)(?:/(\d{1,2}))?", re.ASCII)
_LONGEST_DAY = {2: 29, 4: 30, 6: 30, 9: 30, 11: 30}
"""Last day of the months that have no 31st."""


def parse_schedule(value: Any) -> str:
    """Return a schedule as it was written, if it is valid and has a next time.

    Raises ValueError where it is not. Names of days and months are refused, and so is a step after a single number,
    which implementations of cron read differently.
    """
    fields = _SHORTHANDS.get(value, value).split() if isinstance(value, str) else []
    if len(fields) != len(_FIELDS):
        raise ValueError(
            "five fields of cron (minute, hour, day of the month, month, day of the week), like 0 3 * * *,"
            f" or one of {', '.join(_SHORTHANDS)}"
        )
    _, _, days, months, _ = (_values(field, *bounds) for field, bounds in zip(fields, _FIELDS, strict=True))
    # With a day of the week as well, cron runs on either day.
    if fields[4].startswith("*") and min(days) > max(_LONGEST_DAY.get(month, 31) for month in months):
        raise ValueError(f"a date that exists: no month of {fields[3]} has day {min(days)}")
    return str(value)


def expand(schedule: str) -> str:
    """Return the five fields of a schedule that `parse_schedule` has accepted, without leading zeros."""
    return re.sub(r"\b0(\d)", r"\1", " ".join(_SHORTHANDS.get(schedule, schedule).split()))


def _values(field: str, name: str, low: int, high: int) -> set[int]:
    values: set[int] = set()
    for part in field.split(","):
        match = _PART.fullmatch(part)
        first, last, step = (int(text) if text else None for text in match.groups()) if match else (None, None, 0)
        if step == 0 or (step and first is not None and last is None):
            raise ValueError(f"{name} like *, 7, 1-5, */2 or 1,5-7, not {field}")
        start, end = (low, high) if first is None else (first, first if last is None else last)
        if not low <= start <= end <= high:
            raise ValueError(f"{name} from {low} to {high}, ranges from low to high, not {field}")
        values.update(range(start, end + 1, step or 1))
    return values


Schedule = Annotated[
    str,
    BeforeValidator(parse_schedule),
    WithJsonSchema(
        {
            "type": "string",
            "pattern": rf"^({'|'.join(_SHORTHANDS)}|[0-9*,/-]+( +[0-9*,/-]+){{4}})$",
            "examples": ["0 3 * * *", "@daily"],
        }
    ),
]
"""Times are in the scheduler's time zone: UTC, unless the job's variable TZ sets another."""
