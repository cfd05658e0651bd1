"""Fetch Debian packages without installing them: one private apt per suite, using the machine's own apt sources."""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from machine.lock import locked
from machine.processes import run
from machine.progress import SetupError
from machine.workdir import WorkDir

INDEX_LIFE = 24 * 3600.0
"""Seconds for which a fetched package index is reused; it is also fetched again when a package no longer exists."""

_KEYRINGS = ("debian-archive-keyring.pgp", "debian-archive-keyring.gpg")
_APT_CONFIG = """
Dir::State "{root}";
Dir::State::status "{root}/status";
Dir::Cache "{root}";
Dir::Etc::sourcelist "{root}/sources.list";
Dir::Etc::sourceparts "/dev/null";
Dir::Etc::preferencesparts "/dev/null";
APT::Sandbox::User "";
APT::Keep-Downloaded-Packages "true";
Acquire::Languages "none";
Acquire::Retries "3";
Acquire::IndexTargets::deb::DEP-11::DefaultEnabled "false";
// Disable the hooks of the machine's own apt: these packages are never installed.
#clear DPkg::Pre-Invoke;
#clear DPkg::Pre-Install-Pkgs;
#clear DPkg::Post-Invoke;
#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
"""
_REMEDY = "Configure a registry that can be reached: docker.mirror in the stack file."
_INSTALLED = re.compile(r"^Inst (\S+) \((\S+) .*\[(\w+)\]\)", re.MULTILINE)


@dataclass(frozen=True)
class Package:
    """A fetched package: its name, its Debian version and the .deb file."""

    name: str
    version: str
    deb: Path

    @property
    def upstream(self) -> str:
        """The upstream version: without Debian's epoch, repacking suffix and revision."""
        return re.split(r"[+~-]", self.version.split(":")[-1])[0]

    def unpack(self, tree: Path) -> None:
        """Unpack the package's files into a folder without running its maintainer scripts."""
        tree.mkdir(parents=True, exist_ok=True)
        run(["dpkg-deb", "-x", str(self.deb), str(tree)], f"{self.deb.name} cannot be unpacked")


class Suite:
    """One Debian suite (`trixie`, `sid`), independent of the release that the machine runs.

    The mirror and its keys are those of the machine's own apt; the index and the packages are in the shared cache.
    """

    def __init__(self, work: WorkDir, name: str) -> None:
        self.name = name
        self.root = work.cache / "apt" / name
        self.archives = self.root / "archives"

    def fetch(self, names: Sequence[str], without: Sequence[str] = ()) -> list[Package]:
        """Fetch packages with all their dependencies, except those that `without` names.

        Raises SetupError when apt is missing, knows no Debian archive, or cannot reach it.
        """
        for folder in (self.root / "lists" / "partial", self.archives / "partial"):
            folder.mkdir(parents=True, exist_ok=True)
        # Other checkouts and threads use the same folder. They are quick, so the wait is not announced.
        with locked(self.root / "lock", lambda _: None):
            config = self._configure(without)
            self._update(config, INDEX_LIFE)
            try:
                return self._download(config, names)
            except SetupError:
                # An old index may name packages that the archive has replaced since.
                self._update(config, 0)
                return self._download(config, names)

    def _configure(self, without: Sequence[str]) -> dict[str, str]:
        """Write the private apt configuration; return the environment variables that make apt read it."""
        keyring = next((p for k in _KEYRINGS if (p := Path("/usr/share/keyrings") / k).exists()), None)
        signed = f"[signed-by={keyring}] " if keyring else ""
        archive = _archive(self.root / "machine")
        (self.root / "sources.list").write_text(f"deb {signed}{archive} {self.name} main\n")
        # Register the packages of `without` as installed, in a version that satisfies any dependency.
        (self.root / "status").write_text(
            "".join(
                f"Package: {name}\nStatus: install ok installed\nArchitecture: {architecture()}\n"
                f"Multi-Arch: foreign\nVersion: 99:999\nMaintainer: nobody\nDescription: left out\n\n"
                for name in without
            )
        )
        config = self.root / "apt.conf"
        config.write_text(_APT_CONFIG.format(root=self.root))
        return {"APT_CONFIG": str(config), "DEBIAN_FRONTEND": "noninteractive"}

    def _update(self, config: dict[str, str], max_age: float) -> None:
        stamp = self.root / "updated"
        if stamp.exists() and time.time() - stamp.stat().st_mtime < max_age:
            return
        failure = f"Debian's package index of {self.name} cannot be fetched"
        run(["apt-get", "update", "-q", "--error-on=any"], failure, env=config)
        stamp.touch()

    def _download(self, config: dict[str, str], names: Sequence[str]) -> list[Package]:
        install = ["apt-get", "install", "-q", "-y", "--no-install-recommends"]
        failure = f"Debian's packages of {self.name} cannot be fetched: {' '.join(names)}"
        planned = run([*install, "--simulate", *names], failure, env=config)
        run([*install, "--download-only", *names], failure, env=config)
        return [
            Package(name, version, self.archives / f"{name}_{version.replace(':', '%3a')}_{arch}.deb")
            for name, version, arch in _INSTALLED.findall(planned)
        ]


@cache
def architecture() -> str:
    """Return Debian's name of this machine's architecture; Docker uses the same name for amd64 and arm64."""
    return run(["dpkg", "--print-architecture"], "The image kit needs Debian's dpkg").strip()


def _archive(folder: Path) -> str:
    """Return the address of the Debian archive that the machine's own apt uses.

    Apt reads it from its package lists. When it has none, they are fetched into `folder`, not into the system.
    Raises SetupError without apt or without a Debian archive.
    """
    if not shutil.which("apt-get"):
        raise SetupError("The image kit builds from Debian's packages, and this machine has no apt", _REMEDY)
    archives = _archives([])
    if not archives:
        options = ["-o", f"Dir::State::lists={folder}"]
        (folder / "partial").mkdir(parents=True, exist_ok=True)
        run(["apt-get", "update", "-q", *options], "Package lists cannot be fetched")
        archives = _archives(options)
    for label, component, address in archives:
        if (label, component) == ("Debian", "main"):
            return address
    raise SetupError(
        "The image kit builds from Debian's packages, and this machine's apt has no Debian archive", _REMEDY
    )


def _archives(options: Sequence[str]) -> list[list[str]]:
    """Return label, component and address of each archive for which apt has package lists."""
    fields = "$(LABEL)|$(COMPONENT)|$(REPO_URI)"
    command = ["apt-get", "indextargets", *options, "--format", fields, "Created-By: Packages"]
    return [line.split("|") for line in run(command, "apt's own sources cannot be read").splitlines()]
