"""Paths on this machine: the checkout's own work folder and the cache that all checkouts share."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class WorkDir:
    """The paths of one checkout.

    Files of this checkout alone (state, secrets, engine, plugins) are below `root`. Files that every checkout can
    reuse (built programs, downloaded packages, image archives) are below `cache`, under names that change with their
    content, so that checkouts never conflict.
    """

    checkout: Path = CHECKOUT

    @property
    def root(self) -> Path:
        """The checkout's own work folder; git ignores it."""
        return self.checkout / ".dockyard"

    @property
    def cache(self) -> Path:
        """The machine-wide cache: `DOCKYARD_CACHE`, else `dockyard` under the user's cache folder."""
        if configured := os.environ.get("DOCKYARD_CACHE"):
            return Path(configured)
        base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
        return Path(base) / "dockyard"

    @property
    def venv(self) -> Path:
        """The Python environment that the program and the command run in."""
        return self.root / "venv"

    @property
    def bin(self) -> Path:
        """Programs that the machine itself lacks; first on PATH."""
        return self.root / "bin"

    @property
    def pulumi_home(self) -> Path:
        """`PULUMI_HOME` of this checkout: its plugins and its login to the local backend."""
        return self.root / "pulumi-home"

    @property
    def state(self) -> Path:
        """The local file backend."""
        return self.root / "state"

    @property
    def passphrase_file(self) -> Path:
        """The generated passphrase of the local backend's secrets, mode 0600."""
        return self.root / "passphrase"

    @property
    def salts(self) -> Path:
        """The salt lines of the stacks created on this machine, see `toolchain.stacks`."""
        return self.root / "salts"

    @property
    def docker_host_file(self) -> Path:
        """File with the Docker engine's address, when it is not the default of every client."""
        return self.root / "docker-host"

    @property
    def engine(self) -> Path:
        """The private dockerd: its data, logs and locks."""
        return self.root / "engine"

    @property
    def registry(self) -> Path:
        """The local registry that serves the image kit's images."""
        return self.root / "registry"

    @property
    def logs(self) -> Path:
        """Output of builds and of background processes, for troubleshooting."""
        return self.root / "logs"

    @property
    def machine_file(self) -> Path:
        """Facts about this machine that the program uses, see `settings.machine`."""
        return self.root / "machine.yaml"
