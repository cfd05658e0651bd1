"""Environment variables that plain `pulumi` and `docker` commands need, and the backend that stores the state."""

from __future__ import annotations

import os
import secrets
import tempfile
from pathlib import Path

import yaml

from machine.progress import SetupError
from machine.workdir import WorkDir

CHECKOUT_VARIABLE = "DOCKYARD_CHECKOUT"
"""Environment variable with the checkout whose `./dockyard env` the shell has evaluated."""

FILES = "file://"
PASSPHRASE_VARIABLES = {"PULUMI_CONFIG_PASSPHRASE", "PULUMI_CONFIG_PASSPHRASE_FILE"}


def discard_foreign_environment(work: WorkDir) -> None:
    """Remove from this process's environment the variables that `./dockyard env` of another checkout exported.

    Otherwise this checkout's program would run on the other checkout's state and Docker engine.
    """
    other_checkout = os.environ.pop(CHECKOUT_VARIABLE, "")
    if not other_checkout or Path(other_checkout) == work.checkout:
        return
    theirs = WorkDir(Path(other_checkout))
    exported = {
        "PULUMI_HOME": str(theirs.pulumi_home),
        "PULUMI_BACKEND_URL": project_backend(theirs) or local_backend(theirs),
        "PULUMI_CONFIG_PASSPHRASE_FILE": str(theirs.passphrase_file),
        "DOCKER_HOST": theirs.docker_host_file.read_text().strip() if theirs.docker_host_file.exists() else "",
    }
    for name, value in exported.items():
        if os.environ.get(name) == value:
            del os.environ[name]
    paths = os.environ.get("PATH", "").split(os.pathsep)
    os.environ["PATH"] = os.pathsep.join(part for part in paths if not part.startswith(f"{theirs.root}/"))


def local_backend(work: WorkDir) -> str:
    """Return the address of the checkout's own file backend."""
    return f"{FILES}{work.state}"


def project_backend(work: WorkDir) -> str:
    """Return the backend that Pulumi.yaml names (`backend: {url: …}`), "" when it names none."""
    file = work.checkout / "Pulumi.yaml"
    project = yaml.safe_load(file.read_text()) if file.exists() else None
    return str(((project or {}).get("backend") or {}).get("url") or "")


def backend_url(work: WorkDir) -> str:
    """Return the backend's address, chosen as Pulumi does, with a file backend in the checkout as default.

    In order: PULUMI_BACKEND_URL, `backend.url` in Pulumi.yaml, the checkout's own file backend.
    """
    return absolute(work, os.environ.get("PULUMI_BACKEND_URL") or project_backend(work) or local_backend(work))


def absolute(work: WorkDir, url: str) -> str:
    """Return a backend's address with a `file://` path made absolute: Pulumi resolves it from its working directory."""
    if not url.startswith(FILES):
        return url
    path, mark, options = url.removeprefix(FILES).partition("?")
    return f"{FILES}{work.checkout / Path(path).expanduser()}{mark}{options}"


def uses_local_backend(work: WorkDir) -> bool:
    """Tell whether the state is in the checkout's own file backend rather than in a configured one."""
    return backend_url(work) == local_backend(work)


def environment(work: WorkDir) -> dict[str, str]:
    """Return the variables that `./dockyard env` exports, in addition to the user's own environment.

    A backend or passphrase that the user has set stays; our passphrase is never used for another backend.
    """
    # Our own folders come first, once each, however often the result is exported.
    tool_folders = [str(work.bin), str(work.venv / "bin")]
    paths = os.environ.get("PATH", os.defpath).split(os.pathsep)
    variables = {
        "PATH": os.pathsep.join([*tool_folders, *(part for part in paths if part not in tool_folders)]),
        "PULUMI_HOME": str(work.pulumi_home),
        "PULUMI_BACKEND_URL": backend_url(work),
        "PULUMI_SKIP_UPDATE_CHECK": "true",
        # Otherwise Pulumi tries to download a plugin for every provider's Python package, at every command.
        "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true",
        # Decrypt a stack's secrets with the secrets manager in its state when its stack file has no salt.
        "PULUMI_FALLBACK_TO_STATE_SECRETS_MANAGER": "true",
        # Pulumi's Python language host runs `pip list` before every preview: skip pip's version check.
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        # Some machines disable Python's bytecode cache; then every preview would compile all modules again.
        "PYTHONDONTWRITEBYTECODE": "",
        CHECKOUT_VARIABLE: str(work.checkout),
    }
    if uses_local_backend(work) and "PULUMI_CONFIG_PASSPHRASE" not in os.environ:
        passphrase_file = os.environ.get("PULUMI_CONFIG_PASSPHRASE_FILE", str(work.passphrase_file))
        variables["PULUMI_CONFIG_PASSPHRASE_FILE"] = passphrase_file
    if work.docker_host_file.exists():
        variables["DOCKER_HOST"] = work.docker_host_file.read_text().strip()
    return variables


def full_environment(work: WorkDir) -> dict[str, str]:
    """Return the complete environment for a program to start: this process's environment updated by `environment()`."""
    return {**os.environ, **environment(work)}


def ensure_backend(work: WorkDir) -> None:
    """Create the state folder and the passphrase of its secrets (mode 0600), unless another backend is configured.

    Raises SetupError when there is state but its passphrase is lost: a new one could not decrypt its secrets.
    """
    if not uses_local_backend(work):
        return
    work.root.mkdir(parents=True, exist_ok=True)
    work.pulumi_home.mkdir(parents=True, exist_ok=True)
    work.state.mkdir(mode=0o700, exist_ok=True)
    if work.passphrase_file.exists() or PASSPHRASE_VARIABLES & os.environ.keys():
        return
    if any((work.state / ".pulumi/stacks").rglob("*.json")):
        raise SetupError(
            f"{work.passphrase_file} is missing, and the secrets in {work.state} cannot be decrypted without it",
            "restore it from a backup, or move the state folder away and start again",
        )
    handle, draft = tempfile.mkstemp(prefix=".passphrase-", dir=work.root)  # mode 0600
    with os.fdopen(handle, "w") as file:
        file.write(secrets.token_urlsafe(32))
        file.flush()
        os.fsync(file.fileno())
    try:
        os.link(draft, work.passphrase_file)  # atomic, and never overwrites an existing file
    except FileExistsError:
        pass  # another process was faster: use its passphrase
    finally:
        Path(draft).unlink()
