"""Compares every declared resource with the Docker engine, concurrently, in a second or two."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import docker
from docker.errors import NotFound

from ops.drift.docker import files, resources, unmanaged
from ops.drift.docker.resources import Inspection
from ops.drift.docker.view import ComparedResource
from ops.drift.findings import Finding
from runtime.instances import parse_time
from runtime.labels import PRODUCT, STACK
from runtime.resources import Resource

AT_ONCE = 16
STACK_LABELS = (PRODUCT, STACK)


@dataclass(frozen=True)
class DockerInventory:
    """Containers, networks and volumes of the Docker engine."""

    engine: Mapping[str, Any]
    containers: Sequence[Inspection]
    """As the engine lists them, including stopped ones."""

    networks: Sequence[Inspection]
    volumes: Mapping[str, Inspection]
    """By name."""

    @classmethod
    def of(cls, client: docker.DockerClient) -> DockerInventory:
        """List everything that the engine has."""
        volumes = {volume["Name"]: volume for volume in client.api.volumes()["Volumes"] or ()}
        return cls(client.info(), client.api.containers(all=True), client.api.networks(), volumes)

    @cached_property
    def by_name(self) -> dict[str, str]:
        """Name of a container → its id."""
        return {unmanaged.name_of(container): container["Id"] for container in self.containers}


def compare(
    declared: Sequence[Resource], client: docker.DockerClient, manifest: Mapping[str, Any]
) -> tuple[list[Finding], list[str]]:
    """Return a finding for every difference, in the order in which resources were declared, and what is unknown.

    `manifest` is how the writers install their files. Raises docker.errors.DockerException or
    requests.RequestException where the engine does not answer.
    """
    inventory = DockerInventory.of(client)
    current = [resource for resource in declared if not resource.pending_delete]
    containers = [resource for resource in current if resource.is_instance]
    volumes, unknown = files.volumes(declared, manifest)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        # The declared containers, and others that have their names.
        ids = {each.id for each in containers} | {inventory.by_name.get(each.name, each.id) for each in containers}
        inspections = _inspections(client.api.inspect_container, ids, pool).values()
        inspected = {inspection["Id"]: inspection for inspection in inspections if inspection}
        started = {key: parse_time(each["State"]["StartedAt"]).timestamp() for key, each in inspected.items()}
        references = {each.image for each in containers} | {each["Image"] for each in inspected.values()}
        images = _inspections(client.api.inspect_image, references, pool)
        file_checks = [
            pool.submit(list, files.compare(volume, client, inventory.containers, started)) for volume in volumes
        ]
        findings = [finding for resource in current for finding in _resource(resource, inventory, inspected, images)]
        findings += [finding for check in file_checks for finding in check.result()]
    known_ids = {resource.id for resource in declared} | {finding.container_id for finding in findings}
    own_networks = {resource.id for resource in declared if resource.is_network}
    labels = next((found for each in declared if len(found := _stack_labels(each)) == len(STACK_LABELS)), {})
    findings += unmanaged.containers(inventory.containers, known_ids, own_networks, labels)
    findings += unmanaged.networks(inventory.networks, known_ids, labels, inventory.containers)
    return findings, unknown


def _inspections(
    inspect: Callable[[str], Inspection], references: Collection[str], pool: ThreadPoolExecutor
) -> dict[str, Inspection | None]:
    """Return reference → inspection, None where the engine does not have it."""

    def attempt(reference: str) -> Inspection | None:
        try:
            return inspect(reference)
        except NotFound:
            return None

    return dict(zip(references, pool.map(attempt, references), strict=True))


def _resource(
    resource: Resource,
    inventory: DockerInventory,
    inspected: Mapping[str, Inspection],
    images: Mapping[str, Inspection | None],
) -> Iterator[Finding]:
    if resource.is_network:
        yield from resources.network(resource, inventory.networks)
    elif resource.is_volume:
        yield from resources.volume(resource, inventory.volumes)
    elif resource.is_instance:
        identity = resource.id if resource.id in inspected else inventory.by_name.get(resource.name, "")
        inspection = inspected.get(identity)
        if inspection is None:
            yield resources.missing_container(resource)
            return
        runs = _runs(resource.image, inspection, images)
        image = images.get(inspection["Image"]) if runs else None
        compared = ComparedResource(resource.inputs, inspection, image, inventory.engine, runs)
        compare_container = resources.container if identity == resource.id else resources.recreated_container
        yield from compare_container(resource, compared)


def _runs(reference: str, inspection: Inspection, images: Mapping[str, Inspection | None]) -> bool:
    """Return whether a container runs the image that its declared reference names."""
    declared_image, actual_image = images.get(reference), images.get(inspection["Image"])
    if declared_image:
        return bool(declared_image["Id"] == inspection["Image"])
    _, _, digest = reference.partition("@")
    if digest and actual_image:
        return any(repo_digest.endswith(digest) for repo_digest in actual_image.get("RepoDigests") or ())
    # The engine no longer has the image: only the reference that the container was created from is left to compare.
    return bool(inspection["Config"]["Image"] == reference)


def _stack_labels(resource: Resource) -> dict[str, str]:
    return {name: value for name, value in resource.labels.items() if name in STACK_LABELS}
