"""Engine-neutral description of what runs: carries nothing of Docker's or Swarm's own resources."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import pulumi

from settings.container import Limits


@dataclass(frozen=True)
class HealthCheck:
    """A command that exits 0 while the container is well; times in seconds."""

    command: tuple[str, ...]
    interval: int = 10
    timeout: int = 5
    retries: int = 5
    start_period: int = 40
    start_interval: int | None = None
    """The interval during the start period; unset, it is `interval`."""


@dataclass(frozen=True)
class Attachment:
    """A network, and the names that others on it reach the container by."""

    network: pulumi.Input[str]
    aliases: tuple[str, ...] = ()


@dataclass(frozen=True)
class Mount:
    """A volume, or with `host=True` a path of the host, seen by the container at `target`."""

    source: pulumi.Input[str]
    target: str
    read_only: bool = True
    host: bool = False


@dataclass(frozen=True)
class PortMapping:
    """A port of the container that the host offers; the address is always explicit (CIS Docker 5.14)."""

    inside: int
    outside: int
    address: str = "127.0.0.1"


@dataclass(frozen=True)
class ContainerSpec:
    """One container. The defaults are the hardened ones; what departs from them gives its reason where it does."""

    role: str
    """What it is in its stack, unique there: the name of its resource and the value of its service label."""

    image: str
    limits: Limits
    networks: tuple[Attachment, ...]
    command: tuple[pulumi.Input[str], ...] = ()
    entrypoint: tuple[str, ...] = ()
    env: Mapping[str, pulumi.Input[str]] = field(default_factory=dict)
    user: str | None = None
    """None leaves the image's own user, for images that are known not to run as root."""

    health: HealthCheck | None = None
    mounts: tuple[Mount, ...] = ()
    tmpfs: tuple[str, ...] = ()
    """Folders in memory, writable by anyone in the container, at most 64 MB each."""

    shared_memory: int | None = None
    """Size of /dev/shm in MiB; None leaves Docker's 64."""

    publish: tuple[PortMapping, ...] = ()
    member: str = ""
    """What it is called where the settings name who joins a network; replicas share one. Default: its role."""

    of_product: bool = False
    """A workload of the product: how far it is hardened is said, and reasoned, in the product file."""

    reaches_host: bool = False
    """`host.docker.internal` leads to the Docker host, as on Docker Desktop."""

    content: pulumi.Input[str] | None = None
    """A fingerprint of the files it reads at its start only: another one means another container."""

    restart: str = "unless-stopped"
    read_only: bool = True
    capabilities: tuple[str, ...] = ()
    """Added after all have been dropped."""

    exclusive: bool = False
    """Never two at once, not even for the moment of a replacement: it owns a data folder."""

    stop_signal: str | None = None
    stop_grace: int = 10
    """Seconds between the stop signal and the kill."""
