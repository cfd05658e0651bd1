"""`./dockyard test`: which parts run, in which form, and what the run reports."""

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from machine.progress import Progress, SetupError
from machine.workdir import WorkDir
from ops import test_runner
from ops.test_runner import FOLDERS, PARTS, PartRunner
from tests.support.waiting import wait_until

TESTS = Path(__file__).resolve().parents[1]


def script(text: str) -> list[list[str]]:
    return [[sys.executable, "-c", text]]


@pytest.fixture
def commands(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[list[str]]]:
    """Commands in place of the real ones: every part prints its name. A test changes what it needs to."""
    monkeypatch.setattr(test_runner, "ensure_dev_packages", lambda *_: None)
    replaced = {part: script(f"print('this is {part}')") for part in PARTS}
    monkeypatch.setattr(PartRunner, "commands", lambda _, part: replaced[part])
    return replaced


def run(tmp_path: Path, *words: str) -> int:
    return test_runner.run(WorkDir(tmp_path), words, Progress(), seed=7)


def test_every_folder_with_tests_belongs_to_exactly_one_part():
    folders = sorted(path.name for path in TESTS.iterdir() if list(path.glob("test_*.py")))
    assert sorted(folder for part in FOLDERS.values() for folder in part) == folders
    assert {*FOLDERS, "mutants"} == set(PARTS)


@pytest.mark.usefixtures("commands")
@pytest.mark.parametrize(("words", "parts"), [(["unit", "rules"], ["unit", "rules"]), ([], PARTS)], ids=["two", "all"])
def test_parts_side_by_side_print_their_whole_output(tmp_path, capfd, words, parts):
    assert run(tmp_path, *words) == 0
    printed = capfd.readouterr()
    assert {line for line in printed.out.splitlines() if line.startswith("this is")} == {
        f"this is {one}" for one in parts
    }
    assert all(f"✓ {part}" in printed.err for part in parts)


def test_a_failed_part_is_named_at_the_end_and_the_others_run(tmp_path, capfd, commands):
    commands["unit"] = script("raise SystemExit(3)")
    assert run(tmp_path, "unit", "lint") == 1
    printed = capfd.readouterr()
    assert "this is lint" in printed.out
    assert printed.err.splitlines()[-1] == "failed: unit"
    assert "1 passed, 1 failed" in printed.err


@pytest.mark.parametrize(("soak", "expected"), [(False, ["--seed", "7"]), (True, ["--all"])])
def test_soak_runs_the_full_form_of_each_part(tmp_path, soak, expected):
    test_run = PartRunner(WorkDir(tmp_path), Progress(), 7, soak=soak, side_by_side=True)
    for part in FOLDERS:
        *_, command = test_run.commands(part)
        assert "--randomly-seed=7" in command
        assert ("-m" in command[3:]) is soak
    (mutants,) = test_run.commands("mutants")
    assert mutants[-len(expected) :] == expected


def test_an_unknown_part_is_refused_with_the_known_ones(tmp_path):
    with pytest.raises(SetupError, match=r"unknown part of the tests: unitt\. Parts: live, .*, and soak"):
        run(tmp_path, "unitt")


@pytest.mark.parametrize("handler", [signal.default_int_handler, signal.SIG_IGN], ids=["terminal", "background"])
def test_an_interruption_reaches_the_parts_that_run(handler, tmp_path, commands):
    before = signal.signal(signal.SIGINT, handler)
    marker = tmp_path / "cleaned"
    commands["unit"] = script(
        "import pathlib, time\n"
        f"pathlib.Path({str(tmp_path / 'started')!r}).touch()\n"
        "try:\n    time.sleep(60)\n"
        f"except KeyboardInterrupt:\n    pathlib.Path({str(marker)!r}).touch()\n"
    )

    def interrupt() -> None:
        wait_until((tmp_path / "started").exists, "the part has started")
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, "unit", "lint")
    thread.join()
    signal.signal(signal.SIGINT, before)
    assert marker.exists()


def test_the_tests_of_this_repository_skip_nothing_in_ci(tmp_path):
    (tmp_path / "conftest.py").write_text((TESTS / "conftest.py").read_text())
    (tmp_path / "test_skip.py").write_text("import pytest\n\n\ndef test_skips():\n    pytest.skip('no engine')\n")
    command = [sys.executable, "-m", "pytest", "-q", "-c", "/dev/null", "--rootdir", str(tmp_path), str(tmp_path)]
    for ci, code in (("true", 1), ("", 0)):
        environment = {**os.environ, "CI": ci, "PYTHONPATH": str(TESTS.parent)}
        finished = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert finished.returncode == code, finished.stdout
        assert "no engine" in finished.stdout or not ci
