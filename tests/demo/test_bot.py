from __future__ import annotations

import re
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from demo import bot
from demo.config import Environment
from demo.healthcheck import write_heartbeat
from demo.switches import UNHEALTHY
from tests.support.demo import demo

URL = "postgresql://dating:hunter2@db/dating"


class Stopped:
    """Stands for the signals: none comes during the pauses, until the given one."""

    def __init__(self, turns: int) -> None:
        self.left = turns

    def sigtimedwait(self, _signals: set[signal.Signals], _seconds: float) -> object:
        self.left -= 1
        return None if self.left else object()


class Rows:
    """The table: turns by bot; `failures` of the next connections fail."""

    def __init__(self) -> None:
        self.turns = 0
        self.failures = 0

    @contextmanager
    def connect(self, _conninfo: str) -> Iterator[Rows]:
        if self.failures:
            self.failures -= 1
            raise psycopg.OperationalError("connection refused\nIs the server running?")
        yield self

    def execute(self, query: str, _params: list[str] | None = None) -> Rows:
        self.turns += "insert into bot_heartbeats" in query
        return self

    def fetchone(self) -> tuple[int]:
        return (self.turns,)


@pytest.fixture
def rows(monkeypatch: pytest.MonkeyPatch) -> Rows:
    made = Rows()
    monkeypatch.setattr(psycopg, "connect", made.connect)
    monkeypatch.setattr(bot, "ping_database", lambda _database: None)
    monkeypatch.setattr(signal, "pthread_sigmask", lambda _how, _signals: set())
    return made


def settings(heartbeat: Path, **environment: str) -> bot.BotSettings:
    return bot.read_settings(Environment({"DATABASE_URL": URL, "DEMO_HEARTBEAT_FILE": str(heartbeat), **environment}))


@pytest.mark.parametrize(
    ("failures", "variables", "turns", "beats"),
    [(0, {}, 3, True), (5, {}, 0, False), (0, {"DEMO_UNHEALTHY": "1"}, 3, False)],
    ids=["well", "without the database", "unhealthy release"],
)
def test_the_bot_beats_after_each_turn_that_succeeded_but_for_an_unhealthy_release(
    rows: Rows,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    failures: int,
    variables: dict[str, str],
    turns: int,
    beats: bool,
) -> None:
    rows.failures = failures
    monkeypatch.setattr(signal, "sigtimedwait", Stopped(3).sigtimedwait)
    assert bot.run(settings(tmp_path / "beat", **variables)) == 0
    assert (rows.turns, (tmp_path / "beat").exists()) == (turns, beats)
    last = [line for line in caplog.messages if line != "the bot leaves"][-1:]
    assert any(UNHEALTHY in line for line in last) == bool(variables)


@pytest.mark.parametrize(
    ("promise", "code", "words"),
    [(30, 0, ""), (-7, 1, r"unhealthy: no turn has succeeded in time, the next one is ([7-9]|\d\d+) s late\n")],
    ids=["in time", "late"],
)
def test_the_health_check_fails_in_one_line_once_a_turn_is_late(
    tmp_path: Path, promise: int, code: int, words: str
) -> None:
    write_heartbeat(tmp_path / "beat", promise)
    done = demo("healthcheck", "bot", DEMO_HEARTBEAT_FILE=str(tmp_path / "beat"))
    assert done.returncode == code
    assert re.fullmatch(words, done.stderr)
