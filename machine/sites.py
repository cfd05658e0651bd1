"""Install Python packages for containers on this machine, because containers may be unable to reach a package index."""

from __future__ import annotations

import hashlib
import shutil
import sys
from pathlib import Path

from machine.files import new_folder
from machine.lock import locked
from machine.processes import run
from machine.progress import Say
from machine.workdir import WorkDir

PYTHON = "3.13"
"""The Python of the `python` image."""

_MACHINES = {"amd64": "x86_64", "arm64": "aarch64"}
_PLATFORMS = ("manylinux_2_28", "manylinux_2_17", "manylinux2014")


def ensure_site(work: WorkDir, requirements: Path, architecture: str, say: Say) -> Path:
    """Return a folder with the packages of a requirements file, for Python 3.13 on Linux; install them if needed.

    The folder is in the shared cache, named by a hash of the file's content. `architecture` is Docker's name (`amd64`).
    Raises SetupError with pip's last error line.
    """
    pins = [line for line in requirements.read_text().splitlines() if line.strip() and not line.startswith("#")]
    key = hashlib.sha256("\n".join([PYTHON, architecture, *pins]).encode()).hexdigest()[:16]
    site = work.cache / "sites" / key
    with locked(site.with_name(f"{key}.lock"), say):
        if not site.exists():
            say(f"installing {len(pins)} packages of {requirements.parent.name}/{requirements.name}")
            with new_folder(site) as draft:
                _install(requirements, architecture, draft)
                shutil.rmtree(draft / "bin", ignore_errors=True)
    return site


def _install(requirements: Path, architecture: str, target: Path) -> None:
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-compile", "--disable-pip-version-check"]
    command += ["--target", str(target), "--only-binary=:all:", "--python-version", PYTHON]
    for platform in _PLATFORMS:
        command += ["--platform", f"{platform}_{_MACHINES.get(architecture, architecture)}"]
    run(
        [*command, "-r", str(requirements)],
        f"pip cannot install {requirements.parent.name}/{requirements.name} for the image",
        "Check that pip reaches its package index on this machine.",
    )
