"""Finds unmanaged resources: containers on the stack's networks or with its labels, and networks with its labels."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from ops.drift.findings import Finding, Repair

Listed = Mapping[str, Any]


def name_of(container: Listed) -> str:
    """Return the name of a listed container; one that is being removed may have none, and gets its short id."""
    names = container.get("Names") or [container["Id"][:12]]
    return str(names[0]).lstrip("/")


def containers(
    listed: Sequence[Listed], known_ids: Collection[str], networks: Collection[str], labels: Mapping[str, str]
) -> Iterator[Finding]:
    """Yield containers that the state does not have, but that join the stack's networks or carry its labels.

    `known_ids` are containers that are declared or already reported, `networks` the ids of the stack's networks,
    `labels` the labels of all its resources. A container with these labels on other networks belongs to a stack of the
    same name from another checkout on the same Docker engine.
    """
    for container in listed:
        if container["Id"] in known_ids:
            continue
        joined = _joined(container)
        ours = sorted(name for name, network_id in joined.items() if network_id in networks)
        if ours:
            message = f"{container['State']}, joined {', '.join(ours)}"
        elif _carries(container, labels) and joined.keys() <= {"bridge", "host", "none"}:
            message = f"{container['State']}, has the labels of this stack"
        else:
            continue
        name = name_of(container)
        advice = f"docker rm -f {name}, unless it is needed: then declare it"
        yield Finding(
            f"container {name}",
            "container",
            "none",
            message,
            Repair.MANUAL,
            advice=advice,
            container_id=container["Id"],
        )


def networks(
    listed: Sequence[Listed], known_ids: Collection[str], labels: Mapping[str, str], users: Sequence[Listed]
) -> Iterator[Finding]:
    """Yield networks with the stack's labels that the state does not have, and that no other stack uses.

    `users` are all containers: one that carries the same labels keeps its networks.
    """
    inhabited = {network for user in users if _carries(user, labels) for network in _joined(user).values()}
    for network in listed:
        if network["Id"] in known_ids or network["Id"] in inhabited or not _carries(network, labels):
            continue
        advice = f"docker network rm {network['Name']}, unless it is needed"
        message = "exists, has the labels of this stack"
        yield Finding(f"network {network['Name']}", "network", "none", message, Repair.MANUAL, advice=advice)


def _joined(container: Listed) -> dict[str, str]:
    """Return name → id of the networks that a container has joined."""
    endpoints = (container.get("NetworkSettings") or {}).get("Networks") or {}
    return {name: str(endpoint.get("NetworkID")) for name, endpoint in endpoints.items()}


def _carries(listed: Listed, labels: Mapping[str, str]) -> bool:
    return bool(labels) and labels.items() <= (listed.get("Labels") or {}).items()
