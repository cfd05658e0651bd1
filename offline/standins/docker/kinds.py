"""The kinds of Docker objects by type. Loaded on first use: a preview of an unchanged stack does not need them."""

from __future__ import annotations

from offline.standins.docker.base import DockerObject
from offline.standins.docker.container import Container
from offline.standins.docker.objects import Network, RemoteImage, Volume
from offline.standins.docker.schema import token_of
from offline.standins.docker.swarm import Secret, Service, ServiceConfig

KINDS: dict[str, type[DockerObject]] = {
    token_of(kind.__name__): kind for kind in (Container, Network, Volume, RemoteImage, Secret, ServiceConfig, Service)
}
