"""The scorecard: which items of the CIS Docker Benchmark a stack passes, and which are waived."""

from __future__ import annotations

from collections.abc import Sequence

from ops.doctor.cis_items import ITEMS, CisItem
from ops.doctor.docker_snapshot import DockerSnapshot
from ops.doctor.findings import Finding, ItemResult
from ops.doctor.waivers import FILE, Waiver, unneeded_services, waiver_for

ENGINE = "engine"
ITEM_IDS = frozenset(item.id for item in ITEMS)


def scorecard(snapshot: DockerSnapshot, waivers: Sequence[Waiver], environment: str) -> list[ItemResult]:
    """Return the result of every item; items on containers only where at least one container runs."""
    return [_scored(item, snapshot, waivers, environment) for item in ITEMS if item.engine or snapshot.containers]


def _scored(item: CisItem, snapshot: DockerSnapshot, waivers: Sequence[Waiver], environment: str) -> ItemResult:
    if not item.applies(snapshot):
        return ItemResult(item.id, item.title, "not applicable")
    offenders = _offenders(item, snapshot)
    if not offenders:
        unlisted = [container.service for container in snapshot.containers if container.programs is None]
        if item.needs_processes and unlisted:
            unknown = dict.fromkeys(unlisted, "the engine does not list its processes")
            return ItemResult(item.id, item.title, "untold", unknown)
        return ItemResult(item.id, item.title, "passed")
    if item.level > 1:
        return ItemResult(item.id, item.title, "level 2, not met", offenders, remedy=item.remedy)
    applied = {service: waiver_for(waivers, item.id, service, environment) for service in offenders}
    failing = {service: reason for service, reason in offenders.items() if applied[service] is None}
    if failing:
        return ItemResult(item.id, item.title, "failed", failing, remedy=item.remedy)
    reasons = dict.fromkeys(waiver.reason for waiver in applied.values() if waiver)
    return ItemResult(item.id, item.title, "waived", offenders, " ".join(reasons))


def _offenders(item: CisItem, snapshot: DockerSnapshot) -> dict[str, str]:
    """Return service (or `engine`) → how it violates the item."""
    if item.engine:
        offence = item.engine(snapshot)
        return {ENGINE: offence} if offence else {}
    check = item.container
    return {
        container.service: offence
        for container in snapshot.containers
        if check and (offence := check(container, snapshot))
    }


def waivers_not_needed(snapshot: DockerSnapshot, waivers: Sequence[Waiver], environment: str) -> list[Finding]:
    """Return a warning for each waiver whose services run here and pass the item without it."""
    running = {container.service for container in snapshot.containers} | {ENGINE}
    remedy = f"remove them from {FILE} if no other stack needs them"
    findings = []
    for item in ITEMS:
        # Where an item does not apply, nothing shows whether its waiver is needed.
        if not item.applies(snapshot) or not (item.engine or snapshot.containers):
            continue
        if unneeded := unneeded_services(waivers, item.id, running, _offenders(item, snapshot), environment):
            findings.append(
                Finding("CIS waivers", "warning", f"{item.id}: {', '.join(unneeded)} passes without a waiver", remedy)
            )
    return findings
