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
from demo.healthcheck import check_heartbeat, write_heartbeat
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


def run(monkeypatch: pytest.MonkeyPatch, given: bot.BotSettings, turns: int) -> int:
    monkeypatch.setattr(signal, "sigtimedwait", Stopped(turns).sigtimedwait)
    return bot.run(given)


def test_the_bot_takes_a_turn_each_interval_and_leaves_with_0(
    rows: Rows, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert run(monkeypatch, settings(tmp_path / "beat"), turns=3) == 0
    assert rows.turns == 3
    check_heartbeat(tmp_path / "beat")


def test_without_the_database_no_heartbeat_is_written(
    rows: Rows, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    rows.failures = 5
    run(monkeypatch, settings(tmp_path / "beat"), turns=3)
    with pytest.raises(FileNotFoundError):
        check_heartbeat(tmp_path / "beat")


def test_an_unhealthy_release_works_without_a_heartbeat_and_its_last_line_says_why(
    rows: Rows, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run(monkeypatch, settings(tmp_path / "beat", DEMO_UNHEALTHY="1"), turns=2)
    assert rows.turns == 2
    assert not (tmp_path / "beat").exists()
    assert UNHEALTHY in [line for line in caplog.messages if line != "the bot leaves"][-1]


def check(heartbeat: Path) -> tuple[int, str]:
    """Return exit code and words of `demo healthcheck bot`."""
    done = demo("healthcheck", "bot", DEMO_HEARTBEAT_FILE=str(heartbeat))
    return done.returncode, done.stderr


def test_the_health_check_passes_while_the_promise_of_the_heartbeat_holds(tmp_path: Path) -> None:
    write_heartbeat(tmp_path / "beat", 30)
    assert check(tmp_path / "beat") == (0, "")


def test_the_health_check_fails_in_one_line_once_a_turn_is_late(tmp_path: Path) -> None:
    write_heartbeat(tmp_path / "beat", -7)
    code, words = check(tmp_path / "beat")
    assert code == 1
    late = re.fullmatch(r"unhealthy: no turn has succeeded in time, the next one is (\d+) s late\n", words)
    assert late and int(late[1]) >= 7, words
