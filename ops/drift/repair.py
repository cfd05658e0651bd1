"""Repairs findings by the least intrusive means, and changes nothing else."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace

import docker
from docker.errors import NotFound

from machine.progress import Progress
from ops.drift.expected import Declared, dependents_of
from ops.drift.findings import Finding, Repair, label
from ops.drift.networks_volumes import DATA_LOST
from ops.state.snapshot import VOLUME

DOCKER_REPAIRS = (Repair.UNPAUSE, Repair.RECONNECT, Repair.RENAME)
"""Repairs through the Docker API, without an interruption."""

NEEDS_REPLACE = (Repair.REPLACE, Repair.REWRITE)
"""Repairs of differences that Pulumi does not detect, so that it needs `--replace`."""


@dataclass(frozen=True)
class RepairPlan:
    """The steps that repair a list of findings."""

    docker_repairs: Sequence[Finding]
    """Findings to repair through the Docker API."""

    removed: Sequence[Finding]
    """Containers under the names of declared ones; they are removed first."""

    targets: Sequence[str]
    """URNs to target with an `up`."""

    replaced: Sequence[str]
    """Those targets that must be replaced, although Pulumi sees no difference."""

    @property
    def arguments(self) -> list[str]:
        """Arguments of the `up`."""
        # Dependents use the replaced resource (its name, its files, its list of containers), so they are updated too.
        return [
            "--refresh",
            "--target-dependents",
            *(f"--target={urn}" for urn in self.targets),
            *(f"--replace={urn}" for urn in self.replaced),
        ]


def guarded(findings: Sequence[Finding], declared: Sequence[Declared]) -> list[Finding]:
    """Return the findings, with those that no repair may touch set to `Repair.MANUAL`.

    Where a data volume is lost, containers that mount it are not repaired: a restarted store would begin with an empty
    volume and look healthy. The same holds for resources whose repair would restart such a container.
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
    if finding.repair is Repair.MANUAL or finding.repair in DOCKER_REPAIRS:
        return finding
    restarted = on_lost_data & (dependents_of({finding.urn, *finding.also_replace}, declared) | {*finding.also_replace})
    if not restarted:
        return finding
    names = ", ".join(sorted(map(label, restarted)))
    return replace(finding, repair=Repair.MANUAL, advice=f"would start {names} anew, whose data are lost: {DATA_LOST}")


def plan(findings: Sequence[Finding]) -> RepairPlan:
    """Return the plan that repairs the findings."""
    replaced = _urns(findings, NEEDS_REPLACE) + [urn for finding in findings for urn in finding.also_replace]
    rebuilt = {*replaced, *_urns(findings, (Repair.RECREATE,))}
    # A replaced container needs no other repair, except that a paused one should answer until it is replaced.
    docker_repairs = [
        finding
        for finding in findings
        if finding.repair in DOCKER_REPAIRS and (finding.urn not in rebuilt or finding.repair is Repair.UNPAUSE)
    ]
    targets = _urns(findings, (Repair.UPDATE, Repair.RECREATE)) + replaced
    removed = {finding.container_id: finding for finding in findings if finding.repair is Repair.RECREATE}
    return RepairPlan(
        docker_repairs, list(removed.values()), list(dict.fromkeys(targets)), list(dict.fromkeys(replaced))
    )


def _urns(findings: Sequence[Finding], repairs: Collection[Repair]) -> list[str]:
    return [finding.urn for finding in findings if finding.repair in repairs and finding.urn]


def apply_docker_repairs(
    repairs: RepairPlan, declared: Sequence[Declared], client: docker.DockerClient, progress: Progress
) -> None:
    """Repair through the Docker API, and remove containers that occupy the names of declared ones."""
    resources = {resource.urn: resource for resource in declared if not resource.pending_delete}
    repaired: set[tuple[str, Repair]] = set()
    for finding in repairs.docker_repairs:
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
            client.api.stop(finding.container_id)
            client.api.remove_container(finding.container_id, force=True)
            progress.line(f"  - {finding.resource}: removed what stood in its place ({finding.container_id[:12]})")
        except NotFound:
            continue


def _reconnect(resource: Declared, client: docker.DockerClient) -> Iterator[str]:
    """Leave undeclared networks, join declared ones, and rejoin those with other aliases or addresses."""
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
