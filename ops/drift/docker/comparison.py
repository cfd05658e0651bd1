"""Compares every declared resource with the Docker engine, concurrently, in a second or two."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import docker
from docker.errors import NotFound

from ops.drift.docker import files, resources, unmanaged
from ops.drift.docker.resources import Inspection
from ops.drift.docker.view import ComparedResource
from ops.drift.findings import Finding
from runtime.instances import parse_time
from runtime.labels import PRODUCT, STACK
from runtime.pulumi_state import Resource

AT_ONCE = 16


def compare(
    declared: Sequence[Resource], client: docker.DockerClient, manifest: Mapping[str, Any]
) -> tuple[list[Finding], list[str]]:
    """Return a finding for every difference, in the order in which resources were declared, and what is unknown.

    `manifest` is how the writers install their files. Raises docker.errors.DockerException or
    requests.RequestException where the engine does not answer.
    """
    engine, listed, networks = client.info(), client.api.containers(all=True), client.api.networks()
    volumes = {volume["Name"]: volume for volume in client.api.volumes()["Volumes"] or ()}
    ids_by_name = {unmanaged.name_of(container): container["Id"] for container in listed}
    current = [resource for resource in declared if not resource.pending_delete]
    containers = [resource for resource in current if resource.is_instance]
    filled, unknown = files.volumes(declared, manifest)
    findings: list[Finding] = []
    with ThreadPoolExecutor(AT_ONCE) as pool:
        # The declared containers, and others that have their names.
        ids = {each.id for each in containers} | {ids_by_name.get(each.name, each.id) for each in containers}
        inspections = _inspections(client.api.inspect_container, ids, pool).values()
        inspected = {inspection["Id"]: inspection for inspection in inspections if inspection}
        started = {key: parse_time(each["State"]["StartedAt"]).timestamp() for key, each in inspected.items()}
        references = {each.image for each in containers} | {each["Image"] for each in inspected.values()}
        images = _inspections(client.api.inspect_image, references, pool)
        file_checks = [pool.submit(list, files.compare(volume, client, listed, started)) for volume in filled]
        for resource in current:
            if resource.is_network:
                findings += resources.network(resource, networks)
            elif resource.is_volume:
                findings += resources.volume(resource, volumes)
            elif resource.is_instance:
                identity = resource.id if resource.id in inspected else ids_by_name.get(resource.name, "")
                findings += _container(resource, inspected.get(identity), images, engine)
        findings += [finding for check in file_checks for finding in check.result()]
    known_ids = {resource.id for resource in declared} | {finding.container_id for finding in findings}
    own_networks = {resource.id for resource in declared if resource.is_network}
    labels = next((each.labels for each in declared if {PRODUCT, STACK} <= each.labels.keys()), {})
    stack_labels = {name: labels[name] for name in (PRODUCT, STACK) if labels}
    findings += unmanaged.containers(listed, known_ids, own_networks, stack_labels)
    findings += unmanaged.networks(networks, known_ids, stack_labels, listed)
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


def _container(
    resource: Resource,
    inspection: Inspection | None,
    images: Mapping[str, Inspection | None],
    engine: Mapping[str, Any],
) -> Iterator[Finding]:
    if inspection is None:
        yield resources.missing_container(resource)
        return
    runs = _runs(resource.image, inspection, images)
    image = images.get(inspection["Image"]) if runs else None
    recreated = inspection["Id"] != resource.id
    compare_container = resources.recreated_container if recreated else resources.container
    yield from compare_container(resource, ComparedResource(resource.inputs, inspection, image, engine, runs))


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
