"""What the engine would do: resources of other providers that drifted, and what was changed and never brought up."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ops.drift.declared import Declared, dependents_of, plain
from ops.drift.findings import UNSET, Finding, Repair, format_value, label
from ops.engine import Engine

UNKNOWN = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"
"""How the engine's protocol spells a value that is known only after an `up`."""

CHANGES = {"create": "made", "update": "updated", "replace": "replaced", "delete": "removed"}
NO_RESOURCES = ("pulumi:", "dockyard:")
"""Types that nothing on any machine stands for."""


@dataclass(frozen=True)
class Preview:
    """What came of a preview with refresh."""

    steps: Sequence[Mapping[str, Any]] = field(default=())
    problem: str = ""
    """Why there is none."""


def preview(engine: Engine) -> Preview:
    """Ask the engine what it would change, after it has looked at every resource; nothing is written anywhere."""
    try:
        # Secrets opened, or one that was changed could not be told from one that was not. Nothing of it is printed.
        report = engine.read("preview", "--refresh", "--json", "--show-secrets")
    except subprocess.CalledProcessError as error:
        return Preview(problem=_problem(error))
    return Preview(tuple(report["steps"]))


def _problem(error: subprocess.CalledProcessError) -> str:
    try:
        diagnostics = json.loads(error.stdout).get("diagnostics") or ()
    except ValueError:
        diagnostics = ()
    errors = [str(diagnostic["message"]).strip() for diagnostic in diagnostics if diagnostic.get("severity") == "error"]
    lines = [line for line in (error.stderr or "").splitlines() if line.strip()]
    return "\n".join(errors or lines[-3:]) or f"the engine's preview ended with exit code {error.returncode}"


def judge(
    previewed: Preview, declared: Sequence[Declared], reported_urns: Collection[str]
) -> tuple[list[Finding], list[str]]:
    """Return what drifted, and what the next `up` would do for another reason.

    That is what was changed in the program or its secrets and never brought up, and the removal of what a failed run
    has replaced and left.

    `known` are URNs that the comparison has told of already. A resource that the program declares as the state has it,
    and that the engine would change all the same, has drifted. What stands on one that drifted follows from it: the
    new one has another name, or inputs that are known only then.
    """
    by_urn = {resource.urn: resource for resource in declared if not resource.pending_delete}
    following = dependents_of(reported_urns, declared)
    findings: list[Finding] = []
    replaced = [resource for resource in declared if resource.pending_delete]
    pending = [
        f"{resource.label}: {resource.identity[:12]}, which was replaced, would be removed" for resource in replaced
    ]
    for step in previewed.steps:
        if step["op"] not in CHANGES or step["urn"].split("::")[-2].rsplit("$", 1)[-1].startswith(NO_RESOURCES):
            continue
        before = by_urn.get(step["urn"])
        inputs = plain((step.get("newState") or {}).get("inputs") or {})
        changed = sorted(_changed(inputs, before.inputs)) if before and step["op"] != "delete" else []
        if changed and step["urn"] in following:
            continue
        if before is None or step["op"] == "delete" or changed:
            suffix = f" ({', '.join(changed)})" if changed else ""
            pending.append(f"{label(step['urn'])}: would be {CHANGES[step['op']]}{suffix}")
        elif step["urn"] not in reported_urns and not _holds_unknown(inputs):
            findings += _drifted(step, before)
    return findings, pending


def _drifted(step: Mapping[str, Any], before: Declared) -> Iterator[Finding]:
    if step["op"] == "create":
        yield Finding(before.label, "resource", "there", "gone", Repair.UPDATE, before.urn)
        return
    outputs = plain((step.get("oldState") or {}).get("outputs") or {})
    paths = list(step.get("detailedDiff") or ["resource"])
    findings = [
        Finding(before.label, path, _at(before.inputs, path), _at(outputs, path), Repair.UPDATE, before.urn)
        for path in paths
    ]
    # What the other side fills in empty stands in the difference too, and says nothing beside the rest.
    yield from [finding for finding in findings if finding.declared != finding.actual] or findings


def _at(values: Any, path: str) -> str:
    for part in path.replace("[", ".").replace("]", "").split("."):
        if isinstance(values, list) and part.isdigit() and int(part) < len(values):
            values = values[int(part)]
        elif isinstance(values, Mapping) and part in values:
            values = values[part]
        else:
            return UNSET
    return format_value(values)


def _changed(new: Mapping[str, Any], old: Mapping[str, Any]) -> Iterator[str]:
    """Find inputs that the program declares otherwise than the state has them; the engine's own names are left out."""
    for name in {*new, *old} - {"name"}:
        if not _same(new.get(name), old.get(name)):
            yield name


def _same(new: Any, old: Any) -> bool:
    if new == UNKNOWN:
        return True
    if isinstance(new, Mapping) and isinstance(old, Mapping):
        return all(_same(new.get(name), old.get(name)) for name in {*new, *old})
    if isinstance(new, list) and isinstance(old, list):
        return len(new) == len(old) and all(
            _same(new_item, old_item) for new_item, old_item in zip(new, old, strict=True)
        )
    return bool(new == old)


def _holds_unknown(value: Any) -> bool:
    if isinstance(value, Mapping):
        return any(_holds_unknown(inner) for inner in value.values())
    if isinstance(value, list):
        return any(_holds_unknown(inner) for inner in value)
    return bool(value == UNKNOWN)
