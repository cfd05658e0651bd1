"""Paths on this machine: the checkout's own work folder and the cache that all checkouts share."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parent.parent


class _BelowRoot:
    """A path below the work folder of a checkout."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __get__(self, work: WorkDir, _: type[WorkDir]) -> Path:
        return work.root / self.name


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

    venv = _BelowRoot("venv")
    """The Python environment that the program and the command run in."""

    bin = _BelowRoot("bin")
    """Programs that the machine itself lacks; first on PATH."""

    pulumi_home = _BelowRoot("pulumi-home")
    """`PULUMI_HOME` of this checkout: its plugins and its login to the local backend."""

    state = _BelowRoot("state")
    """The local file backend."""

    passphrase_file = _BelowRoot("passphrase")
    """The generated passphrase of the local backend's secrets, mode 0600."""

    salts = _BelowRoot("salts")
    """The salt lines of the stacks created on this machine, see `toolchain.stacks`."""

    docker_host_file = _BelowRoot("docker-host")
    """File with the Docker engine's address, when it is not the default of every client."""

    engine = _BelowRoot("engine")
    """The private dockerd: its data, logs and locks."""

    registry = _BelowRoot("registry")
    """The local registry that serves the image kit's images."""

    logs = _BelowRoot("logs")
    """Output of builds and of background processes, for troubleshooting."""

    machine_file = _BelowRoot("machine.yaml")
    """Facts about this machine that the program uses, see `settings.machine`."""
