"""The Docker operations of each type. Loaded on first use: a preview of an unchanged stack does not need them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from offline.standins.docker import container, resources, swarm
from offline.standins.docker.engine import DockerApi
from offline.standins.values import Properties

OnCreated = Callable[[str], None]


def _nothing_changes(engine: DockerApi, identity: str, before: Properties, after: Properties) -> None:
    """Do nothing: every change of this type forces a replacement."""


@dataclass(frozen=True)
class Operations:
    """The operations of one type.

    `create` passes the id to its last argument as soon as there is something to clean up, and returns the properties
    read back. `read` returns None when the resource is gone. `reads_after_update`: whether to read after an update.
    """

    create: Callable[[DockerApi, Properties, OnCreated], Properties | None]
    read: Callable[[DockerApi, str, Properties], Properties | None]
    delete: Callable[[DockerApi, str, Properties], None]
    update: Callable[[DockerApi, str, Properties, Properties], None] = _nothing_changes
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
