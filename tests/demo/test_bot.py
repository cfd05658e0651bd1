import re
from pathlib import Path

import pytest

from demo.healthcheck import write_heartbeat
from tests.support.demo import demo


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
