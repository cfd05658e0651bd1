"""The resources that the state declares, with decrypted inputs and marked secrets."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ops.drift.findings import Secret, label
from ops.state.snapshot import CONTAINER, State

MARK, MARKED_SECRET = "4dabf18193072939515e22adb298388d", "1b47061264138c4ac30d75fd1eb44270"
"""Key and value by which Pulumi's protocol marks a secret."""


@dataclass(frozen=True)
class Declared:
    """One resource as declared by the last run of Pulumi."""

    urn: str
    kind: str
    identity: str
    """The id that Docker assigned; a volume's id is its name."""

    inputs: Mapping[str, Any]
    dependencies: frozenset[str]
    pending_delete: bool
    """Whether Pulumi still has to delete it: a failed release left it running."""

    @property
    def name(self) -> str:
        """The name in Docker."""
        return str(self.inputs.get("name") or self.identity)

    @property
    def label(self) -> str:
        """Kind and name in the program, for messages."""
        return label(self.urn)

    @property
    def labels(self) -> dict[str, str]:
        """Docker's labels."""
        return named(self.inputs.get("labels"), "label")

    @property
    def one_shot(self) -> bool:
        """Whether it is a container that runs once and exits."""
        return self.kind == CONTAINER and self.inputs.get("mustRun") is False


def declared_in(state: State) -> list[Declared]:
    """Return every resource that a provider created. The state must have been read with decrypted secrets."""
    return [
        Declared(
            urn=resource["urn"],
            kind=resource["type"],
            identity=str(resource.get("id", "")),
            inputs=plain(resource.get("inputs") or {}),
            dependencies=frozenset(resource.get("dependencies") or ()),
            pending_delete=bool(resource.get("delete")),
        )
        for resource in state.resources
        if resource.get("custom") and not resource["type"].startswith("pulumi:")
    ]


def dependents_of(urns: Collection[str], declared: Sequence[Declared]) -> set[str]:
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


def named(entries: Any, name: str, value: str = "value") -> dict[str, Any]:
    """Return entries such as `{label, value}` as a mapping."""
    return {entry[name]: entry[value] for entry in entries or ()}


def variables(entries: Any) -> dict[str, str]:
    """Return `NAME=value` entries as a mapping; values of secret entries stay Secrets."""
    return dict(_split(entries or ()))


def _split(entries: Any) -> Iterator[tuple[str, str]]:
    for entry in entries:
        name, _, value = entry.partition("=")
        yield str(name), Secret(value) if isinstance(entry, Secret) else value
