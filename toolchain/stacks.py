"""Stacks in the backend, made without leaving a trace in the stack files that git keeps."""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

from toolchain.environment import uses_own_backend
from toolchain.lock import locked
from toolchain.progress import SetupError
from toolchain.workdir import WorkDir


def ensure_stack(work: WorkDir, stack: str, env: Mapping[str, str]) -> None:
    """Make the stack in the backend unless it is there. `env` is the whole environment to run `pulumi` in.

    `pulumi stack init` writes a salt into the stack file, which git would see as a change, and which means nothing on
    any other machine. So it runs in a throwaway folder: the salt is kept in the state, from where the engine takes it
    (PULUMI_FALLBACK_TO_STATE_SECRETS_MANAGER), and noted in `work.salts`, so that our `pulumi` takes it out of the
    stack file whenever the engine writes it there. A stack file that carries a salt or another secrets provider
    (a team's) is used as it is.
    Raises SetupError with the engine's last line.
    """
    if uses_own_backend(work) and (work.state / f".pulumi/stacks/dockyard/{stack}.json").exists():
        return
    with locked(work.root / "stacks.lock", lambda _: None), tempfile.TemporaryDirectory() as folder:
        if stack in _known(work, env):
            return
        stack_file = work.checkout / f"Pulumi.{stack}.yaml"
        own = stack_file.exists() and any(
            line.startswith(("encryptionsalt:", "secretsprovider:", "encryptedkey:"))
            for line in stack_file.read_text().splitlines()
        )
        shutil.copy(work.checkout / "Pulumi.yaml", folder)
        if own:
            shutil.copy(stack_file, folder)
        _run(["stack", "init", stack, "--no-select", "--non-interactive"], Path(folder), env)
        if not own:
            written = (Path(folder) / stack_file.name).read_text().splitlines()
            with work.salts.open("a") as salts:
                salts.writelines(f"{line}\n" for line in written if line.startswith("encryptionsalt:"))


def _known(work: WorkDir, env: Mapping[str, str]) -> set[str]:
    listed = json.loads(_run(["stack", "ls", "--json", "--non-interactive"], work.checkout, env))
    return {entry["name"].rsplit("/", 1)[-1] for entry in listed}


def _run(arguments: list[str], folder: Path, env: Mapping[str, str]) -> str:
    finished = subprocess.run(
        ["pulumi", *arguments], cwd=folder, env=dict(env), capture_output=True, text=True, check=False
    )
    if finished.returncode:
        lines = [line for line in finished.stderr.splitlines() if line.strip()] or ["it said nothing"]
        raise SetupError(f"pulumi {' '.join(arguments[:2])} failed: {lines[-1]}", "the line above is the engine's own")
    return finished.stdout
