"""Puts right what a comparison found: by the gentlest means that does it, and nothing beside it."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace

import docker
from docker.errors import NotFound

from ops.drift.declared import Declared, dependents_of
from ops.drift.findings import Finding, Repair, label
from ops.drift.others import DATA_LOST
from ops.state import VOLUME
from toolchain.progress import Progress

BY_HAND = (Repair.UNPAUSE, Repair.RECONNECT, Repair.RENAME)
"""What the Docker engine itself undoes without an interruption."""

NEW = (Repair.REPLACE, Repair.REWRITE)
"""What the Pulumi engine does not see, so that it has to be told."""


@dataclass(frozen=True)
class RepairPlan:
    """What is to be done."""

    by_hand: Sequence[Finding]
    """Through the Docker engine's interface."""

    removed: Sequence[Finding]
    """Containers in the places of declared ones, which go first."""

    targets: Sequence[str]
    """URNs for an `up`."""

    replaced: Sequence[str]
    """Those of them that are made anew though the engine sees no reason."""

    @property
    def arguments(self) -> list[str]:
        """Return the engine's arguments for the `up`."""
        # Who takes in what is made anew (its name, its files, its list of containers) is brought along.
        return [
            "--refresh",
            "--target-dependents",
            *(f"--target={urn}" for urn in self.targets),
            *(f"--replace={urn}" for urn in self.replaced),
        ]


def guarded(findings: Sequence[Finding], declared: Sequence[Declared]) -> list[Finding]:
    """Return the findings, those that no repair may touch marked so.

    Where data are lost, whatever stands on them is left alone: started again, a store would begin with an empty volume,
    and look well. So is whatever would bring such a container along when it is repaired.
    """
    lost = {finding.urn for finding in findings if finding.advice == DATA_LOST}
    lost_volumes = {resource.identity for resource in declared if resource.urn in lost and resource.kind == VOLUME}
    on_lost_data = {
        resource.urn
        for resource in declared
        if any(mount.get("source") in lost_volumes for mount in resource.inputs.get("mounts") or ())
    }
    return [_guarded(finding, on_lost_data, declared) for finding in findings]


def _guarded(finding: Finding, on_lost_data: set[str], declared: Sequence[Declared]) -> Finding:
    if finding.urn in on_lost_data:
        return replace(finding, repair=Repair.MANUAL, advice=f"its data are lost: {DATA_LOST}")
    if finding.repair is Repair.MANUAL or finding.repair in BY_HAND:
        return finding
    restarted = on_lost_data & (dependents_of({finding.urn, *finding.also}, declared) | {*finding.also})
    if not restarted:
        return finding
    names = ", ".join(sorted(map(label, restarted)))
    return replace(finding, repair=Repair.MANUAL, advice=f"would start {names} anew, whose data are lost: {DATA_LOST}")


def plan(findings: Sequence[Finding]) -> RepairPlan:
    """Return what repairs findings."""
    new = _urns(findings, NEW) + [urn for finding in findings for urn in finding.also]
    anew = {*new, *_urns(findings, (Repair.RECREATE,))}
    # A container that is made anew is as declared in all else too. A paused one answers nobody until then.
    by_hand = [
        finding
        for finding in findings
        if finding.repair in BY_HAND and (finding.urn not in anew or finding.repair is Repair.UNPAUSE)
    ]
    targets = _urns(findings, (Repair.UPDATE, Repair.RECREATE)) + new
    removed = {finding.real: finding for finding in findings if finding.repair is Repair.RECREATE}
    return RepairPlan(by_hand, list(removed.values()), list(dict.fromkeys(targets)), list(dict.fromkeys(new)))


def _urns(findings: Sequence[Finding], repairs: Collection[Repair]) -> list[str]:
    return [finding.urn for finding in findings if finding.repair in repairs and finding.urn]


def by_hand(repairs: RepairPlan, declared: Sequence[Declared], client: docker.DockerClient, progress: Progress) -> None:
    """Do what the Docker engine can undo by itself, and take away what stands in the place of declared containers."""
    resources = {resource.urn: resource for resource in declared if not resource.pending_delete}
    repaired: set[tuple[str, Repair]] = set()
    for finding in repairs.by_hand:
        resource = resources[finding.urn]
        if (resource.urn, finding.repair) in repaired:
            continue
        repaired.add((resource.urn, finding.repair))
        try:
            if finding.repair is Repair.UNPAUSE:
                client.api.unpause(resource.identity)
                progress.line(f"  ~ {resource.label}: unpaused")
            elif finding.repair is Repair.RENAME:
                client.api.rename(resource.identity, resource.name)
                progress.line(f"  ~ {resource.label}: named as declared")
            else:
                for message in _reconnect(resource, client):
                    progress.line(f"  ~ {resource.label}: {message}")
        except NotFound:
            progress.line(f"  ! {resource.label}: gone by now", "yellow")
    for finding in repairs.removed:
        try:
            client.api.stop(finding.real)
            client.api.remove_container(finding.real, force=True)
            progress.line(f"  - {finding.resource}: removed what stood in its place ({finding.real[:12]})")
        except NotFound:
            continue


def _reconnect(resource: Declared, client: docker.DockerClient) -> Iterator[str]:
    """Leave networks that are not declared, join those that are, and again those with other aliases or addresses."""
    joined_networks = client.api.inspect_container(resource.identity)["NetworkSettings"]["Networks"]
    declared_networks = {network["name"]: network for network in resource.inputs.get("networksAdvanced") or ()}
    for name in sorted(joined_networks.keys() - declared_networks.keys()):
        client.api.disconnect_container_from_network(resource.identity, name, force=True)
        yield f"left {name}"
    for name, network in declared_networks.items():
        aliases, address = network.get("aliases") or None, network.get("ipv4Address") or None
        if name in joined_networks:
            current_aliases = set(joined_networks[name].get("Aliases") or ()) - {resource.identity[:12]}
            config = (joined_networks[name].get("IPAMConfig") or {}).get("IPv4Address")
            if current_aliases == set(aliases or ()) and config == address:
                continue
            client.api.disconnect_container_from_network(resource.identity, name, force=True)
        client.api.connect_container_to_network(resource.identity, name, aliases=aliases, ipv4_address=address)
        yield f"joined {name}"
