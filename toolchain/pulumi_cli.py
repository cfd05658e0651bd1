"""Install the Pulumi CLI and its Python support: take it from PATH, download the official one, or build it here."""

from __future__ import annotations

import importlib.metadata
import os
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

from machine.files import write_file, write_link
from machine.lock import locked
from machine.progress import Progress, Say, SetupError
from machine.workdir import WorkDir
from offline.pulumi_build import build_from_modules, modules_key
from toolchain.downloads import UnavailableError, download_release, processor, system

Builder = Callable[[WorkDir, set[str], Path, Say], None]
"""Builds the named programs into a folder."""

PROGRAMS = (
    "pulumi",
    "pulumi-language-python",
    "pulumi-language-python-exec",
    "pulumi-resource-pulumi-python",
)
"""The CLI, the language host for Python programs, the script that runs them, and the host of dynamic providers."""

MINIMUM = (3, 200)
"""The oldest version (major, minor) of a CLI on PATH that is used, see `_from_path`."""

WRAPPER = Path(__file__).with_name("pulumi_without_salt.sh")


def pinned_version() -> str:
    """Return the version to download or build: that of the pinned `pulumi` package, which talks to the CLI."""
    return importlib.metadata.version("pulumi")


def ensure_pulumi(work: WorkDir, progress: Progress, *, refresh: bool = False, build: Builder | None = None) -> None:
    """Make sure that the four programs are in `work.bin`.

    In order: those on PATH when the CLI there is new enough, the official download, a build from Go modules. The first
    choice stays until `refresh` chooses again. `build` replaces the builder (for tests).
    Raises SetupError when none of the three is possible.
    """
    with progress.step("Pulumi CLI") as step, locked(work.root / "pulumi-cli.lock", step.say):
        origin_file = work.bin / "pulumi-from"
        if not refresh and origin_file.exists() and (chosen := _chosen(work)) is not None:
            _link(work, chosen)  # cheap, and installs a changed wrapper
            step.outcome = origin_file.read_text().strip()
            return
        folder, step.outcome = _choose(work, step.say, build or build_from_modules, refresh=refresh)
        _link(work, folder)
        origin_file.write_text(f"{step.outcome}\n")


def _chosen(work: WorkDir) -> Path | None:
    """Return the folder of the programs chosen earlier, None when one of them no longer exists."""
    link = work.bin / PROGRAMS[1]
    folder = link.readlink().parent if link.is_symlink() else None
    return folder if folder and all(os.access(folder / name, os.X_OK) for name in PROGRAMS) else None


def _choose(work: WorkDir, say: Say, build: Builder, *, refresh: bool) -> tuple[Path, str]:
    version = pinned_version()
    installed, on_path = _from_path(work, say)
    missing = set(PROGRAMS) - on_path.keys()
    if not missing:
        return on_path["pulumi"].parent, f"{installed} from PATH ({on_path['pulumi']})"
    origin, source = "built from its Go modules", work.cache / f"pulumi-v{version}-built-{modules_key()}"
    # Use at once what another checkout has built on this machine; try the network again only on a refresh.
    if refresh or not all((source / name).exists() for name in missing):
        try:
            origin, source = "official download", _download(work, version, say)
        except UnavailableError as error:
            if system() != "linux":
                raise SetupError(
                    f"pulumi cannot be downloaded: {error}",
                    "install pulumi (https://www.pulumi.com/docs/install/)",
                ) from error
            names = "Pulumi" if "pulumi" in missing else ", ".join(sorted(missing))
            minutes = " (about 3 minutes)" if "pulumi" in missing else ""
            say(f"{error}: building {names} from its Go modules instead{minutes}")
            _build_missing(work, source, missing, say, build)
    if on_path:
        return _assemble(work, on_path, source), f"{installed} from PATH, completed by {version}, {origin}"
    return source, f"{version}, {origin}"


def _from_path(work: WorkDir, say: Say) -> tuple[str, dict[str, Path]]:
    """Return the version of the CLI on PATH and the programs beside it; nothing when it is too old.

    `environment()` and `ensure_stack` rely on 3.134 (Pulumi takes a stack's secrets manager from its state) and 3.135
    (a new stack's state contains it from the start), see Pulumi's changelog; we require 3.200, a year's margin.
    """
    folders = [part for part in os.environ.get("PATH", "").split(os.pathsep) if part != str(work.bin)]
    program = shutil.which("pulumi", path=os.pathsep.join(folders))
    if program is None:
        return "", {}
    quiet = {**os.environ, "PULUMI_SKIP_UPDATE_CHECK": "true"}
    try:
        command, silent = [program, "version"], subprocess.DEVNULL
        version = subprocess.check_output(command, env=quiet, stderr=silent, text=True, timeout=20).strip()
        major, minor = (int(part) for part in version.removeprefix("v").split(".")[:2])
    except (OSError, subprocess.SubprocessError, ValueError):
        say(f"{program} does not print its version: not used")
        return "", {}
    if (major, minor) < MINIMUM:
        say(f"{program} is {version}, older than {'.'.join(map(str, MINIMUM))}: not used")
        return "", {}
    home = Path(program).resolve().parent
    programs = {name: home / name for name in PROGRAMS if os.access(home / name, os.X_OK)}
    if missing := [name for name in PROGRAMS if name not in programs]:
        say(f"{program} ({version}) has no {', '.join(missing)} beside it")
    return version.removeprefix("v"), programs if "pulumi" in programs else {}


def _download(work: WorkDir, version: str, say: Say) -> Path:
    arch = {"amd64": "x64"}.get(processor(), processor())
    archive = f"sdk/pulumi-v{version}-{system()}-{arch}.tar.gz"
    checksums = f"pulumi-{version}-checksums.txt"
    folder = download_release(work.cache, "pulumi", version, checksums, archive, say) / "pulumi"
    if lacking := [name for name in PROGRAMS if not os.access(folder / name, os.X_OK)]:
        raise UnavailableError(f"the official archive of {version} has no {', '.join(lacking)}")
    return folder


def _build_missing(work: WorkDir, folder: Path, names: set[str], say: Say, build: Builder) -> None:
    """Build the named programs into `folder` unless they exist."""
    with locked(work.cache / "pulumi-built.lock", say):
        if missing := {name for name in names if not (folder / name).exists()}:
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(prefix=".new-", dir=folder.parent) as draft:
                build(work, missing, Path(draft), say)
                for name in missing:
                    (Path(draft) / name).chmod(0o755)
                    (Path(draft) / name).replace(folder / name)


def _assemble(work: WorkDir, on_path: dict[str, Path], source: Path) -> Path:
    """Copy programs of two origins into one folder: the CLI warns at every command when its host is elsewhere."""
    folder = work.root / "pulumi-cli"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for name in PROGRAMS:
        shutil.copy2(on_path.get(name, source / name), folder / name)
    return folder


def _link(work: WorkDir, folder: Path) -> None:
    """Fill `work.bin`: a wrapper for the CLI, and symbolic links to the other programs."""
    for name in PROGRAMS[1:]:
        write_link(work.bin / name, folder / name)
    command = shlex.join(["sh", *map(str, (WRAPPER, folder / "pulumi", work.checkout, work.root))])
    write_file(work.bin / "pulumi", f'#!/bin/sh\nexec {command} "$@"\n', 0o755)
