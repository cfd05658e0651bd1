"""Instances, jobs and files that a runtime creates for components."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi

from runtime.spec import Mount, Volume

Resources = pulumi.Output[Sequence[pulumi.Resource]]
"""Resources for `depends_on`: the output resolves, or fails, once an event such as a job's end has happened."""


def all_ready(*groups: pulumi.Input[Sequence[pulumi.Resource]]) -> Resources:
    """Return the resources of all groups; it fails if one of them fails."""
    return pulumi.Output.all(*groups).apply(lambda ready: [resource for group in ready for resource in group])


@dataclass(frozen=True)
class Instance:
    """One long-running container of a service."""

    resource: pulumi.Resource
    """For `depends_on`: exists once the container is healthy."""

    address: pulumi.Output[str]
    """Its name on its networks, which is also the container's name."""

    id: pulumi.Output[str]
    image: pulumi.Output[str]
    """The reference that it runs."""


@dataclass(frozen=True)
class Job:
    """A container that runs to completion."""

    done: Resources
    """Resolves once it has ended with exit code 0, and fails otherwise."""


@dataclass(frozen=True)
class Files:
    """Files that containers mount."""

    volume: Volume
    ready: Resources
    """Resolves once the files are written."""

    contents: Mapping[str, pulumi.Input[str]]
    """Path → content."""

    @property
    def fingerprint(self) -> pulumi.Output[str]:
        """Hash of the files, for `ContainerSpec.content` of a service that reads its files only when it starts.

        It has eight digits, enough to detect a change and too few to guess a secret from.
        """
        text: pulumi.Output[str] = pulumi.Output.json_dumps(self.contents)
        return pulumi.Output.unsecret(text.apply(lambda content: hashlib.sha256(content.encode()).hexdigest()[:8]))

    def mounted_at(self, target: str) -> Mount:
        """Return the read-only mount of these files."""
        return Mount(self.volume.name, target)
