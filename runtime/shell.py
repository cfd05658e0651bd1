"""Shell scripts that run inside other people's images, and the command lines that start two of them.

They need a POSIX shell in the image. They contain no secret; the workload's user must be able to read them.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from runtime.secret_files import SECRETS_FOLDER, variable_name
from runtime.spec import HealthCheck
from settings.schedule import expand

SCHEDULE_FILE = "schedule.sh"
SECRETS_FILE = "with-secrets.sh"
SCRIPTS = Path(__file__).parent / "scripts"
_SHELL = "/bin/sh"


def script(name: str, folder: Path = SCRIPTS) -> str:
    """Return the text of a script, for a FileSet."""
    return (folder / name).read_text()


def with_secrets(names: Sequence[str], command: Sequence[str], script: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return entry point and command that start `command` with each secret in a variable: `app-key` in APP_KEY.

    `script` is the wrapper's path in the container. `docker inspect` shows names and paths, but no values. The wrapper
    exits with 78 where a secret's file cannot be read.
    """
    files = (f"{variable_name(name)}={SECRETS_FOLDER}/{name}" for name in names)
    return (_SHELL, script), (*files, "--", *command)


def scheduled(
    schedule: str, command: Sequence[str], script: str
) -> tuple[tuple[str, ...], tuple[str, ...], HealthCheck]:
    """Return entry point, command and health check of a container that runs `command` on a schedule.

    `script` is the scheduler's path in the container, which needs a writable /tmp. The container is unhealthy from a
    failed run until the next successful one. Two containers with the same schedule would both run the command, so the
    old one must be deleted before the new one is created.
    """
    check = HealthCheck((_SHELL, script, "--health"), interval=10, timeout=5, retries=2, start_period=5)
    return (_SHELL, script), (expand(schedule), "--", *command), check
