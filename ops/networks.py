"""What keeps a stack's networks from being removed: found, let go of where it is ours, named where it is not."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import docker
from docker.errors import APIError, NotFound
from docker.models.containers import Container
from docker.models.networks import Network

from ops.events import Outcome
from ops.state import CONTAINER, NETWORK, State, remove_strays
from toolchain.engine import private_engine
from toolchain.progress import Progress, SetupError
from toolchain.workdir import WorkDir

IN_USE = re.compile(r"network (\S+)(?: id \w+)? has (?:\d+ )?active endpoints?")
"""What a Docker engine says of a network that it does not remove; since 28.1 with their number and names."""

STACK_LABEL = "dockyard.stack"


@dataclass(frozen=True)
class Endpoint:
    """What holds on to a network."""

    network: str
    name: str
    """Of the container, which may be gone."""

    container: Container | None


def networks_in_use(outcome: Outcome) -> str:
    """Return the names of networks that a run of the engine could not remove because something is on them, or ""."""
    names = [match[1] for error in outcome.errors for match in IN_USE.finditer(error)]
    return ", ".join(dict.fromkeys(names))


def refuse_foreign_containers(state: State, client: docker.DockerClient, stack: str) -> None:
    """Raise SetupError with the containers of others that run on the stack's networks: those could not be removed."""
    foreign = [
        (endpoint.network, endpoint.name)
        for endpoint in _endpoints(state, client)
        if endpoint.container is not None and endpoint.container.labels.get(STACK_LABEL) != stack
    ]
    if foreign:
        listing = ", ".join(f"{name} on {network}" for network, name in foreign)
        commands = "; ".join(f"docker network disconnect {network} {name}" for network, name in foreign)
        raise SetupError(
            f"containers that are not of the stack {stack} use its networks: {listing}",
            f"stop them, or take them off, then run this again: {commands}",
        )


def free_networks(state: State, client: docker.DockerClient, stack: str, progress: Progress) -> None:
    """Let go of what still holds the stack's networks and belongs to nobody.

    Containers of an interrupted run are removed. An endpoint whose container is gone is disconnected: an engine may
    forget one when a container is removed before its end was told to it (moby/moby#17217, #33156).
    Raises SetupError for containers of others.
    """
    refuse_foreign_containers(state, client, stack)
    remove_strays(state, client, stack, progress)
    for endpoint in _endpoints(state, client):
        if endpoint.container is not None:
            continue
        try:
            client.networks.get(endpoint.network).disconnect(endpoint.name, force=True)
        except NotFound:
            continue  # let go of in the meantime
        except APIError as error:
            progress.line(f"  ! {endpoint.name} cannot be taken off {endpoint.network}: {error.explanation}", "yellow")
            continue
        progress.line(f"  · took {endpoint.name}, which is gone, off the network {endpoint.network}", "dim")


def restart_own_engine(work: WorkDir, host: str, client: docker.DockerClient, progress: Progress) -> bool:
    """Restart the checkout's own engine, if that is what is at `host` and nothing runs in it; say whether it was.

    An engine before 28.1 counts a network's endpoints apart from the endpoints themselves. A count that is too high
    is put right only when the engine starts (moby/libnetwork#1024).
    """
    engine = private_engine(work)
    if host != engine.host or client.containers.list():
        return False
    with progress.step("Docker engine, restarted: it counts endpoints that do not exist"):
        engine.stop()
        engine.start()
    return True


def _networks(state: State, client: docker.DockerClient) -> Iterator[Network]:
    for resource in state.of_type(NETWORK):
        try:
            yield client.networks.get(resource["id"])
        except NotFound:
            continue


def _endpoints(state: State, client: docker.DockerClient) -> Iterator[Endpoint]:
    """Find what is on the state's networks, but for containers that the state knows."""
    own_containers = {resource["id"] for resource in state.of_type(CONTAINER)}
    for network in _networks(state, client):
        endpoints: Mapping[str, Mapping[str, str]] = network.attrs.get("Containers") or {}
        for identity, endpoint in endpoints.items():
            # The engine calls an endpoint without a container `ep-…`; its name is still the container's.
            container = _container(client, endpoint["Name"] if identity.startswith("ep-") else identity)
            if container is None or container.id not in own_containers:
                yield Endpoint(str(network.name), endpoint["Name"], container)


def _container(client: docker.DockerClient, identity: str) -> Container | None:
    try:
        return client.containers.get(identity)
    except NotFound:
        return None
