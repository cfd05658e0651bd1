"""What each type does on the engine. Loaded on first use: a preview of an unchanged stack needs none of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from toolchain.standins.docker import container, resources, swarm
from toolchain.standins.docker.engine import Engine
from toolchain.standins.values import Properties

OnCreated = Callable[[str], None]


def _nothing_changes(engine: Engine, identity: str, before: Properties, after: Properties) -> None:
    """Everything about this type forces a replacement."""


@dataclass(frozen=True)
class Operations:
    """The operations of one type.

    `create` tells the id by its last argument as soon as there is something to clean up, and returns what it read
    back. `read` returns None when the resource is gone. `reads_after_update` is whether an update ends in a read.
    """

    create: Callable[[Engine, Properties, OnCreated], Properties | None]
    read: Callable[[Engine, str, Properties], Properties | None]
    delete: Callable[[Engine, str, Properties], None]
    update: Callable[[Engine, str, Properties, Properties], None] = _nothing_changes
    reads_after_update: bool = False


OPERATIONS = {
    "docker:index/container:Container": Operations(
        container.create, container.read, container.delete, container.update
    ),
    "docker:index/network:Network": Operations(
        resources.create_network, resources.read_network, resources.delete_network
    ),
    "docker:index/volume:Volume": Operations(resources.create_volume, resources.read_volume, resources.delete_volume),
    "docker:index/remoteImage:RemoteImage": Operations(
        resources.create_image,
        resources.read_image,
        resources.delete_image,
        resources.update_image,
        reads_after_update=True,
    ),
    "docker:index/secret:Secret": Operations(swarm.create_secret, swarm.read_secret, swarm.delete_secret),
    "docker:index/serviceConfig:ServiceConfig": Operations(swarm.create_config, swarm.read_config, swarm.delete_config),
    "docker:index/service:Service": Operations(
        swarm.create_service,
        swarm.read_service,
        swarm.delete_service,
        swarm.update_service,
        reads_after_update=True,
    ),
}
