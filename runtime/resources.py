"""Reads the resources of a Pulumi state as what they are to a runtime: instances, jobs, volumes and networks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from runtime.labels import DATA, SERVICE, VOLUME_KIND

CONTAINER = "docker:index/container:Container"
VOLUME = "docker:index/volume:Volume"
NETWORK = "docker:index/network:Network"


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
    def in_state(cls, entry: Mapping[str, Any]) -> Resource:
        """Read an entry of a state."""
        return cls(
            type=entry["type"],
            urn=entry.get("urn", ""),
            inputs=entry.get("inputs") or {},
            id=str(entry.get("id") or ""),
            outputs=entry.get("outputs") or {},
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
