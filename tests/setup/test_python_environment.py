"""The `dockyard` script and the Python environment it makes: quick, healing, the same for every caller."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest

from toolchain import bootstrap
from toolchain.workdir import CHECKOUT

PACKAGE = "dockyard_test_package"


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make a folder with one small wheel, and have pip look there and nowhere else."""
    folder = tmp_path / "index"
    folder.mkdir()
    with zipfile.ZipFile(folder / f"{PACKAGE}-1.0-py3-none-any.whl", "w") as wheel:
        info = f"{PACKAGE}-1.0.dist-info"
        wheel.writestr(f"{PACKAGE}.py", "ANSWER = 42\n")
        wheel.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {PACKAGE}\nVersion: 1.0\n")
        wheel.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        wheel.writestr(f"{info}/RECORD", "")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


@pytest.fixture
def checkout(tmp_path: Path, index: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small checkout: the script, the bootstrap, one requirement, and an `ops` that says where it runs."""
    monkeypatch.setenv("DOCKYARD_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("DOCKYARD_PYTHON", sys.executable)
    folder = tmp_path / "check out"
    (folder / "toolchain").mkdir(parents=True)
    (folder / "ops").mkdir()
    shutil.copy(CHECKOUT / "dockyard", folder)
    shutil.copy(CHECKOUT / "toolchain/bootstrap.py", folder / "toolchain")
    (folder / "requirements.txt").write_text(f"{PACKAGE}==1.0\n")
    (folder / "ops/__init__.py").touch()
    (folder / "ops/__main__.py").write_text(f"import sys, {PACKAGE} as p\nprint(p.ANSWER, *sys.argv[1:])\n")
    return folder


def call(script: Path, *arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(script), *arguments], cwd=cwd, capture_output=True, text=True)


def test_a_fresh_checkout_makes_its_environment_and_runs_the_command(checkout: Path) -> None:
    done = call(checkout / "dockyard", "up", "dev")
    assert done.stdout == "42 up dev\n", done.stderr
    assert "✓ Python environment" in done.stderr


def test_the_second_call_has_nothing_to_make_and_says_nothing(checkout: Path) -> None:
    call(checkout / "dockyard")
    began = time.monotonic()
    done = call(checkout / "dockyard", "status")
    assert (done.stdout, done.stderr) == ("42 status\n", "")
    assert time.monotonic() - began < 5.0


def test_it_runs_from_any_folder_and_through_symbolic_links(checkout: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    (elsewhere / "ops").mkdir(parents=True)  # a folder of the same name must not be taken for ours
    (elsewhere / "ops/__main__.py").write_text("print('somebody else')\n")
    (elsewhere / "one").symlink_to(checkout / "dockyard")
    (elsewhere / "two").symlink_to("one")
    assert call(elsewhere / "two", "x", cwd=elsewhere).stdout == "42 x\n"


def test_changed_requirements_make_the_environment_anew(checkout: Path) -> None:
    call(checkout / "dockyard")
    (checkout / "requirements.txt").write_text(f"# a comment\n{PACKAGE}==1.0\n")
    done = call(checkout / "dockyard")
    assert "✓ Python environment" in done.stderr
    assert call(checkout / "dockyard").stderr == ""


def test_a_moved_checkout_makes_its_environment_anew(checkout: Path, tmp_path: Path) -> None:
    call(checkout / "dockyard")
    checkout.rename(tmp_path / "moved")
    done = call(tmp_path / "moved/dockyard", "x")
    assert done.stdout == "42 x\n"
    assert "✓ Python environment" in done.stderr


def test_a_second_checkout_needs_no_index(checkout: Path, index: Path, tmp_path: Path) -> None:
    call(checkout / "dockyard")
    shutil.rmtree(index)
    shutil.copytree(checkout, tmp_path / "second", ignore=shutil.ignore_patterns(".dockyard"))
    assert call(tmp_path / "second/dockyard").stdout == "42\n"


def test_a_killed_installation_is_healed_by_the_next_call(checkout: Path) -> None:
    process = subprocess.Popen(
        [str(checkout / "dockyard")], start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 60
    while not (checkout / ".dockyard/venv/bin/python").exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert not (checkout / ".dockyard/venv" / bootstrap.MARKER).exists(), "the kill came too late to prove anything"
    assert call(checkout / "dockyard").stdout == "42\n"


def test_two_calls_at_once_make_one_environment(checkout: Path) -> None:
    both = [
        subprocess.Popen([str(checkout / "dockyard")], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    said = [process.communicate(timeout=120) for process in both]
    assert [out for out, _ in said] == ["42\n", "42\n"]
    assert sum("✓ Python environment" in err for _, err in said) == 1
    assert sum("waiting for another dockyard" in err for _, err in said) == 1


def test_a_package_that_cannot_be_had_is_told_in_one_line_and_healed_later(checkout: Path) -> None:
    (checkout / "requirements.txt").write_text("no-such-package==9.9\n")
    done = call(checkout / "dockyard")
    assert done.returncode == 1
    assert "✗ Python environment: pip could not install the packages: ERROR: No matching distribution" in done.stderr
    (checkout / "requirements.txt").write_text(f"{PACKAGE}==1.0\n")
    assert call(checkout / "dockyard").stdout == "42\n"


def test_without_a_recent_python_one_line_says_so(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKYARD_PYTHON", "no-such-python")
    done = call(checkout / "dockyard")
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "Python 3.11 or newer is needed" in done.stderr


def test_without_the_venv_module_the_debian_package_is_named(
    checkout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    python = tmp_path / "python-without-venv"
    python.write_text(f'#!/bin/sh\ncase "$2" in *ensurepip*) exit 1 ;; esac\nexec {sys.executable} "$@"\n')
    python.chmod(0o755)
    monkeypatch.setenv("DOCKYARD_PYTHON", str(python))
    done = call(checkout / "dockyard")
    assert done.returncode == 1
    assert f"apt-get install python3.{sys.version_info.minor}-venv" in done.stderr
