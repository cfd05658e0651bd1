"""Compares all that the state declares with what the engine has, side by side, in a second or two."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

import docker
from docker.errors import ImageNotFound, NotFound

from ops.drift import containers, files, others, strangers
from ops.drift.container_view import Container
from ops.drift.declared import Declared
from ops.drift.findings import Finding
from ops.state import CONTAINER, NETWORK, VOLUME

AT_ONCE = 16
STACK_LABELS = ("dockyard.product", "dockyard.stack")


@dataclass(frozen=True)
class Reality:
    """What the engine has."""

    client: docker.DockerClient
    engine: Mapping[str, Any]
    containers: Sequence[Mapping[str, Any]]
    """As the engine lists them, those that have ended too."""

    networks: Mapping[str, Mapping[str, Any]]
    """By id."""

    volumes: Mapping[str, Mapping[str, Any]]
    """By name."""

    @classmethod
    def of(cls, client: docker.DockerClient) -> Reality:
        """Ask the engine for everything that it lists."""
        return cls(
            client,
            client.info(),
            client.api.containers(all=True),
            {one["Id"]: one for one in client.api.networks()},
            {one["Name"]: one for one in client.api.volumes()["Volumes"] or ()},
        )

    @cached_property
    def by_name(self) -> dict[str, str]:
        """Name of each container → its id."""
        return {strangers.name_of(one): one["Id"] for one in self.containers}


def compare(declared: Sequence[Declared], client: docker.DockerClient) -> list[Finding]:
    """Return everything that is not as declared, in the order in which it was declared.

    Raises docker.errors.DockerException or requests.RequestException where the engine does not answer.
    """
    real = Reality.of(client)
    own = [one for one in declared if not one.going]
    wanted = [one for one in own if one.kind == CONTAINER]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        inspected = _inspected(wanted, real, pool)
        started = {identity: _started(found) for identity, found in inspected.items()}
        images = _images(wanted, inspected, client, pool)
        listed = [
            pool.submit(list, files.compare(one, client, real.containers, started)) for one in files.volumes(declared)
        ]
        found = list(_resources(own, real, inspected, images))
        found += [finding for one in listed for finding in one.result()]
    return found + list(_strangers(declared, real, found))


def _inspected(wanted: Sequence[Declared], real: Reality, pool: ThreadPoolExecutor) -> dict[str, Mapping[str, Any]]:
    """Return id → inspection, of the declared containers, and of those that have taken their names."""
    identities = {one.identity for one in wanted} | {
        real.by_name[one.name] for one in wanted if one.name in real.by_name
    }

    def inspect(identity: str) -> Mapping[str, Any] | None:
        try:
            found: Mapping[str, Any] = real.client.api.inspect_container(identity)
        except NotFound:
            return None
        return found

    return {found["Id"]: found for found in pool.map(inspect, identities) if found}


def _images(
    wanted: Sequence[Declared],
    inspected: Mapping[str, Mapping[str, Any]],
    client: docker.DockerClient,
    pool: ThreadPoolExecutor,
) -> dict[str, Mapping[str, Any] | None]:
    """Return reference or id → inspection of an image; None where the engine does not have it."""

    def inspect(reference: str) -> Mapping[str, Any] | None:
        try:
            found: Mapping[str, Any] = client.images.get(reference).attrs
        except ImageNotFound:
            return None
        return found

    references = sorted({*(one.inputs["image"] for one in wanted), *(found["Image"] for found in inspected.values())})
    return dict(zip(references, pool.map(inspect, references), strict=True))


def _resources(
    own: Sequence[Declared],
    real: Reality,
    inspected: Mapping[str, Mapping[str, Any]],
    images: Mapping[str, Mapping[str, Any] | None],
) -> Iterator[Finding]:
    networks_by_name = {one["Name"]: one for one in real.networks.values()}
    by_kind: dict[str, Callable[[Declared], Iterator[Finding]]] = {
        CONTAINER: lambda one: _container(one, real, inspected, images),
        NETWORK: lambda one: others.network(one, real.networks, networks_by_name),
        VOLUME: lambda one: others.volume(one, real.volumes),
    }
    for one in own:
        if one.kind in by_kind:
            yield from by_kind[one.kind](one)


def _container(
    one: Declared,
    real: Reality,
    inspected: Mapping[str, Mapping[str, Any]],
    images: Mapping[str, Mapping[str, Any] | None],
) -> Iterator[Finding]:
    identity = one.identity if one.identity in inspected else real.by_name.get(one.name, "")
    found = inspected.get(identity)
    if found is None:
        yield containers.missing(one)
        return
    runs = _runs(one.inputs["image"], found, images)
    container = Container(one.inputs, found, images.get(found["Image"]) if runs else None, real.engine, runs)
    yield from (
        containers.compare(one, container) if identity == one.identity else containers.made_anew(one, container)
    )


def _runs(reference: str, found: Mapping[str, Any], images: Mapping[str, Mapping[str, Any] | None]) -> bool:
    """Tell whether a container runs the image that its declared reference names."""
    meant, own = images.get(reference), images.get(found["Image"])
    if meant:
        return bool(meant["Id"] == found["Image"])
    _, _, digest = reference.partition("@")
    if digest and own:
        return any(one.endswith(digest) for one in own.get("RepoDigests") or ())
    # The engine has it no more: what the container was made from is all that can be known.
    return bool(found["Config"]["Image"] == reference)


def _strangers(declared: Sequence[Declared], real: Reality, found: Sequence[Finding]) -> Iterator[Finding]:
    known = {one.identity for one in declared if one.kind == CONTAINER} | {finding.real for finding in found}
    own_networks = {one.identity for one in declared if one.kind == NETWORK}
    labels = next(
        (
            {name: one.labels[name] for name in STACK_LABELS}
            for one in declared
            if set(STACK_LABELS) <= one.labels.keys()
        ),
        {},
    )
    yield from strangers.containers(real.containers, known, own_networks, labels)
    theirs = strangers.inhabited(real.containers, labels)
    yield from strangers.networks(list(real.networks.values()), own_networks, labels, theirs)


def _started(found: Mapping[str, Any]) -> float:
    return datetime.fromisoformat(found["State"]["StartedAt"][:19]).replace(tzinfo=UTC).timestamp()
