"""The parts of the tests, and in which order they run."""

import sys
from pathlib import Path

import pytest

from ops import checks
from toolchain.progress import Progress, SetupError
from toolchain.workdir import WorkDir


@pytest.fixture
def parts(monkeypatch):
    """Put parts that print their name in place of the real ones; `broken` fails."""
    monkeypatch.setattr(checks, "ensure_dev_packages", lambda *_: None)
    said = {name: [[sys.executable, "-c", f"print('this is {name}')"]] for name in checks.PARTS}
    said["broken"] = [[sys.executable, "-c", "raise SystemExit(3)"]]
    monkeypatch.setattr(checks, "PARTS", said)


def run(tmp_path, *asked: str) -> int:
    return checks.run(WorkDir(tmp_path), asked, Progress())


def test_every_part_runs_once_and_those_that_need_the_machine_alone_have_it():
    everything = checks.groups([*checks.PARTS])
    assert sorted(part for group in everything for part in group) == sorted(checks.PARTS)
    assert [group for group in everything if len(group) > 1] == [checks.TOGETHER]
    assert {("lint",), ("setup",), ("images",), ("live",)} <= set(everything)


def test_a_part_that_is_asked_for_without_its_neighbours_runs_alone():
    assert checks.groups(["alerts", "live", "alerts"]) == [("live",), ("alerts",)]
    assert checks.groups(["alerts", "lint", "contract"]) == [("lint",), ("contract", "alerts")]


@pytest.mark.parametrize(
    ("folder", "whole", "part", "files"),
    [("live", "live", "products", checks.PRODUCTS), ("images", "images", "backups", checks.BACKUPS)],
)
def test_every_test_of_a_folder_that_is_divided_is_in_one_part(folder, whole, part, files):
    """What the small part names is there, and the large one leaves out those only."""
    assert all((Path(checks.__file__).parents[1] / "tests" / folder / file).is_file() for file in files)
    left_out = {word.rpartition("/")[2] for word in checks.PARTS[whole][0] if word.startswith("--ignore=")}
    assert left_out == set(files)
    assert {Path(word).name for word in checks.PARTS[part][0][3:]} == left_out


@pytest.mark.usefixtures("parts")
def test_parts_side_by_side_tell_all_that_they_say(tmp_path, capfd):
    assert run(tmp_path, "unit", "rules") == 0
    told = capfd.readouterr()
    assert {"this is unit", "this is rules"} <= set(told.out.splitlines())
    assert "✓ unit" in told.err
    assert "✓ rules" in told.err


@pytest.mark.usefixtures("parts")
def test_a_part_that_fails_is_named_at_the_end_and_keeps_none_of_the_others_from_running(tmp_path, capfd):
    assert run(tmp_path, "broken", "lint") == 1
    told = capfd.readouterr()
    assert "this is lint" in told.out
    assert told.err.splitlines()[-1] == "failed: broken"


def test_an_unknown_part_is_told_with_the_known_ones(tmp_path):
    with pytest.raises(SetupError, match="no such part of the tests: unitt"):
        run(tmp_path, "unitt")
