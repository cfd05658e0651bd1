"""The `dockyard` script and the Python environment it makes: quick, healing, the same for every caller."""

import os
import shutil
import signal
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from machine.workdir import CHECKOUT
from tests.support.waiting import wait_until
from toolchain import bootstrap

PACKAGE = "dockyard_test_package"


def make_index(folder: Path) -> Path:
    """Make a package index of one small wheel."""
    folder.mkdir()
    with zipfile.ZipFile(folder / f"{PACKAGE}-1.0-py3-none-any.whl", "w") as wheel:
        info = f"{PACKAGE}-1.0.dist-info"
        wheel.writestr(f"{PACKAGE}.py", "ANSWER = 42\n")
        wheel.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {PACKAGE}\nVersion: 1.0\n")
        wheel.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        wheel.writestr(f"{info}/RECORD", "")
    return folder


def make_checkout(folder: Path) -> Path:
    """Make a small checkout: the script, the bootstrap, one requirement, and an `ops` that prints its arguments."""
    (folder / "ops").mkdir(parents=True)
    shutil.copy(CHECKOUT / "dockyard", folder)
    for package in ("machine", "toolchain"):
        shutil.copytree(CHECKOUT / package, folder / package)
    (folder / "requirements.txt").write_text(f"{PACKAGE}==1.0\n")
    (folder / "ops/__init__.py").touch()
    (folder / "ops/__main__.py").write_text(f"import sys, {PACKAGE} as p\nprint(p.ANSWER, *sys.argv[1:])\n")
    return folder


def use(index: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have pip look in an index of wheels and nowhere else, and `dockyard` use a cache."""
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(index))
    monkeypatch.setenv("DOCKYARD_CACHE", str(cache))
    monkeypatch.setenv("DOCKYARD_PYTHON", sys.executable)


@pytest.fixture
def index(tmp_path: Path) -> Path:
    return make_index(tmp_path / "index")


@pytest.fixture
def checkout(tmp_path: Path, index: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout without an environment yet, and an empty cache."""
    use(index, tmp_path / "cache", monkeypatch)
    return make_checkout(tmp_path / "check out")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, subprocess.CompletedProcess[str]]:
    """A checkout after its first call, and what that call printed."""
    folder = tmp_path_factory.mktemp("made")
    with pytest.MonkeyPatch.context() as monkeypatch:
        use(make_index(folder / "index"), folder / "cache", monkeypatch)
        return folder, call(make_checkout(folder / "check out") / "dockyard", "up", "dev")


@pytest.fixture
def ready(made: tuple[Path, subprocess.CompletedProcess[str]], monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout that has its environment; tests leave that as it is."""
    folder, first = made
    assert first.returncode == 0, first.stderr
    use(folder / "index", folder / "cache", monkeypatch)
    return folder / "check out"


def call(script: Path, *arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(script), *arguments], cwd=cwd, capture_output=True, text=True)


def test_a_fresh_checkout_makes_its_environment_and_runs_the_command(
    made: tuple[Path, subprocess.CompletedProcess[str]],
) -> None:
    _, first = made
    assert first.stdout == "42 up dev\n", first.stderr
    assert "✓ Python environment" in first.stderr


def test_the_second_call_has_nothing_to_make_and_says_nothing(ready: Path) -> None:
    files = [path for path in (ready / ".dockyard").rglob("*") if path.suffix != ".pyc"]
    before = {path: path.stat().st_mtime_ns for path in files if path.is_file()}
    done = call(ready / "dockyard", "status")
    assert (done.stdout, done.stderr) == ("42 status\n", "")
    assert {path: path.stat().st_mtime_ns for path in before} == before, "a quick call makes nothing anew"


def test_it_runs_from_any_folder_and_through_symbolic_links(ready: Path, tmp_path: Path) -> None:
    (tmp_path / "ops").mkdir()  # a folder of the same name must not be taken for ours
    (tmp_path / "ops/__main__.py").write_text("print('somebody else')\n")
    (tmp_path / "one").symlink_to(ready / "dockyard")
    (tmp_path / "two").symlink_to("one")
    assert call(tmp_path / "two", "x", cwd=tmp_path).stdout == "42 x\n"


def test_a_second_checkout_needs_no_index(ready: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "no index"))
    assert call(make_checkout(tmp_path / "second") / "dockyard").stdout == "42\n"


def test_a_changed_or_moved_checkout_makes_its_environment_anew(checkout: Path, tmp_path: Path) -> None:
    (checkout / "requirements.txt").write_text("no-such-package==9.9\n")
    done = call(checkout / "dockyard")
    assert done.returncode == 1
    assert "✗ Python environment: pip could not install the packages: ERROR: No matching distribution" in done.stderr
    (checkout / "requirements.txt").write_text(f"# a comment\n{PACKAGE}==1.0\n")
    done = call(checkout / "dockyard")
    assert (done.stdout, "✓ Python environment" in done.stderr) == ("42\n", True)
    checkout.rename(tmp_path / "moved")
    done = call(tmp_path / "moved/dockyard", "x")
    assert (done.stdout, "✓ Python environment" in done.stderr) == ("42 x\n", True)
    assert call(tmp_path / "moved/dockyard").stderr == ""


def test_a_killed_installation_is_healed_by_the_next_call(checkout: Path) -> None:
    process = subprocess.Popen(
        [str(checkout / "dockyard")], start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    wait_until((checkout / ".dockyard/venv/bin/python").exists, "the environment has its Python")
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
