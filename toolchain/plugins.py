"""Install the resource plugins that the program needs: the official ones where available, else our stand-ins."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from machine.files import new_folder
from machine.lock import locked
from machine.progress import Progress, Say, SetupError
from machine.workdir import WorkDir
from offline.standins.install import VERSIONS, install_standin
from toolchain.downloads import UnavailableError, download_release, processor, system

Name = Literal["docker", "cloudflare"]
NAMES: tuple[Name, ...] = ("docker", "cloudflare")

CHOICE = "DOCKYARD_PLUGINS"
"""`official` refuses the stand-ins, `standin` refuses downloads; unset: official where available."""


@dataclass(frozen=True)
class Plugin:
    """One plugin, in the version that requirements.txt pins."""

    name: Name

    @property
    def version(self) -> str:
        """The version, the same for the official plugin and its stand-in."""
        return VERSIONS[self.name]

    @property
    def folder(self) -> str:
        """The folder's name below `plugins/`."""
        return f"resource-{self.name}-v{self.version}"

    @property
    def program(self) -> str:
        """The program's name."""
        return f"pulumi-resource-{self.name}"

    @property
    def archive(self) -> str:
        """The official archive's name."""
        return f"{self.program}-v{self.version}-{system()}-{processor()}.tar.gz"


def is_standin(program: Path) -> bool:
    """Tell whether a plugin program is our stand-in, a script, rather than the official binary."""
    with program.open("rb") as file:
        head = file.read(2048)
    return head.startswith(b"#!") and b".standins." in head  # an older checkout's are in another package


def ensure_plugins(work: WorkDir, progress: Progress, *, refresh: bool = False) -> None:
    """Make sure that each plugin is under `work.pulumi_home/plugins`, or on PATH, where Pulumi looks first.

    An installed official plugin is never touched. A stand-in stays until `refresh` tries the official one again, or
    DOCKYARD_PLUGINS=official refuses it. Raises SetupError.
    """
    choice = os.environ.get(CHOICE, "")
    if choice not in ("", "official", "standin"):
        raise SetupError(f"{CHOICE}={choice} is neither official nor standin", f"unset {CHOICE}")
    with progress.step("Plugins") as step, locked(work.root / "plugins.lock", step.say):
        step.outcome = ", ".join(_ensure(work, Plugin(name), choice, step.say, refresh=refresh) for name in NAMES)


def _ensure(work: WorkDir, plugin: Plugin, choice: str, say: Say, *, refresh: bool) -> str:
    title = f"{plugin.name} {plugin.version}"
    home = work.pulumi_home / "plugins" / plugin.folder
    program = home / plugin.program
    installed = "" if not os.access(program, os.X_OK) else "standin" if is_standin(program) else "official"
    if choice == "standin":
        if installed == "official":
            raise SetupError(f"{CHOICE}=standin, but {home} holds the official plugin", f"remove it or unset {CHOICE}")
        return _stand_in(work, plugin)
    if on_path := shutil.which(plugin.program):
        return f"{plugin.name} from PATH ({on_path})"
    if installed == "standin" and not choice and not refresh:
        return _stand_in(work, plugin)
    return title + (" (official)" if installed == "official" else _fetch(work, plugin, choice, say))


def _fetch(work: WorkDir, plugin: Plugin, choice: str, say: Say) -> str:
    """Install the official plugin, or else the stand-in; return which one, in parentheses.

    Raises SetupError when `choice` is `official` and that plugin is not available.
    """
    home = work.pulumi_home / "plugins" / plugin.folder
    try:
        installed = _installed(plugin)
        with new_folder(home) as draft:  # Pulumi does not accept a symbolic link as a plugin
            source = installed or _download(work, plugin, say)
            shutil.copytree(source, draft, copy_function=_link_or_copy, dirs_exist_ok=True)
            shutil.rmtree(home, ignore_errors=True)
    except UnavailableError as error:
        if choice == "official":
            raise SetupError(
                f"the official {plugin.name} plugin is not available: {error}",
                f"install it with `pulumi plugin install resource {plugin.name} {plugin.version}`, or unset {CHOICE}",
            ) from error
        say(f"{error}: using our stand-in for the official {plugin.name} plugin")
        _stand_in(work, plugin)
        return " (stand-in)"
    return f" (official, from {installed})" if installed else " (official)"


def _stand_in(work: WorkDir, plugin: Plugin) -> str:
    # Rewritten each time, which is cheap: it contains the paths of the checkout and its Python.
    install_standin(plugin.name, work.pulumi_home / "plugins", work.venv / "bin/python", work.checkout)
    return f"{plugin.name} {plugin.version} (stand-in)"


def _installed(plugin: Plugin) -> Path | None:
    """Return the plugin's folder in the user's own Pulumi home, None unless it is complete and official."""
    home = Path(os.environ.get("PULUMI_HOME") or Path.home() / ".pulumi")
    folder = home / "plugins" / plugin.folder
    program, partial = folder / plugin.program, folder.with_name(f"{folder.name}.partial")
    complete = os.access(program, os.X_OK) and not partial.exists()
    return folder if complete and not is_standin(program) else None


def _link_or_copy(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:  # another file system
        shutil.copy2(source, target)


def _download(work: WorkDir, plugin: Plugin, say: Say) -> Path:
    repository = f"pulumi-{plugin.name}"
    checksums = f"{repository}_{plugin.version}_checksums.txt"
    target = download_release(work.cache, repository, plugin.version, checksums, f"plugins/{plugin.archive}", say)
    if not os.access(target / plugin.program, os.X_OK):
        raise UnavailableError(f"the official archive of {plugin.name} has no {plugin.program}")
    return target
