"""Fetch Debian packages without installing them: one private apt per suite, using the machine's own apt sources."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from machine.lock import locked
from machine.progress import SetupError
from machine.workdir import WorkDir

INDEX_LIFE = 24 * 3600.0
"""Seconds for which a fetched package index is reused; it is also fetched again when a package no longer exists."""

_KEYRINGS = ("debian-archive-keyring.pgp", "debian-archive-keyring.gpg")
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
        config.write_text(
            f'Dir::State "{self.root}";\n'
            f'Dir::State::status "{self.root}/status";\n'
            f'Dir::Cache "{self.root}";\n'
            f'Dir::Etc::sourcelist "{self.root}/sources.list";\n'
            'Dir::Etc::sourceparts "/dev/null";\n'
            'Dir::Etc::preferencesparts "/dev/null";\n'
            'APT::Sandbox::User "";\n'
            'APT::Keep-Downloaded-Packages "true";\n'
            # Disable the hooks of the machine's own apt: these packages are never installed.
            "#clear DPkg::Pre-Invoke;\n#clear DPkg::Pre-Install-Pkgs;\n#clear DPkg::Post-Invoke;\n"
            "#clear APT::Update::Pre-Invoke;\n#clear APT::Update::Post-Invoke;\n"
            "#clear APT::Update::Post-Invoke-Success;\n"
            'Acquire::Languages "none";\n'
            'Acquire::Retries "3";\n'
            'Acquire::IndexTargets::deb::DEP-11::DefaultEnabled "false";\n'
        )
        return {"APT_CONFIG": str(config), "DEBIAN_FRONTEND": "noninteractive"}

    def _update(self, config: dict[str, str], max_age: float) -> None:
        stamp = self.root / "updated"
        if stamp.exists() and time.time() - stamp.stat().st_mtime < max_age:
            return
        run(
            ["apt-get", "update", "-q", "--error-on=any"],
            f"Debian's package index of {self.name} cannot be fetched",
            config,
        )
        stamp.touch()

    def _download(self, config: dict[str, str], names: Sequence[str]) -> list[Package]:
        install = ["apt-get", "install", "-q", "-y", "--no-install-recommends"]
        failure = f"Debian's packages of {self.name} cannot be fetched: {' '.join(names)}"
        planned = run([*install, "--simulate", *names], failure, config)
        run([*install, "--download-only", *names], failure, config)
        packages = []
        for name, version, arch in _INSTALLED.findall(planned):
            deb = self.archives / f"{name}_{version.replace(':', '%3a')}_{arch}.deb"
            packages.append(Package(name, version, deb))
        return packages


def run(command: Sequence[str], failure: str, env: dict[str, str] | None = None) -> str:
    """Run a program to its end and return its standard output.

    Raises SetupError with `failure` followed by the program's last error line.
    """
    try:
        finished = subprocess.run(
            command, env={**os.environ, "LC_ALL": "C", **(env or {})}, capture_output=True, text=True, check=False
        )
    except FileNotFoundError as error:
        raise SetupError(f"{failure}: {command[0]} is not installed") from error
    if finished.returncode < 0:
        # Report the signal's name: the user pressed Ctrl-C, or the kernel ran out of memory.
        signal_name = signal.Signals(-finished.returncode).name
        raise SetupError(f"{failure}: {command[0]} was interrupted ({signal_name})", "Run it again: it goes on.")
    if finished.returncode:
        complaints = [
            line for line in (finished.stderr + finished.stdout).splitlines() if line.startswith(("E:", "error"))
        ]
        last = (complaints or finished.stderr.splitlines() or finished.stdout.splitlines() or ["no word"])[-1]
        if "No space left" in finished.stderr:
            last = "the disk is full"
        raise SetupError(f"{failure}: {last.removeprefix('E: ')}")
    return finished.stdout


def architecture() -> str:
    """Return Debian's name of this machine's architecture; Docker uses the same name for amd64 and arm64."""
    return run(["dpkg", "--print-architecture"], "The image kit needs Debian's dpkg").strip()


def _archive(folder: Path) -> str:
    """Return the address of the Debian archive that the machine's own apt uses.

    Apt reads it from its package lists. When it has none, they are fetched into `folder`, not into the system.
    Raises SetupError without apt or without a Debian archive.
    """
    if not shutil.which("apt-get"):
        raise SetupError(
            "The image kit builds from Debian's packages, and this machine has no apt",
            "Give a registry that can be reached: docker.mirror in the stack file.",
        )
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
        "The image kit builds from Debian's packages, and this machine's apt knows no Debian archive",
        "Give a registry that can be reached: docker.mirror in the stack file.",
    )


def _archives(options: Sequence[str]) -> list[list[str]]:
    """Return label, component and address of each archive for which apt has package lists."""
    fields = "$(LABEL)|$(COMPONENT)|$(REPO_URI)"
    command = ["apt-get", "indextargets", *options, "--format", fields, "Created-By: Packages"]
    return [line.split("|") for line in run(command, "apt's own sources cannot be read").splitlines()]
