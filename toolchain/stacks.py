"""Create stacks in the backend without changing the stack files that are in git."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

from machine.lock import locked
from machine.processes import run
from machine.progress import SetupError
from machine.workdir import WorkDir
from toolchain.environment import PASSPHRASE_VARIABLES, backend_url, uses_local_backend

SECRETS_KEYS = ("encryptionsalt:", "secretsprovider:", "encryptedkey:")
PASSPHRASES = ("", "default", "passphrase")
"""Values of `secretsprovider` that mean a passphrase."""


def ensure_stack(work: WorkDir, stack: str, env: Mapping[str, str]) -> None:
    """Create the stack in the backend unless it exists. `env` is the complete environment to run `pulumi` in.

    `pulumi stack init` writes a salt into the stack file, which git would show as a change and which is useless on any
    other machine. It therefore runs in a temporary folder. Pulumi takes the salt from the state
    (PULUMI_FALLBACK_TO_STATE_SECRETS_MANAGER); `work.salts` records it, so that our `pulumi` wrapper removes it from
    the stack file whenever Pulumi writes it there. A stack file with a salt or another secrets provider (a team's) is
    used unchanged. To one that names a KMS key (`secretsprovider:`) without an `encryptedkey:`, Pulumi
    adds that line: it is the same on every machine and belongs in git.
    Raises SetupError when nothing is configured to decrypt the secrets, or with the last line of Pulumi's error.
    """
    if uses_local_backend(work) and (work.state / f".pulumi/stacks/dockyard/{stack}.json").exists():
        return
    stack_file = work.checkout / f"Pulumi.{stack}.yaml"
    secrets = _secrets_settings(stack_file)
    provider = secrets.get("secretsprovider", "").partition(" #")[0].strip("\"' ")
    url = backend_url(work)
    # Pulumi Cloud (https://) manages its own keys.
    if provider in PASSPHRASES and not url.startswith("http") and not PASSPHRASE_VARIABLES & env.keys():
        raise SetupError(
            f"no passphrase or key is configured for the secrets of the state at {url.partition('?')[0]}",
            f"set PULUMI_CONFIG_PASSPHRASE_FILE, or configure a key in Pulumi.{stack}.yaml: docs/state.md",
        )
    with locked(work.root / "stacks.lock", lambda _: None), tempfile.TemporaryDirectory() as folder:
        stacks = json.loads(_run(["stack", "ls", "--json", "--non-interactive"], work.checkout, env))
        if stack in {entry["name"].rsplit("/", 1)[-1] for entry in stacks}:
            return
        new_file = Path(folder) / stack_file.name
        shutil.copy(work.checkout / "Pulumi.yaml", folder)
        if secrets:
            shutil.copy(stack_file, folder)
        options = [f"--secrets-provider={provider}"] if provider else []
        _run(["stack", "init", stack, "--no-select", "--non-interactive", *options], Path(folder), env)
        if not secrets:
            with work.salts.open("a") as salts:
                salts.writelines(f"{line}\n" for line in _lines(new_file) if line.startswith("encryptionsalt:"))
        elif "encryptedkey" not in secrets and (key := _secrets_settings(new_file).get("encryptedkey")):
            lines = stack_file.read_text().splitlines()
            at = next(number for number, line in enumerate(lines) if line.startswith("secretsprovider:"))
            lines.insert(at + 1, f"encryptedkey: {key}")
            stack_file.write_text("\n".join(lines) + "\n")


def _secrets_settings(stack_file: Path) -> dict[str, str]:
    """Return the secrets settings of a stack file (salt, provider, key) as written there."""
    pairs = (line.partition(":")[::2] for line in _lines(stack_file) if line.startswith(SECRETS_KEYS))
    return {key: value.strip() for key, value in pairs}


def _lines(file: Path) -> list[str]:
    return file.read_text().splitlines() if file.exists() else []


def _run(arguments: list[str], folder: Path, env: Mapping[str, str]) -> str:
    failure = f"pulumi {' '.join(arguments[:2])} failed"
    return run(["pulumi", *arguments], failure, "the line above is Pulumi's own message", cwd=folder, env=env)
