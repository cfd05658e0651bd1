import re
import signal
from pathlib import Path

import psycopg
import pytest

from demo import bot
from demo.config import Environment
from demo.healthcheck import write_heartbeat
from demo.switches import UNHEALTHY
from tests.support.demo import demo

DATABASE = {"DATABASE_URL": "postgresql://dating:hunter2@db/dating"}


@pytest.mark.parametrize(
    ("variables", "has_database", "beats"),
    [({}, True, True), ({}, False, False), ({"DEMO_UNHEALTHY": "1"}, True, False)],
    ids=["well", "without the database", "unhealthy release"],
)
def test_the_bot_beats_after_each_turn_that_succeeded_but_for_an_unhealthy_release(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    variables: dict[str, str],
    has_database: bool,
    beats: bool,
) -> None:
    turns: list[bot.BotSettings] = []
    signals = iter([None, None, signal.SIGTERM])

    def take_turn(settings: bot.BotSettings) -> int:
        turns.append(settings)
        if not has_database:
            raise psycopg.OperationalError("connection refused")
        return len(turns)

    monkeypatch.setattr(bot, "take_turn", take_turn)
    monkeypatch.setattr(bot, "ping_database", lambda _database: None)
    monkeypatch.setattr(signal, "pthread_sigmask", lambda _how, _signals: set())
    monkeypatch.setattr(signal, "sigtimedwait", lambda _signals, _seconds: next(signals))
    beat = tmp_path / "beat"
    assert bot.run(bot.read_settings(Environment({**DATABASE, "DEMO_HEARTBEAT_FILE": str(beat), **variables}))) == 0
    assert (len(turns), beat.exists()) == (3, beats)
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
