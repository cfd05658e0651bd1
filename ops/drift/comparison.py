"""Compares every declared resource with the Docker engine, concurrently, in a second or two."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

import docker
from docker.errors import ImageNotFound, NotFound

from ops.drift import containers, files, networks_volumes, unmanaged
from ops.drift.container_view import ComparedContainer
from ops.drift.expected import Declared
from ops.drift.findings import Finding
from ops.state.snapshot import CONTAINER, NETWORK, VOLUME

AT_ONCE = 16
STACK_LABELS = ("dockyard.product", "dockyard.stack")


@dataclass(frozen=True)
class DockerInventory:
    """Containers, networks and volumes of the Docker engine."""

    client: docker.DockerClient
    engine: Mapping[str, Any]
    containers: Sequence[Mapping[str, Any]]
    """As the engine lists them, including stopped ones."""

    networks: Mapping[str, Mapping[str, Any]]
    """By id."""

    volumes: Mapping[str, Mapping[str, Any]]
    """By name."""

    @classmethod
    def of(cls, client: docker.DockerClient) -> DockerInventory:
        """List everything that the engine has."""
        return cls(
            client,
            client.info(),
            client.api.containers(all=True),
            {network["Id"]: network for network in client.api.networks()},
            {volume["Name"]: volume for volume in client.api.volumes()["Volumes"] or ()},
        )

    @cached_property
    def by_name(self) -> dict[str, str]:
        """Name of a container → its id."""
        return {unmanaged.name_of(container): container["Id"] for container in self.containers}


def compare(declared: Sequence[Declared], client: docker.DockerClient) -> list[Finding]:
    """Return a finding for every difference, in the order in which resources were declared.

    Raises docker.errors.DockerException or requests.RequestException where the engine does not answer.
    """
    inventory = DockerInventory.of(client)
    resources = [resource for resource in declared if not resource.pending_delete]
    declared_containers = [resource for resource in resources if resource.kind == CONTAINER]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        inspected = _inspected(declared_containers, inventory, pool)
        started = {identity: _started(inspection) for identity, inspection in inspected.items()}
        images = _images(declared_containers, inspected, client, pool)
        file_checks = [
            pool.submit(list, files.compare(volume, client, inventory.containers, started))
            for volume in files.volumes(declared)
        ]
        findings = list(_resources(resources, inventory, inspected, images))
        findings += [finding for check in file_checks for finding in check.result()]
    return findings + list(_unmanaged(declared, inventory, findings))


def _inspected(
    declared: Sequence[Declared], inventory: DockerInventory, pool: ThreadPoolExecutor
) -> dict[str, Mapping[str, Any]]:
    """Return id → inspection of the declared containers, and of other containers that have their names."""
    identities = {resource.identity for resource in declared} | {
        inventory.by_name[resource.name] for resource in declared if resource.name in inventory.by_name
    }

    def inspect(identity: str) -> Mapping[str, Any] | None:
        try:
            inspection: Mapping[str, Any] = inventory.client.api.inspect_container(identity)
        except NotFound:
            return None
        return inspection

    return {inspection["Id"]: inspection for inspection in pool.map(inspect, identities) if inspection}


def _images(
    declared: Sequence[Declared],
    inspected: Mapping[str, Mapping[str, Any]],
    client: docker.DockerClient,
    pool: ThreadPoolExecutor,
) -> dict[str, Mapping[str, Any] | None]:
    """Return reference or id → inspection of an image, or None where the engine does not have it."""

    def inspect(reference: str) -> Mapping[str, Any] | None:
        try:
            image: Mapping[str, Any] = client.images.get(reference).attrs
        except ImageNotFound:
            return None
        return image

    references = sorted(
        {
            *(resource.inputs["image"] for resource in declared),
            *(inspection["Image"] for inspection in inspected.values()),
        }
    )
    return dict(zip(references, pool.map(inspect, references), strict=True))


def _resources(
    resources: Sequence[Declared],
    inventory: DockerInventory,
    inspected: Mapping[str, Mapping[str, Any]],
    images: Mapping[str, Mapping[str, Any] | None],
) -> Iterator[Finding]:
    networks_by_name = {network["Name"]: network for network in inventory.networks.values()}
    by_kind: dict[str, Callable[[Declared], Iterator[Finding]]] = {
        CONTAINER: lambda resource: _container(resource, inventory, inspected, images),
        NETWORK: lambda resource: networks_volumes.network(resource, inventory.networks, networks_by_name),
        VOLUME: lambda resource: networks_volumes.volume(resource, inventory.volumes),
    }
    for resource in resources:
        if resource.kind in by_kind:
            yield from by_kind[resource.kind](resource)


def _container(
    resource: Declared,
    inventory: DockerInventory,
    inspected: Mapping[str, Mapping[str, Any]],
    images: Mapping[str, Mapping[str, Any] | None],
) -> Iterator[Finding]:
    identity = resource.identity if resource.identity in inspected else inventory.by_name.get(resource.name, "")
    inspection = inspected.get(identity)
    if inspection is None:
        yield containers.missing(resource)
        return
    runs = _runs(resource.inputs["image"], inspection, images)
    container = ComparedContainer(
        resource.inputs, inspection, images.get(inspection["Image"]) if runs else None, inventory.engine, runs
    )
    yield from (
        containers.compare(resource, container)
        if identity == resource.identity
        else containers.recreated(resource, container)
    )


def _runs(reference: str, inspection: Mapping[str, Any], images: Mapping[str, Mapping[str, Any] | None]) -> bool:
    """Return whether a container runs the image that its declared reference names."""
    declared_image, actual_image = images.get(reference), images.get(inspection["Image"])
    if declared_image:
        return bool(declared_image["Id"] == inspection["Image"])
    _, _, digest = reference.partition("@")
    if digest and actual_image:
        return any(repo_digest.endswith(digest) for repo_digest in actual_image.get("RepoDigests") or ())
    # The engine no longer has the image: only the reference that the container was created from is left to compare.
    return bool(inspection["Config"]["Image"] == reference)


def _unmanaged(
    declared: Sequence[Declared], inventory: DockerInventory, findings: Sequence[Finding]
) -> Iterator[Finding]:
    known_ids = {resource.identity for resource in declared if resource.kind == CONTAINER} | {
        finding.container_id for finding in findings
    }
    own_networks = {resource.identity for resource in declared if resource.kind == NETWORK}
    labels = next(
        (
            {name: resource.labels[name] for name in STACK_LABELS}
            for resource in declared
            if set(STACK_LABELS) <= resource.labels.keys()
        ),
        {},
    )
    yield from unmanaged.containers(inventory.containers, known_ids, own_networks, labels)
    inhabited = unmanaged.inhabited(inventory.containers, labels)
    yield from unmanaged.networks(list(inventory.networks.values()), own_networks, labels, inhabited)


def _started(inspection: Mapping[str, Any]) -> float:
    return datetime.fromisoformat(inspection["State"]["StartedAt"][:19]).replace(tzinfo=UTC).timestamp()
