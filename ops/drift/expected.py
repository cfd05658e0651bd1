"""The resources that the state declares, with decrypted inputs and marked secrets."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

from ops.drift.findings import Secret
from ops.state.snapshot import State
from runtime.resources import Resource

MARK, MARKED_SECRET = "4dabf18193072939515e22adb298388d", "1b47061264138c4ac30d75fd1eb44270"
"""Key and value by which Pulumi's protocol marks a secret."""


def declared_in(state: State) -> list[Resource]:
    """Return the resources of a state with plain inputs. The state must have been read with decrypted secrets."""
    return [replace(resource, inputs=plain(resource.inputs)) for resource in state.declared]


def dependents_of(urns: Collection[str], declared: Sequence[Resource]) -> set[str]:
    """Return the URNs that depend on any of these, directly or indirectly; the state lists dependencies first."""
    reached = set(urns)
    for resource in declared:
        if resource.dependencies & reached:
            reached.add(resource.urn)
    return reached - set(urns)


def plain(value: Any, *, secret: bool = False) -> Any:
    """Return inputs without Pulumi's internal keys; every string of a secret becomes a Secret."""
    if isinstance(value, Mapping):
        if value.get(MARK) == MARKED_SECRET:
            return plain(json.loads(value["plaintext"]), secret=True)
        return {key: plain(inner, secret=secret) for key, inner in value.items() if key != "__defaults"}
    if isinstance(value, list):
        return [plain(item, secret=secret) for item in value]
    return Secret(value) if secret and isinstance(value, str) else value
