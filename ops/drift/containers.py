"""Compares containers with what was declared of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ops.drift.container_fields import FIELDS, Field
from ops.drift.container_view import ANY, Container
from ops.drift.declared import Declared
from ops.drift.findings import UNSET, Finding, Repair, spelled

GONE = "gone"
ENDED = "ended well"
RUNNING = "running"
NO_LIMIT: tuple[Any, ...] = ("unlimited", 0, frozenset())


def compare(declared: Declared, container: Container) -> Iterator[Finding]:
    """Find every field of a container that is not as declared, and whether it runs as it should."""
    real, reference = container.found["Id"], declared.inputs["image"]
    moved = container.config("Image") == reference and not container.runs_declared_image
    for name, said, found, repair in [*_fields(container), *_running(declared, container.found)]:
        if name == "image" and moved:
            # What was declared still runs: a repair would bring up what the tag means by now.
            advice = (
                f"docker tag {container.found['Image'][7:19]} {reference}, unless the new image is meant: then `up`"
            )
            told = f"the tag means another image by now ({found})"
            yield Finding(declared.label, name, said, told, Repair.NOBODY, declared.urn, advice, real)
        else:
            yield Finding(declared.label, name, said, found, repair, declared.urn, real=real)


def missing(declared: Declared) -> Finding:
    """Return the finding for a container that the engine does not have."""
    said = ENDED if declared.one_shot else RUNNING
    return Finding(declared.label, "state", said, GONE, Repair.UPDATE, declared.urn)


def made_anew(declared: Declared, container: Container) -> Iterator[Finding]:
    """Find what differs where somebody has removed the declared container and made another of its name."""
    told = f"container {container.found['Id'][:12]}"
    identity = container.found["Id"]
    yield Finding(declared.label, "id", declared.identity[:12], told, Repair.RECREATE, declared.urn, real=identity)
    for finding in compare(declared, container):
        yield Finding(
            finding.resource, finding.field, finding.declared, finding.found, Repair.RECREATE, finding.urn,
            real=identity,
        )  # fmt: skip


Difference = tuple[str, str, str, Repair]


def _fields(container: Container) -> Iterator[Difference]:
    for field in FIELDS:
        said, found = field.declared(container), field.found(container)
        if isinstance(found, Mapping):
            yield from _entries(field, said, found, container)
        elif said is not ANY and said != found and not _unknowable(field, container):
            # To the engine's update, no limit means the one that is there.
            unlimited = field.repair is Repair.UPDATE and said in NO_LIMIT
            yield field.name, spelled(said), spelled(found), Repair.REPLACE if unlimited else field.repair


def _entries(field: Field, said: Any, found: Mapping[str, Any], container: Container) -> Iterator[Difference]:
    if said is ANY:
        return
    for name in sorted({*said, *found}):
        one, other = said.get(name), found.get(name)
        if one is ANY or one == other:
            continue
        # Of another image, or one that is gone, nobody knows what it says by itself.
        if name not in said and field.of_image and container.image is None:
            continue
        # A port that the engine may choose: any will do, as long as there is one.
        if field.name == "ports" and name in said and one is None and other:
            continue
        yield f"{field.name}.{name}", _spelled(one, name, field), _spelled(other, name, field), field.repair


def _spelled(value: Any, name: str, field: Field) -> str:
    if value is None:
        return "not joined" if field.name == "networks" else UNSET
    return spelled(value, name if field.name == "env" else "") if value != "" else '""'


def _unknowable(field: Field, container: Container) -> bool:
    """Tell whether the image alone decides about a field, and cannot be asked."""
    return field.of_image and container.image is None and not any(container.given(name) for name in field.inputs)


def _running(declared: Declared, found: Mapping[str, Any]) -> Iterator[Difference]:
    state = found["State"]
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
        yield "state", RUNNING, f"restarting, {found['RestartCount']} times so far", Repair.REPLACE
    elif status != "running":
        yield "state", RUNNING, f"{status}, exit code {state['ExitCode']}", Repair.UPDATE
    elif (state.get("Health") or {}).get("Status") == "unhealthy":
        yield "health", "healthy", "unhealthy", Repair.REPLACE
