"""Description of a container, independent of the resources of Docker or Swarm that run it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pulumi

from settings.container import Limits

CHANGE_FILES = ("CHOWN", "DAC_OVERRIDE", "FOWNER")
"""Capabilities of a job that changes files of other users."""


@dataclass(frozen=True)
class HealthCheck:
    """A command that exits 0 while the container is healthy; times are in seconds."""

    command: tuple[str, ...]
    interval: int = 10
    timeout: int = 5
    retries: int = 5
    start_period: int = 40
    start_interval: int | None = None
    """Interval during the start period. Default: `interval`."""


@dataclass(frozen=True)
class Volume:
    """A named volume."""

    name: pulumi.Output[str]


@dataclass(frozen=True)
class Attachment:
    """A network, and the container's aliases on it."""

    network: pulumi.Input[str]
    aliases: tuple[str, ...] = ()


@dataclass(frozen=True)
class Mount:
    """A volume, or with `host=True` a path of the host, mounted at `target`."""

    source: pulumi.Input[str]
    target: str
    read_only: bool = True
    host: bool = False


@dataclass(frozen=True)
class PortMapping:
    """A container port published on the host; the address is always explicit (CIS Docker 5.14)."""

    inside: int
    outside: int
    address: str = "127.0.0.1"


@dataclass(frozen=True)
class ContainerSpec:
    """One container. The defaults are hardened; departures need a reason, see runtime/hardening.py.

    The field names are hashed into a label (`spec_hash` in runtime/docker.py): renaming one replaces containers.
    """

    role: str
    """Its unique name in the stack, used in the resource's name and in the label `dockyard.service`."""

    image: str
    limits: Limits
    networks: tuple[Attachment, ...]
    command: tuple[pulumi.Input[str], ...] = ()
    entrypoint: tuple[str, ...] = ()
    env: Mapping[str, pulumi.Input[str]] = field(default_factory=dict)
    user: str | None = None
    """None keeps the image's own user, for images that are known not to run as root."""

    health: HealthCheck | None = None
    mounts: tuple[Mount, ...] = ()
    tmpfs: tuple[str, ...] = ()
    """Folders in memory, writable by every user in the container, at most 64 MB each."""

    shared_memory: int | None = None
    """Size of /dev/shm in MiB; None leaves Docker's 64."""

    publish: tuple[PortMapping, ...] = ()
    member: str = ""
    """Its name in the settings' lists of network members, which replicas share. Default: its role."""

    of_product: bool = False
    """Whether it is a workload of the product, whose departures from hardening are justified in the product file."""

    reaches_host: bool = False
    """Whether `host.docker.internal` resolves to the Docker host, as on Docker Desktop."""

    content: pulumi.Input[str] | None = None
    """Hash of the files that it reads only when it starts: a change of it replaces the container."""

    restart: str = "unless-stopped"
    read_only: bool = True
    capabilities: tuple[str, ...] = ()
    """Capabilities added after all have been dropped."""

    exclusive: bool = False
    """Delete it before its replacement is created: two at once could not share a data folder, for instance."""

    stop_signal: str | None = None
    stop_grace: int = 10
    """Seconds between the stop signal and the kill."""


def writer_spec(
    role: str,
    image: str,
    network: pulumi.Input[str],
    command: Sequence[pulumi.Input[str]],
    mounts: Sequence[Mount],
    *,
    capabilities: tuple[str, ...] = CHANGE_FILES,
    read_only: bool = True,
) -> ContainerSpec:
    """Return the spec of a one-shot job that prepares volumes as root, which owns new volumes.

    `command` is a shell script and its arguments.
    """
    return ContainerSpec(
        role=role,
        image=image,
        user="0:0",
        read_only=read_only,
        capabilities=capabilities,
        limits=Limits.of("64MB", cpus=0.5),
        networks=(Attachment(network),),
        mounts=tuple(mounts),
        entrypoint=("/bin/sh", "-ec"),
        command=tuple(command),
    )


@dataclass(frozen=True)
class Reload:
    """The HTTP API by which a running service reloads its files, as Prometheus and its relatives have it.

    `/-/healthy` answers 2xx if the service runs; otherwise it reads the new files at its next start. `/-/reload` is
    called by POST.
    """

    network: pulumi.Input[str]
    addresses: Sequence[str]
    """Host and port of each instance, on `network`."""


@dataclass(frozen=True)
class FileSet:
    """Files for a container to mount, which are written before it starts."""

    files: Mapping[str, pulumi.Input[str]]
    """Path in the mount, which may contain folders → content."""

    owner: str
    """A user or user:group, by number or by name.

    A name exists only in the service's own image, which must then be the `image` and have sh, cp, chown, chmod, mv,
    mkdir and find. With a user alone the files' group is left unchanged: mode 0400 grants it nothing.
    """

    image: str
    """The image of the container that writes the files."""

    check: str = "true"
    """Shell command that must succeed in the folder of the new files before they take effect."""

    reload: Reload | None = None
    volume: Volume | None = None
    """An existing volume, for files that are known only after something has to mount it."""

    packed: Mapping[str, str] = field(default_factory=dict)
    """Further files, which are sent as one compressed archive.

    Half a megabyte of dashboards in the state costs each preview a second, and nobody reads their diff. The `image`
    must then also have base64, bunzip2 and tar.
    """
