"""Compares containers with their declarations."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ops.drift.container_fields import FIELDS, ContainerField
from ops.drift.container_view import ANY, ComparedContainer
from ops.drift.expected import Declared
from ops.drift.findings import UNSET, Finding, Repair, format_value

MISSING = "gone"
ENDED = "ended well"
RUNNING = "running"
NO_LIMIT: tuple[Any, ...] = ("unlimited", 0, frozenset())


def compare(declared: Declared, container: ComparedContainer) -> Iterator[Finding]:
    """Yield a finding for every field that differs, and one where the container is not in the declared state."""
    container_id, reference = container.inspection["Id"], declared.inputs["image"]
    moved = container.config("Image") == reference and not container.runs_declared_image
    for name, expected, actual, repair in [*_fields(container), *_running(declared, container.inspection)]:
        if name == "image" and moved:
            # The container runs the image that the tag named at deployment: a repair would deploy the tag's new image.
            old_image = container.inspection["Image"][7:19]
            advice = f"docker tag {old_image} {reference}, unless the new image is meant: then `up`"
            moved_to = f"the tag means another image by now ({actual})"
            yield Finding(declared.label, name, expected, moved_to, Repair.MANUAL, declared.urn, advice, container_id)
        else:
            yield Finding(declared.label, name, expected, actual, repair, declared.urn, container_id=container_id)


def missing(declared: Declared) -> Finding:
    """Return the finding for a container that the Docker engine does not have."""
    expected = ENDED if declared.one_shot else RUNNING
    return Finding(declared.label, "state", expected, MISSING, Repair.UPDATE, declared.urn)


def recreated(declared: Declared, container: ComparedContainer) -> Iterator[Finding]:
    """Yield the findings for a container that replaced the declared one under the same name."""
    actual = f"container {container.inspection['Id'][:12]}"
    identity = container.inspection["Id"]
    yield Finding(
        declared.label, "id", declared.identity[:12], actual, Repair.RECREATE, declared.urn, container_id=identity
    )
    for finding in compare(declared, container):
        yield Finding(
            finding.resource, finding.field, finding.declared, finding.actual, Repair.RECREATE, finding.urn,
            container_id=identity,
        )  # fmt: skip


Difference = tuple[str, str, str, Repair]


def _fields(container: ComparedContainer) -> Iterator[Difference]:
    for field in FIELDS:
        expected, actual = field.declared(container), field.actual(container)
        if isinstance(actual, Mapping):
            yield from _entries(field, expected, actual, container)
        elif expected is not ANY and expected != actual and not _unknowable(field, container):
            # Docker's update keeps the current limit where none is given, so removing a limit needs a new container.
            unlimited = field.repair is Repair.UPDATE and expected in NO_LIMIT
            yield (
                field.name,
                format_value(expected),
                format_value(actual),
                Repair.REPLACE if unlimited else field.repair,
            )


def _entries(
    field: ContainerField, expected: Any, actual: Mapping[str, Any], container: ComparedContainer
) -> Iterator[Difference]:
    if expected is ANY:
        return
    for name in sorted({*expected, *actual}):
        expected_value, actual_value = expected.get(name), actual.get(name)
        if expected_value is ANY or expected_value == actual_value:
            continue
        # The defaults of another image, or of one that is gone, are unknown.
        if name not in expected and field.of_image and container.image is None:
            continue
        # The Docker engine may choose this port: any published port is as declared.
        if field.name == "ports" and name in expected and expected_value is None and actual_value:
            continue
        yield (
            f"{field.name}.{name}",
            _format_entry(expected_value, name, field),
            _format_entry(actual_value, name, field),
            field.repair,
        )


def _format_entry(value: Any, name: str, field: ContainerField) -> str:
    if value is None:
        return "not joined" if field.name == "networks" else UNSET
    return format_value(value, name if field.name == "env" else "") if value != "" else '""'


def _unknowable(field: ContainerField, container: ComparedContainer) -> bool:
    """Return whether only the image determines a field, and its inspection is missing."""
    return field.of_image and container.image is None and not any(container.declared(name) for name in field.inputs)


def _running(declared: Declared, inspection: Mapping[str, Any]) -> Iterator[Difference]:
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
