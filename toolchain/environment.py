"""What plain `pulumi` and `docker` commands need in their environment, and the backend that keeps their state."""

from __future__ import annotations

import os
import secrets
import tempfile
from pathlib import Path

import yaml

from toolchain.progress import SetupError
from toolchain.workdir import WorkDir

CHECKOUT_VARIABLE = "DOCKYARD_CHECKOUT"
"""Names the checkout whose `env` a shell has taken in."""

FILES = "file://"


def forget_other_checkout(work: WorkDir) -> None:
    """Drop from this process's environment what `./dockyard env` of another checkout has put into the shell.

    Else this checkout's program would be run on the other's state and engine.
    """
    other_checkout = os.environ.pop(CHECKOUT_VARIABLE, "")
    if not other_checkout or Path(other_checkout) == work.checkout:
        return
    theirs = WorkDir(Path(other_checkout))
    exported = {
        "PULUMI_HOME": str(theirs.pulumi_home),
        "PULUMI_BACKEND_URL": project_backend(theirs) or own_backend(theirs),
        "PULUMI_CONFIG_PASSPHRASE_FILE": str(theirs.passphrase_file),
        "DOCKER_HOST": theirs.docker_host_file.read_text().strip() if theirs.docker_host_file.exists() else "",
    }
    for name, value in exported.items():
        if os.environ.get(name) == value:
            del os.environ[name]
    paths = os.environ.get("PATH", "").split(os.pathsep)
    os.environ["PATH"] = os.pathsep.join(part for part in paths if not part.startswith(f"{other_checkout}/.dockyard/"))


def own_backend(work: WorkDir) -> str:
    """Return the address of the checkout's own file backend."""
    return f"{FILES}{work.state}"


def project_backend(work: WorkDir) -> str:
    """Return the backend that Pulumi.yaml names (`backend: {url: …}`), "" where it names none."""
    file = work.checkout / "Pulumi.yaml"
    project = yaml.safe_load(file.read_text()) if file.exists() else None
    return str(((project or {}).get("backend") or {}).get("url") or "")


def backend_url(work: WorkDir) -> str:
    """Return where the state is kept, as Pulumi itself decides it, and by default in the checkout.

    PULUMI_BACKEND_URL, else `backend.url` in Pulumi.yaml, else the checkout's own files.
    """
    return absolute(work, os.environ.get("PULUMI_BACKEND_URL") or project_backend(work) or own_backend(work))


def absolute(work: WorkDir, url: str) -> str:
    """Return a backend's address with a path of files made absolute: the engine takes one from where it is started."""
    if not url.startswith(FILES):
        return url
    path, mark, options = url.removeprefix(FILES).partition("?")
    return f"{FILES}{work.checkout / Path(path).expanduser()}{mark}{options}"


def uses_own_backend(work: WorkDir) -> bool:
    """Say whether the state lies in the checkout's own backend, rather than in one that somebody has set."""
    return backend_url(work) == own_backend(work)


def environment(work: WorkDir) -> dict[str, str]:
    """Return the variables that `./dockyard env` exports: additions to the person's own environment, not all of it.

    A backend or passphrase that the person has set stays; our passphrase is never used for somebody else's backend.
    """
    # Its own folders first, once each, however often the result is exported.
    tool_folders = [str(work.bin), str(work.venv / "bin")]
    path = tool_folders + [
        part for part in os.environ.get("PATH", os.defpath).split(os.pathsep) if part not in tool_folders
    ]
    variables = {
        "PATH": os.pathsep.join(path),
        "PULUMI_HOME": str(work.pulumi_home),
        "PULUMI_BACKEND_URL": backend_url(work),
        "PULUMI_SKIP_UPDATE_CHECK": "true",
        # Else the engine tries to download a plugin for every Python package of a provider, at every command.
        "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true",
        # A stack's secrets are opened by what its state says when its stack file carries no salt.
        "PULUMI_FALLBACK_TO_STATE_SECRETS_MANAGER": "true",
        # Pulumi's Python host runs `pip list` before every preview: it need not look for a newer pip each time.
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        # Some machines switch Python's cache of compiled modules off; a preview would compile everything anew.
        "PYTHONDONTWRITEBYTECODE": "",
        CHECKOUT_VARIABLE: str(work.checkout),
    }
    if uses_own_backend(work) and "PULUMI_CONFIG_PASSPHRASE" not in os.environ:
        variables["PULUMI_CONFIG_PASSPHRASE_FILE"] = os.environ.get(
            "PULUMI_CONFIG_PASSPHRASE_FILE", str(work.passphrase_file)
        )
    if work.docker_host_file.exists():
        variables["DOCKER_HOST"] = work.docker_host_file.read_text().strip()
    return variables


def full_environment(work: WorkDir) -> dict[str, str]:
    """Return the whole environment for a program that we start: this process's own with `environment()` on top."""
    return {**os.environ, **environment(work)}


def ensure_backend(work: WorkDir) -> None:
    """Make the state folder and the passphrase of its secrets (mode 0600) unless the person works on another backend.

    Raises SetupError when there is state but its passphrase is lost: a new one would not open it.
    """
    if not uses_own_backend(work):
        return
    work.root.mkdir(parents=True, exist_ok=True)
    work.pulumi_home.mkdir(parents=True, exist_ok=True)
    work.state.mkdir(mode=0o700, exist_ok=True)
    if (
        work.passphrase_file.exists()
        or {"PULUMI_CONFIG_PASSPHRASE", "PULUMI_CONFIG_PASSPHRASE_FILE"} & os.environ.keys()
    ):
        return
    if any((work.state / ".pulumi/stacks").rglob("*.json")):
        raise SetupError(
            f"{work.passphrase_file} is gone, and the secrets in {work.state} cannot be opened without it",
            "put it back from a backup, or move the state folder away and start anew",
        )
    handle, draft = tempfile.mkstemp(prefix=".passphrase-", dir=work.root)  # mode 0600
    with os.fdopen(handle, "w") as file:
        file.write(secrets.token_urlsafe(32))
        file.flush()
        os.fsync(file.fileno())
    try:
        os.link(draft, work.passphrase_file)  # whole at once, and never over one that is there
    except FileExistsError:
        pass  # another process was faster: its passphrase counts
    finally:
        Path(draft).unlink()
