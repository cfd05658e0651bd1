from __future__ import annotations

import time

import pytest

from demo.waiting import NotThereError, wait_for


class Store:
    """Answers from the nth attempt on."""

    def __init__(self, answers_at: int) -> None:
        self.answers_at = answers_at
        self.attempts = 0

    def ping(self) -> None:
        self.attempts += 1
        if self.attempts < self.answers_at:
            raise ConnectionError(f"refused {self.attempts}\nis it running?")


def test_it_says_what_it_waits_for_and_why_and_doubles_the_pause() -> None:
    said: list[str] = []
    store = Store(answers_at=3)
    wait_for("Redis at cache:6379", store.ping, ConnectionError, 10, said.append)
    assert said == [
        "waiting for Redis at cache:6379, next try in 0.25 s: refused 1",
        "waiting for Redis at cache:6379, next try in 0.5 s: refused 2",
    ]


def test_it_gives_up_in_time_and_names_the_last_reason() -> None:
    started = time.monotonic()
    with pytest.raises(NotThereError, match=r"Redis did not come within 0\.6 s: refused 2"):
        wait_for("Redis", Store(answers_at=99).ping, ConnectionError, 0.6, lambda _text: None)
    assert time.monotonic() - started < 5


def test_an_error_that_waiting_cannot_cure_passes_through_at_once() -> None:
    def broken() -> None:
        raise ValueError("a bug")

    with pytest.raises(ValueError, match="a bug"):
        wait_for("Redis", broken, ConnectionError, 10, lambda _text: None)
