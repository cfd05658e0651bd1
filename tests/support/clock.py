"""A clock for tests of what waits: its time passes when somebody sleeps, at once."""

from collections.abc import Callable


class FakeClock:
    """Stands for the module `time` in a module under test."""

    def __init__(self) -> None:
        self.now = 1000.0
        self._events: list[tuple[float, Callable[[], object]]] = []

    def after(self, seconds: float, event: Callable[[], object]) -> None:
        """Let something happen once so many seconds have passed."""
        self._events.append((self.now + seconds, event))

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        due = [event for moment, event in self._events if moment <= self.now]
        self._events = [(moment, event) for moment, event in self._events if moment > self.now]
        for event in due:
            event()
