"""Frees a stack's networks for removal: disconnects our own leftovers, and reports foreign containers."""

from __future__ import annotations

import re

import docker
from docker.errors import APIError, NotFound

from machine.progress import Progress, SetupError
from machine.workdir import WorkDir
from ops.events import RunOutcome
from ops.state.snapshot import State, remove_strays
from runtime.instances import Endpoint, endpoints
from toolchain.docker_engine import private_dockerd

IN_USE = re.compile(r"network (\S+)(?: id \w+)? has (?:\d+ )?active endpoints?")
"""The Docker engine's error for a network in use; since 28.1 it names the number of endpoints and their names."""


def networks_in_use(outcome: RunOutcome) -> str:
    """Return the names of the networks that a run could not remove because they are in use, or ""."""
    names = [match[1] for error in outcome.errors for match in IN_USE.finditer(error)]
    return ", ".join(dict.fromkeys(names))


def free_networks(state: State, client: docker.DockerClient, stack: str, progress: Progress) -> None:
    """Remove leftovers that still use the stack's networks.

    Containers of an interrupted run are removed. An endpoint whose container is gone is disconnected: an engine may
    leave one behind if a container is removed before the engine has noticed its exit (moby/moby#17217, #33156).
    Raises SetupError, before anything is removed, if foreign containers use the networks.
    """
    foreign = [
        (endpoint.network, endpoint.name)
        for endpoint in _foreign_endpoints(state, client)
        if endpoint.instance is not None and endpoint.instance.stack != stack
    ]
    if foreign:
        listing = ", ".join(f"{name} on {network}" for network, name in foreign)
        commands = "; ".join(f"docker network disconnect {network} {name}" for network, name in foreign)
        raise SetupError(
            f"containers outside the stack {stack} use its networks: {listing}",
            f"stop or disconnect them, then run this again: {commands}",
        )
    remove_strays(state, client, stack, progress)
    for endpoint in _foreign_endpoints(state, client):
        if endpoint.instance is not None:
            continue
        try:
            client.networks.get(endpoint.network).disconnect(endpoint.name, force=True)
        except NotFound:
            continue  # disconnected in the meantime
        except APIError as error:
            progress.line(
                f"  ! {endpoint.name} cannot be disconnected from {endpoint.network}: {error.explanation}", "yellow"
            )
            continue
        progress.line(f"  · disconnected {endpoint.name}, which is gone, from {endpoint.network}", "dim")


def restart_own_engine(work: WorkDir, host: str, client: docker.DockerClient, progress: Progress) -> bool:
    """Restart the checkout's private engine, if it is the one at `host` and no container runs in it.

    Return whether it was restarted. An engine before 28.1 keeps the count of a network's endpoints separately from the
    endpoints, and corrects a count that is too high only at its start (moby/libnetwork#1024).
    """
    engine = private_dockerd(work)
    if host != engine.host or client.containers.list():
        return False
    with progress.step("Restart the Docker engine, which counts endpoints that do not exist"):
        engine.stop()
        engine.start()
    return True


def _foreign_endpoints(state: State, client: docker.DockerClient) -> list[Endpoint]:
    """Return the endpoints on the networks of the state, except those of containers in the state."""
    own_ids = {instance.id for instance in state.instances}
    return [
        endpoint
        for network in state.networks
        for endpoint in endpoints(client, network.id)
        if endpoint.instance is None or endpoint.instance.id not in own_ids
    ]
