"""Parse Grafana's notations of times and durations, in seconds."""

from __future__ import annotations

import math
import re
import time
from dataclasses import dataclass
from datetime import UTC, datetime

UNITS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800, "M": 2592000, "y": 31536000}
MOST_POINTS = 11000
"""Prometheus refuses range queries with more points per series."""


def duration(text: str) -> float:
    """Return the seconds of a duration such as `30s` or `1h`. Raises ValueError for anything else."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)(ms|[smhdwMy])", text.strip())
    if not match:
        raise ValueError(f"not a duration: {text!r}")
    return float(match[1]) * UNITS[match[2]]


def moment(value: str | float, now: float | None = None) -> float:
    """Return the Unix time of `now`, `now-6h`, milliseconds since 1970 or an ISO date. Raises ValueError otherwise."""
    now = time.time() if now is None else now
    text = str(value).strip()
    if text == "now":
        return now
    if match := re.fullmatch(r"now([+-])(\w+)", text):
        return now + duration(match[2]) * (1 if match[1] == "+" else -1)
    if re.fullmatch(r"\d+(\.\d+)?", text):
        return float(text) / 1000
    date = datetime.fromisoformat(text)
    return (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp()


@dataclass(frozen=True)
class Span:
    """A time range and the step between its points, all in seconds."""

    start: float
    end: float
    step: float = 15

    @classmethod
    def of(cls, start: float, end: float, max_points: int = 1000, smallest_step: float = 15) -> Span:
        """Choose the step as Grafana does: at most `max_points` points, and no finer than the scrape interval."""
        length = max(end - start, 0)
        step = max(math.ceil(length / max(max_points, 1)), smallest_step, math.ceil(length / (MOST_POINTS - 1)))
        return cls(start, end, step)

    def interpolate(self, expr: str) -> str:
        """Replace $__interval, $__rate_interval and $__range, and their _ms and _s forms."""
        length = max(self.end - self.start, 1)
        values = {
            "__interval_ms": f"{self.step * 1000:.0f}",
            "__interval": f"{self.step:.0f}s",
            "__rate_interval": f"{max(self.step + 15, 60):.0f}s",
            "__range_ms": f"{length * 1000:.0f}",
            "__range_s": f"{length:.0f}",
            "__range": f"{length:.0f}s",
        }
        return re.sub(
            r"\$(?:\{(__\w+)\}|(__\w+))",
            lambda match: values.get(match[1] or match[2], match[0]),
            expr,
        )
