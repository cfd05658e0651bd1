"""Reads the resources of a Pulumi state as instances, jobs, volumes and networks, whatever runtime they belong to."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from runtime.labels import DATA, SERVICE, VOLUME_KIND

CONTAINER = "docker:index/container:Container"
VOLUME = "docker:index/volume:Volume"
NETWORK = "docker:index/network:Network"

MARK, MARKED_SECRET = "4dabf18193072939515e22adb298388d", "1b47061264138c4ac30d75fd1eb44270"
"""Key and value by which Pulumi's protocol marks a secret."""


class Secret(str):
    """A string that the state keeps encrypted: it is compared but never printed."""

    __slots__ = ()


@dataclass(frozen=True)
class Resource:
    """One resource as its inputs declare it, in a state or before it is created."""

    type: str
    urn: str
    inputs: Mapping[str, Any]
    """With Pulumi's names (`memorySwap`)."""

    id: str = ""
    """The id that the provider assigned; a volume's id is its name."""

    outputs: Mapping[str, Any] = field(default_factory=dict)
    dependencies: frozenset[str] = frozenset()
    protect: bool = False
    retained: bool | None = None
    """`retain_on_delete`; None where it is unknown: Pulumi does not pass it to policy packs."""

    pending_delete: bool = False
    """Whether Pulumi still has to delete it: a failed release left the replaced resource in service."""

    @classmethod
    def from_state(cls, entry: Mapping[str, Any]) -> Resource:
        """Read an entry of a state; secrets become Secrets where the state was read with decrypted secrets."""
        return cls(
            type=entry["type"],
            urn=entry.get("urn", ""),
            inputs=plain(entry.get("inputs") or {}),
            id=str(entry.get("id") or ""),
            outputs=plain(entry.get("outputs") or {}),
            dependencies=frozenset(entry.get("dependencies") or ()),
            protect=bool(entry.get("protect")),
            retained=bool(entry.get("retainOnDelete")),
            pending_delete=bool(entry.get("delete")),
        )

    @property
    def is_instance(self) -> bool:
        """Whether it is an instance of a service, or a job."""
        return self.type == CONTAINER

    @property
    def is_volume(self) -> bool:
        """Whether it is a volume."""
        return self.type == VOLUME

    @property
    def is_network(self) -> bool:
        """Whether it is a network."""
        return self.type == NETWORK

    @property
    def name(self) -> str:
        """The name in the runtime, which Pulumi generates: `shop-app-web-1a2b3c4`."""
        return str(self.inputs.get("name") or self.outputs.get("name") or self.id)

    @property
    def label(self) -> str:
        """Kind and name in the program, for messages: `container shop-app-web`."""
        return urn_label(self.urn)

    @property
    def labels(self) -> dict[str, str]:
        """The declared labels."""
        # A preview leaves out values that are unknown.
        return {str(entry.get("label")): str(entry.get("value")) for entry in self.inputs.get("labels") or ()}

    @property
    def holds_data(self) -> bool:
        """Whether it is a volume with content that cannot be recreated."""
        return self.is_volume and self.labels.get(VOLUME_KIND) == DATA

    @property
    def service(self) -> str:
        """The role of an instance in its stack: `postgres`."""
        return self.labels.get(SERVICE, "")

    @property
    def image(self) -> str:
        """The image reference of an instance."""
        return str(self.inputs.get("image") or "")

    @property
    def one_shot(self) -> bool:
        """Whether it is a job: it runs once and exits."""
        return self.is_instance and self.inputs.get("mustRun") is False

    @property
    def failed(self) -> bool:
        """Whether it is a job that ended with a non-zero exit code."""
        return self.one_shot and bool(self.outputs.get("exitCode"))

    @property
    def is_writer(self) -> bool:
        """Whether it is a job that writes configuration files."""
        return self.is_instance and self.urn.endswith("-writer")

    @property
    def mounts(self) -> dict[str, str]:
        """Volume (or path of the host) → where an instance mounts it."""
        return {mount["source"]: mount["target"] for mount in self.inputs.get("mounts") or () if "source" in mount}


def urn_label(urn: str) -> str:
    """Return the kind and the name of a resource: `container shop-app-web`."""
    *_, chain, name = urn.split("::")
    return f"{chain.rsplit('$', 1)[-1].rsplit(':', 1)[-1].lower()} {name}"


def dependents_of(urns: Collection[str], declared: Sequence[Resource]) -> set[str]:
    """Return the URNs that depend on any of these, directly or indirectly; the state lists dependencies first."""
    reached = set(urns)
    for resource in declared:
        if resource.dependencies & reached:
            reached.add(resource.urn)
    return reached - set(urns)


def plain(value: Any, *, secret: bool = False) -> Any:
    """Return inputs without Pulumi's internal keys; every string of a decrypted secret becomes a Secret."""
    if isinstance(value, Mapping):
        if value.get(MARK) == MARKED_SECRET and "plaintext" in value:
            return plain(json.loads(value["plaintext"]), secret=True)
        return {key: plain(inner, secret=secret) for key, inner in value.items() if key != "__defaults"}
    if isinstance(value, list):
        return [plain(item, secret=secret) for item in value]
    return Secret(value) if secret and isinstance(value, str) else value
