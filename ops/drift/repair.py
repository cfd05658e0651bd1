"""Repairs findings by the least intrusive means, and changes nothing else."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from ops.drift.findings import DATA_LOST, Finding, Repair
from runtime.pulumi_state import Resource, dependents_of, urn_label

IN_PLACE = (Repair.UNPAUSE, Repair.RECONNECT, Repair.RENAME)
"""Repairs through the engine's API, without an interruption."""

NEEDS_REPLACE = (Repair.REPLACE, Repair.REWRITE)
"""Repairs of differences that Pulumi does not detect, so that it needs `--replace`."""


@dataclass(frozen=True)
class RepairPlan:
    """The steps that repair a list of findings."""

    in_place: Sequence[Finding]
    """Findings to repair through the engine's API."""

    removed: Sequence[Finding]
    """Containers under the names of declared ones; they are removed first."""

    targets: Sequence[str]
    """URNs to target with an `up`."""

    replaced: Sequence[str]
    """Those targets that must be replaced, although Pulumi sees no difference."""

    @property
    def arguments(self) -> list[str]:
        """Arguments of the `pulumi up` that repairs."""
        # Dependents use the replaced resource (its name, its files, its list of containers), so they are updated too.
        return [
            "--refresh",
            "--target-dependents",
            *(f"--target={urn}" for urn in self.targets),
            *(f"--replace={urn}" for urn in self.replaced),
        ]


def guarded(findings: Sequence[Finding], declared: Sequence[Resource]) -> list[Finding]:
    """Return the findings, with those that no repair may touch set to `Repair.MANUAL`.

    Where a data volume is lost, containers that mount it are not repaired: a restarted store would begin with an empty
    volume and look healthy. The same holds for resources whose repair would restart such a container.
    """
    lost = {finding.urn for finding in findings if finding.advice == DATA_LOST}
    lost_volumes = {resource.id for resource in declared if resource.urn in lost and resource.is_volume}
    on_lost_data = {resource.urn for resource in declared if lost_volumes & resource.mounts.keys()}
    return [_guarded(finding, on_lost_data, declared) for finding in findings]


def _guarded(finding: Finding, on_lost_data: set[str], declared: Sequence[Resource]) -> Finding:
    if finding.urn in on_lost_data:
        return replace(finding, repair=Repair.MANUAL, advice=f"its data are lost: {DATA_LOST}")
    if finding.repair is Repair.MANUAL or finding.repair in IN_PLACE:
        return finding
    restarted = on_lost_data & (dependents_of({finding.urn, *finding.also_replace}, declared) | {*finding.also_replace})
    if not restarted:
        return finding
    names = ", ".join(sorted(map(urn_label, restarted)))
    return replace(finding, repair=Repair.MANUAL, advice=f"would restart {names}, whose data are lost: {DATA_LOST}")


def plan(findings: Sequence[Finding]) -> RepairPlan:
    """Return the plan that repairs the findings."""
    replaced = _urns(findings, NEEDS_REPLACE) + [urn for finding in findings for urn in finding.also_replace]
    rebuilt = {*replaced, *_urns(findings, (Repair.RECREATE,))}
    # A replaced container needs no other repair, except that a paused one should answer until it is replaced.
    in_place = [
        finding
        for finding in findings
        if finding.repair in IN_PLACE and (finding.urn not in rebuilt or finding.repair is Repair.UNPAUSE)
    ]
    targets = _urns(findings, (Repair.UPDATE, Repair.RECREATE)) + replaced
    removed = {finding.container_id: finding for finding in findings if finding.repair is Repair.RECREATE}
    return RepairPlan(in_place, list(removed.values()), list(dict.fromkeys(targets)), list(dict.fromkeys(replaced)))


def _urns(findings: Sequence[Finding], repairs: Collection[Repair]) -> list[str]:
    return [finding.urn for finding in findings if finding.repair in repairs and finding.urn]
