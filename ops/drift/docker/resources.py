"""Compares containers, networks and volumes with their declarations."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from ops.drift.docker.fields import CONTAINER_FIELDS, NETWORK_FIELDS, VOLUME_FIELDS, Difference
from ops.drift.docker.view import ComparedResource
from ops.drift.findings import DATA_LOST, Finding, Repair
from runtime.pulumi_state import Resource

MISSING = "gone"
ENDED = "exit code 0"
RUNNING = "running"

DATA_KEPT = "--fix does not change it: a new volume would be empty"

Inspection = Mapping[str, Any]


def container(declared: Resource, compared: ComparedResource) -> Iterator[Finding]:
    """Yield a finding for every field that differs, and one where the container is not in the declared state."""
    container_id, reference = compared.inspection["Id"], declared.image
    moved = compared.actual("Config.Image") == reference and not compared.runs_declared_image
    differences = [difference for field in CONTAINER_FIELDS for difference in field.differences(compared)]
    for name, expected, actual, repair in [*differences, *_running(declared, compared.inspection)]:
        if name == "image" and moved:
            # The container runs the image that the tag named at deployment: a repair would deploy the tag's new image.
            old_image = compared.inspection["Image"][7:19]
            advice = f"to keep the old image: docker tag {old_image} {reference}; to use the new one: `up`"
            moved_to = f"the tag now names another image ({actual})"
            yield Finding(declared.label, name, expected, moved_to, Repair.MANUAL, declared.urn, advice, container_id)
        else:
            yield Finding(declared.label, name, expected, actual, repair, declared.urn, container_id=container_id)


def missing_container(declared: Resource) -> Finding:
    """Return the finding for a container that the Docker engine does not have."""
    expected = ENDED if declared.one_shot else RUNNING
    return Finding(declared.label, "state", expected, MISSING, Repair.UPDATE, declared.urn)


def recreated_container(declared: Resource, compared: ComparedResource) -> Iterator[Finding]:
    """Yield the findings for a container that replaced the declared one under the same name."""
    identity = compared.inspection["Id"]
    actual = f"container {identity[:12]}"
    yield Finding(declared.label, "id", declared.id[:12], actual, Repair.RECREATE, declared.urn, container_id=identity)
    for finding in container(declared, compared):
        yield replace(finding, repair=Repair.RECREATE, advice="")


def _running(declared: Resource, inspection: Inspection) -> Iterator[Difference]:
    state = inspection["State"]
    status = str(state["Status"])
    if declared.one_shot:
        if status != "exited":
            yield "state", ENDED, status, Repair.REPLACE
        elif state["ExitCode"]:
            yield "state", ENDED, f"exit code {state['ExitCode']}", Repair.REPLACE
        return
    if declared.inputs.get("mustRun") is None and declared.inputs.get("start") is False:
        return
    if status == "paused":
        yield "state", RUNNING, status, Repair.UNPAUSE
    elif status == "restarting":
        yield "state", RUNNING, f"restarting, {inspection['RestartCount']} times so far", Repair.REPLACE
    elif status != "running":
        yield "state", RUNNING, f"{status}, exit code {state['ExitCode']}", Repair.UPDATE
    elif (state.get("Health") or {}).get("Status") == "unhealthy":
        yield "health", "healthy", "unhealthy", Repair.REPLACE


def network(declared: Resource, networks: Sequence[Inspection]) -> Iterator[Finding]:
    """Compare a network with the Docker engine's networks."""
    inspected = next((network for network in networks if network["Id"] == declared.id), None)
    namesake = next((network for network in networks if network["Name"] == declared.name), None)
    if inspected is None:
        # Containers may use a network of the same name that was created by hand; the declared one is still missing.
        message = f"gone; another network has its name ({namesake['Id'][:12]})" if namesake else MISSING
        yield Finding(declared.label, "network", "present", message, Repair.UPDATE, declared.urn)
    if compared := inspected or namesake:
        for field in NETWORK_FIELDS:
            for name, expected, actual, repair in field.differences(ComparedResource(declared.inputs, compared)):
                yield Finding(declared.label, name, expected, actual, repair, declared.urn)


def volume(declared: Resource, volumes: Mapping[str, Inspection]) -> Iterator[Finding]:
    """Compare a volume; `volumes` are the Docker engine's by name. A data volume is reported but never replaced."""
    data = declared.holds_data
    inspected = volumes.get(declared.id)
    if inspected is None:
        repair, advice = (Repair.MANUAL, DATA_LOST) if data else (Repair.UPDATE, "")
        yield Finding(declared.label, "volume", "present", MISSING, repair, declared.urn, advice)
        return
    for field in VOLUME_FIELDS:
        for name, expected, actual, _ in field.differences(ComparedResource(declared.inputs, inspected)):
            repair, advice = (Repair.MANUAL, DATA_KEPT) if data else (Repair.REPLACE, "")
            yield Finding(declared.label, name, expected, actual, repair, declared.urn, advice)
