"""Puts right what a comparison found: by the gentlest means that does it, and nothing beside it."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace

import docker
from docker.errors import NotFound

from ops.drift.declared import Declared, standing_on
from ops.drift.findings import Finding, Repair, label
from ops.drift.others import LOST
from ops.state import VOLUME
from toolchain.progress import Progress

BY_HAND = (Repair.UNPAUSE, Repair.RECONNECT, Repair.RENAME)
"""What the Docker engine itself undoes without an interruption."""

NEW = (Repair.REPLACE, Repair.REWRITE)
"""What the Pulumi engine does not see, so that it has to be told."""


@dataclass(frozen=True)
class Plan:
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
    lost = {one.urn for one in findings if one.advice == LOST}
    names = {one.identity for one in declared if one.urn in lost and one.kind == VOLUME}
    standing = {
        one.urn for one in declared if any(mount.get("source") in names for mount in one.inputs.get("mounts") or ())
    }
    return [_guarded(one, standing, declared) for one in findings]


def _guarded(finding: Finding, standing: set[str], declared: Sequence[Declared]) -> Finding:
    if finding.urn in standing:
        return replace(finding, repair=Repair.NOBODY, advice=f"its data are lost: {LOST}")
    if finding.repair is Repair.NOBODY or finding.repair in BY_HAND:
        return finding
    anew = standing & (standing_on({finding.urn, *finding.also}, declared) | {*finding.also})
    if not anew:
        return finding
    names = ", ".join(sorted(map(label, anew)))
    return replace(finding, repair=Repair.NOBODY, advice=f"would start {names} anew, whose data are lost: {LOST}")


def plan(findings: Sequence[Finding]) -> Plan:
    """Return what repairs findings."""
    new = _urns(findings, NEW) + [urn for one in findings for urn in one.also]
    anew = {*new, *_urns(findings, (Repair.RECREATE,))}
    # A container that is made anew is as declared in all else too. A paused one answers nobody until then.
    by_hand = [
        one for one in findings if one.repair in BY_HAND and (one.urn not in anew or one.repair is Repair.UNPAUSE)
    ]
    targets = _urns(findings, (Repair.UPDATE, Repair.RECREATE)) + new
    removed = {one.real: one for one in findings if one.repair is Repair.RECREATE}
    return Plan(by_hand, list(removed.values()), list(dict.fromkeys(targets)), list(dict.fromkeys(new)))


def _urns(findings: Sequence[Finding], repairs: Collection[Repair]) -> list[str]:
    return [one.urn for one in findings if one.repair in repairs and one.urn]


def by_hand(said: Plan, declared: Sequence[Declared], client: docker.DockerClient, progress: Progress) -> None:
    """Do what the Docker engine can undo by itself, and take away what stands in the place of declared containers."""
    resources = {one.urn: one for one in declared if not one.going}
    done: set[tuple[str, Repair]] = set()
    for finding in said.by_hand:
        one = resources[finding.urn]
        if (one.urn, finding.repair) in done:
            continue
        done.add((one.urn, finding.repair))
        try:
            if finding.repair is Repair.UNPAUSE:
                client.api.unpause(one.identity)
                progress.line(f"  ~ {one.label}: unpaused")
            elif finding.repair is Repair.RENAME:
                client.api.rename(one.identity, one.name)
                progress.line(f"  ~ {one.label}: named as declared")
            else:
                for what in _reconnect(one, client):
                    progress.line(f"  ~ {one.label}: {what}")
        except NotFound:
            progress.line(f"  ! {one.label}: gone by now", "yellow")
    for finding in said.removed:
        try:
            client.api.stop(finding.real)
            client.api.remove_container(finding.real, force=True)
            progress.line(f"  - {finding.resource}: removed what stood in its place ({finding.real[:12]})")
        except NotFound:
            continue


def _reconnect(one: Declared, client: docker.DockerClient) -> Iterator[str]:
    """Leave networks that are not declared, join those that are, and again those with other aliases or addresses."""
    there = client.api.inspect_container(one.identity)["NetworkSettings"]["Networks"]
    wanted = {said["name"]: said for said in one.inputs.get("networksAdvanced") or ()}
    for name in sorted(there.keys() - wanted.keys()):
        client.api.disconnect_container_from_network(one.identity, name, force=True)
        yield f"left {name}"
    for name, said in wanted.items():
        aliases, address = said.get("aliases") or None, said.get("ipv4Address") or None
        if name in there:
            found = set(there[name].get("Aliases") or ()) - {one.identity[:12]}
            config = (there[name].get("IPAMConfig") or {}).get("IPv4Address")
            if found == set(aliases or ()) and config == address:
                continue
            client.api.disconnect_container_from_network(one.identity, name, force=True)
        client.api.connect_container_to_network(one.identity, name, aliases=aliases, ipv4_address=address)
        yield f"joined {name}"
