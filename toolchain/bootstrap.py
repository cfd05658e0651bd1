"""Create the Python environment of a checkout. It runs before any package is installed: standard library only.

`dockyard` calls this when the environment is missing or out of date. Packages are downloaded once per machine into a
wheelhouse in the cache, named by a hash of the requirements, and installed from there: a second checkout needs no
network. The marker file is written last, so after a kill the next call starts over.
"""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from machine.files import new_folder
from machine.lock import locked
from machine.workdir import WorkDir

MARKER = "installed-requirements.txt"
"""Copy of requirements.txt inside the environment; `dockyard` compares the two."""
HOME = "checkout"
"""File with the checkout's path: an environment stops working when its folder is moved."""

Say = Callable[[str], None]


class BootstrapError(Exception):
    """The environment cannot be created; the message is one line with the reason and the remedy."""


def requirement_lines(path: Path) -> Iterator[str]:
    """Yield the lines of a requirements file and of the files that it includes with `-r`."""
    for line in path.read_text().splitlines():
        if line.startswith("-r "):
            yield from requirement_lines(path.parent / line[3:].strip())
        elif line.strip() and not line.startswith("#"):
            yield line.strip()


def requirements_key(path: Path) -> str:
    """Return a hash of the requirements, the Python version and the machine type."""
    parts = [sys.implementation.cache_tag or "", platform.system(), platform.machine()]
    parts += sorted(set(requirement_lines(path)))
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:20]


def _run_pip(python: Path, arguments: list[str], log: Path) -> None:
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("w") as output:
        command = [str(python), "-m", "pip", "--disable-pip-version-check", *arguments]
        code = subprocess.run(command, stdout=output, stderr=subprocess.STDOUT, check=False).returncode
    if code:
        lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
        errors = [line for line in lines if line.startswith("ERROR")] or lines[-1:] or ["pip printed nothing"]
        raise BootstrapError(f"pip could not install the packages: {errors[-1]} (full log: {log})")


def install(python: Path, requirements: Path, cache: Path, log: Path, say: Say) -> None:
    """Install `requirements` from the wheelhouse into the environment of `python`; fill the wheelhouse first if needed.

    Raises BootstrapError with pip's last error line.
    """
    wheels = cache / "wheels" / requirements_key(requirements)
    if not wheels.is_dir():
        say("downloading the packages")
        with new_folder(wheels) as draft:
            # `wheel`, not `download`: a package without a wheel is built here once, not again in every checkout.
            _run_pip(python, ["wheel", "--wheel-dir", str(draft), "-r", str(requirements)], log)
    say("installing the packages")
    offline = ["--no-index", "--no-deps", "--no-compile", "--find-links", str(wheels)]
    try:
        _run_pip(python, ["install", *offline, *map(str, sorted(wheels.glob("*.whl")))], log)
    except BootstrapError:
        shutil.rmtree(wheels, ignore_errors=True)  # damaged wheels must not fail every later call
        raise


def is_current(work: WorkDir) -> bool:
    """Tell whether the environment is complete, belongs to this folder and matches requirements.txt."""
    try:
        same_requirements = (work.venv / MARKER).read_bytes() == (work.checkout / "requirements.txt").read_bytes()
        same_folder = (work.venv / HOME).read_text().strip() == str(work.checkout)
        return same_requirements and same_folder and os.access(work.venv / "bin/python", os.X_OK)
    except OSError:
        return False


def make_environment(work: WorkDir, say: Say) -> None:
    """Create `.dockyard/venv` from scratch. Raises BootstrapError."""
    venv, requirements = work.venv, work.checkout / "requirements.txt"
    say(f"creating it with Python {platform.python_version()}")
    shutil.rmtree(venv, ignore_errors=True)
    # Use the versioned name (python3.11, not python3): when the system switches to another Python, the link breaks and
    # the environment is created again, instead of searching the wrong version's site-packages.
    python = os.path.realpath(sys.executable)
    finished = subprocess.run([python, "-m", "venv", str(venv)], capture_output=True, text=True, check=False)
    if finished.returncode:
        last = (finished.stdout + finished.stderr).strip().splitlines()[-1:]
        raise BootstrapError(f"python -m venv failed: {' '.join(last)}")
    install(venv / "bin/python", requirements, work.cache, work.logs / "pip.log", say)
    packages = next(venv.glob("lib/python3.*/site-packages"))
    (packages / "dockyard.pth").write_text(f"{work.checkout}\n")  # so that `-m ops` is found from any folder
    (venv / HOME).write_text(f"{work.checkout}\n")
    shutil.copyfile(requirements, venv / MARKER)


def main() -> int:
    """Bring the environment up to date, one process at a time; return the exit code."""
    started = time.monotonic()

    def say(text: str) -> None:
        print(f"  · Python environment: {text}", file=sys.stderr, flush=True)  # noqa: T201 - rich is not there yet

    work = WorkDir()
    try:
        with locked(work.root / "venv.lock", say):
            if is_current(work):
                return 0
            make_environment(work, say)
    except (BootstrapError, OSError) as error:
        print(f"✗ Python environment: {error}", file=sys.stderr)  # noqa: T201 - rich is not there yet
        return 1
    took = time.monotonic() - started
    print(f"✓ Python environment: {platform.python_version()} ({took:.1f} s)", file=sys.stderr)  # noqa: T201 - rich is not there yet
    return 0


if __name__ == "__main__":
    sys.exit(main())
