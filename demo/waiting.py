"""Waiting at the start for what is not there yet: exponential backoff, a bound, a word about each attempt."""

from __future__ import annotations

from collections.abc import Callable

from tenacity import RetryCallState, Retrying, retry_if_exception_type, stop_before_delay, wait_exponential

FIRST_PAUSE_SECONDS = 0.25
LONGEST_PAUSE_SECONDS = 5.0


class NotThereError(Exception):
    """What was waited for did not come in time; the message names it and the last reason."""


def reason_of(error: BaseException | None) -> str:
    """Return an error's first line, or its kind when it has no text; drivers like to add paragraphs."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0]


def wait_for(
    what: str, attempt: Callable[[], None], errors: type[Exception], limit: float, say: Callable[[str], None]
) -> None:
    """Call `attempt` until it no longer raises one of `errors`, for at most `limit` seconds.

    The pauses double from 0.25 s to 5 s. `say` is told before each pause what is waited for and why. Raises
    NotThereError at the end of the time; other errors pass through at once.
    """

    def tell(state: RetryCallState) -> None:
        pause = state.next_action.sleep if state.next_action else 0.0
        reason = reason_of(state.outcome.exception() if state.outcome else None)
        say(f"waiting for {what}, next try in {pause:.2g} s: {reason}")

    def give_up(state: RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome else None
        raise NotThereError(f"{what} did not come within {limit:g} s: {reason_of(error)}") from error

    Retrying(
        retry=retry_if_exception_type(errors),
        wait=wait_exponential(multiplier=FIRST_PAUSE_SECONDS, max=LONGEST_PAUSE_SECONDS),
        stop=stop_before_delay(limit),
        before_sleep=tell,
        retry_error_callback=give_up,
    )(attempt)
