"""Parse Grafana's notations of times and durations, in seconds."""

from __future__ import annotations

import math
import re
import time
from dataclasses import dataclass

UNITS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
MAX_POINTS = 11000
"""Prometheus refuses range queries with more points per series."""


def duration(text: str) -> float:
    """Return the seconds of a duration such as `30s` or `1h`. Raises ValueError for anything else."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)(ms|[smhdw])", text.strip())
    if not match:
        raise ValueError(f"not a duration: {text!r}")
    return float(match[1]) * UNITS[match[2]]


def moment(value: str | float) -> float:
    """Return the Unix time of `now`, `now-6h` or milliseconds since 1970. Raises ValueError for anything else."""
    text = str(value).strip()
    if text == "now":
        return time.time()
    if text.startswith("now-"):
        return time.time() - duration(text.removeprefix("now-"))
    return float(text) / 1000


@dataclass(frozen=True)
class Span:
    """A time range and the step between its points, all in seconds."""

    start: float
    end: float
    step: float = 15

    @classmethod
    def of(cls, start: float, end: float, max_points: int, smallest_step: float) -> Span:
        """Choose the step as Grafana does: at most `max_points` points, and no finer than the scrape interval."""
        points = max(min(max_points, MAX_POINTS - 1), 1)
        return cls(start, end, max(math.ceil((end - start) / points), smallest_step))

    def interpolate(self, expr: str) -> str:
        """Replace $__interval, $__rate_interval and $__range."""
        length = max(self.end - self.start, 1)
        values = {"interval": self.step, "rate_interval": max(self.step + 15, 60), "range": length}
        names = "|".join(values)
        pattern = rf"\$(?:\{{__({names})\}}|__({names})\b)"
        return re.sub(pattern, lambda match: f"{values[match[1] or match[2]]:.0f}s", expr)
