"""Reads a Pulumi preview: drift of resources of other providers, and changes that no `up` has deployed yet."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ops.drift.findings import UNSET, Finding, Repair, format_value
from ops.pulumi_cli import PulumiCli
from runtime.pulumi_state import Resource, dependents_of, plain, urn_label

UNKNOWN = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"
"""Placeholder of Pulumi's protocol for a value that is known only after an `up`."""

CHANGES = {"create": "created", "update": "updated", "replace": "replaced", "delete": "removed"}
NO_RESOURCES = ("pulumi:", "dockyard:")
"""Prefixes of types without a real resource: providers, the stack, components."""


@dataclass(frozen=True)
class Preview:
    """The steps of a preview with refresh, or the reason why it failed."""

    steps: Sequence[Mapping[str, Any]] = field(default=())
    problem: str = ""
    """Why the preview failed; empty where it succeeded."""


def preview(pulumi_cli: PulumiCli) -> Preview:
    """Run a Pulumi preview with refresh; nothing is written anywhere."""
    try:
        # Decrypt secrets to see which of them changed. Their values are never printed.
        report = pulumi_cli.read("preview", "--refresh", "--json", "--show-secrets")
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
    return "\n".join(errors or lines[-3:]) or f"Pulumi's preview ended with exit code {error.returncode}"


def judge(
    previewed: Preview, declared: Sequence[Resource], reported_urns: Collection[str]
) -> tuple[list[Finding], list[str]]:
    """Return the findings of a preview, and the changes that the next `up` would make for other reasons than drift.

    Other reasons are changes of the program or its secrets that no `up` has deployed yet, and resources that a failed
    run has replaced but not removed.

    `reported_urns` are resources that the comparison with Docker has already reported. A resource has drifted where
    the program declares it as the state does, and Pulumi would change it all the same. Changes of resources that depend
    on a drifted one are left out: they only follow from its new name, or from inputs that are unknown until then.
    """
    by_urn = {resource.urn: resource for resource in declared if not resource.pending_delete}
    following = dependents_of(reported_urns, declared)
    findings: list[Finding] = []
    replaced = [resource for resource in declared if resource.pending_delete]
    pending = [f"{resource.label}: {resource.id[:12]}, which was replaced, would be removed" for resource in replaced]
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
            pending.append(f"{urn_label(step['urn'])}: would be {CHANGES[step['op']]}{suffix}")
        elif step["urn"] not in reported_urns and UNKNOWN not in json.dumps(inputs):
            findings += _drifted(step, before)
    return findings, pending


def _drifted(step: Mapping[str, Any], before: Resource) -> Iterator[Finding]:
    if step["op"] == "create":
        yield Finding(before.label, "resource", "present", "gone", Repair.UPDATE, before.urn)
        return
    outputs = plain((step.get("oldState") or {}).get("outputs") or {})
    paths = list(step.get("detailedDiff") or ["resource"])
    findings = [
        Finding(before.label, path, _at(before.inputs, path), _at(outputs, path), Repair.UPDATE, before.urn)
        for path in paths
    ]
    # The difference also lists values that the provider fills in as empty: they count only where nothing else differs.
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
    """Yield the inputs that differ between program and state, except `name`, which Pulumi generates."""
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
