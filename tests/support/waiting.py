"""The one helper that waits: a poll with a deadline."""

import time
from collections.abc import Callable
from typing import TypeVar

Value = TypeVar("Value")

INTERVAL_SECONDS = 0.1
LONGEST_INTERVAL_SECONDS = 1.0


def wait_until(
    condition: Callable[[], Value],
    what: str,
    seconds: float = 60.0,
    *,
    details: Callable[[], str] | None = None,
    ignoring: tuple[type[Exception], ...] = (),
) -> Value:
    """Call `condition` until it returns something true, and return that; exceptions of types in `ignoring` mean no.
    Raises AssertionError when the deadline passes, with `what`, `details` and the last value or exception."""
    deadline = time.monotonic() + seconds
    interval = INTERVAL_SECONDS
    while True:
        last: object
        try:
            if value := condition():
                return value
            last = value
        except ignoring as error:
            last = error
        if time.monotonic() >= deadline:
            extra = f"\n{details()}" if details else ""
            raise AssertionError(f"timed out after {seconds:g} s: {what}; last result: {last!r}{extra}")
        time.sleep(min(interval, max(0.0, deadline - time.monotonic())))
        interval = min(interval * 1.3, LONGEST_INTERVAL_SECONDS)
