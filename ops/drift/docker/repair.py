"""Repairs containers through the Docker API."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import docker
from docker.errors import NotFound

from machine.progress import Progress
from ops.drift.findings import Repair
from ops.drift.repair import RepairPlan
from runtime.pulumi_state import Resource


def repair_in_place(
    repairs: RepairPlan, declared: Sequence[Resource], client: docker.DockerClient, progress: Progress
) -> None:
    """Repair through the Docker API, and remove containers that occupy the names of declared ones."""
    resources = {resource.urn: resource for resource in declared if not resource.pending_delete}
    for urn, repair in dict.fromkeys((finding.urn, finding.repair) for finding in repairs.in_place):
        resource = resources[urn]
        try:
            if repair is Repair.UNPAUSE:
                client.api.unpause(resource.id)
                progress.line(f"  ~ {resource.label}: unpaused")
            elif repair is Repair.RENAME:
                client.api.rename(resource.id, resource.name)
                progress.line(f"  ~ {resource.label}: renamed as declared")
            else:
                for message in _reconnect(resource, client):
                    progress.line(f"  ~ {resource.label}: {message}")
        except NotFound:
            progress.line(f"  ! {resource.label}: already gone", "yellow")
    for finding in repairs.removed:
        try:
            client.api.stop(finding.container_id)
            client.api.remove_container(finding.container_id, force=True)
            progress.line(f"  - {finding.resource}: removed the container in its place ({finding.container_id[:12]})")
        except NotFound:
            continue


def _reconnect(resource: Resource, client: docker.DockerClient) -> Iterator[str]:
    """Leave undeclared networks, join declared ones, and rejoin those with other aliases or addresses."""
    joined_networks = client.api.inspect_container(resource.id)["NetworkSettings"]["Networks"]
    declared_networks = {network["name"]: network for network in resource.inputs.get("networksAdvanced") or ()}
    for name in sorted(joined_networks.keys() - declared_networks.keys()):
        client.api.disconnect_container_from_network(resource.id, name, force=True)
        yield f"left {name}"
    for name, network in declared_networks.items():
        aliases, address = network.get("aliases") or None, network.get("ipv4Address") or None
        if name in joined_networks:
            current_aliases = set(joined_networks[name].get("Aliases") or ()) - {resource.id[:12]}
            config = (joined_networks[name].get("IPAMConfig") or {}).get("IPv4Address")
            if current_aliases == set(aliases or ()) and config == address:
                continue
            client.api.disconnect_container_from_network(resource.id, name, force=True)
        client.api.connect_container_to_network(resource.id, name, aliases=aliases, ipv4_address=address)
        yield f"joined {name}"
