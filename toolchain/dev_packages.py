"""Install the packages that only `./dockyard test` needs, on first use."""

from __future__ import annotations

from machine.lock import locked
from machine.progress import Progress, SetupError
from machine.workdir import WorkDir
from toolchain.bootstrap import BootstrapError, install, requirements_key


def ensure_dev_packages(work: WorkDir, progress: Progress) -> None:
    """Install requirements-dev.txt into the environment unless that is done already.

    Raises SetupError when pip cannot get or install a package.
    """
    requirements = work.checkout / "requirements-dev.txt"
    marker = work.venv / "installed-dev-requirements"
    key = requirements_key(requirements)
    if marker.exists() and marker.read_text() == key:
        return
    with progress.step("Test packages") as step, locked(work.root / "venv.lock", step.say):
        try:
            install(work.venv / "bin/python", requirements, work.cache, work.logs / "pip-dev.log", step.say)
        except BootstrapError as error:
            raise SetupError(str(error), "check pip's configuration and network, then run it again") from error
        marker.write_text(key)
        step.outcome = "installed"
