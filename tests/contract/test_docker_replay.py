"""The Docker stand-in gives the official plugin's recorded answers: every line of the pure methods, exactly."""

import re
from collections import Counter
from typing import Any

import pytest

from tests.contract.transcripts import Line, Plugin, of_method, recorded, transcripts_dir

# A clone alone has no recordings; where CI runs they lie beside it.
pytestmark = pytest.mark.skipif(
    transcripts_dir() is None,
    reason="no transcripts of the official plugin here: set DOCKYARD_TRANSCRIPTS to their folder",
)

PURE = ("CheckConfig", "DiffConfig", "Check", "Diff")
GENERATED = re.compile(r"^(?P<stem>.+)-[0-9a-f]{7}$")


def comparable(answer: dict[str, Any] | None) -> dict[str, Any]:
    """Return an answer with the random end of a generated name struck out, and sets of paths in order."""
    answer = dict(answer or {})
    inputs = answer.get("inputs")
    if inputs and "name" in inputs.get("__defaults", []):
        match = GENERATED.match(inputs["name"])
        assert match, f"{inputs['name']} is no generated name"
        answer["inputs"] = inputs | {"name": match["stem"]}
    return answer


def differences(lines: list[Line]) -> list[str]:
    plugin = Plugin()
    found = []
    for line in lines:
        got, wanted = comparable(plugin.call(line.method, line.request)), comparable(line.response)
        if got != wanted:
            keys = sorted(key for key in {*got, *wanted} if got.get(key) != wanted.get(key))
            detail = "; ".join(f"{key}: {got.get(key)!r}, recorded {wanted.get(key)!r}" for key in keys)
            found.append(f"{line.title}: {detail}")
    return found


@pytest.mark.parametrize("method", PURE)
def test_every_recorded_answer_is_reproduced(method: str, capsys: pytest.CaptureFixture[str]) -> None:
    lines = list(of_method(method))
    found = differences(lines)
    with capsys.disabled():
        print(f"\n  {method}: {len(lines) - len(found)} of {len(lines)} recorded answers reproduced")  # noqa: T201 - the figure is asked for
    assert lines, f"the transcripts hold no {method}"
    assert not found, "\n".join(found)


def test_every_recorded_method_is_replayed_here_or_against_an_engine() -> None:
    elsewhere = {"Configure", "Create", "Read", "Update", "Delete"}
    assert set(Counter(line.method for line in recorded())) <= {*PURE, *elsewhere}
