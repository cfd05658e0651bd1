"""The state of a stack, and the recovery from an interrupted run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import docker
from docker.errors import APIError, NotFound

from machine.progress import Progress
from ops.pulumi_cli import PulumiCli
from runtime.instances import of_stack, remove_created
from runtime.pulumi_state import Resource, Secret

GENERATED = "pulumi-python:dynamic:Resource"
STACK = "pulumi:pulumi:Stack"


@dataclass(frozen=True)
class State:
    """A stack's resources after its last run."""

    resources: tuple[Mapping[str, Any], ...]
    interrupted: bool
    """A run ended during an operation, so that objects may exist that are not in the state."""

    pending: tuple[Mapping[str, Any], ...] = ()
    """The pending operations: their `type`, and the intended `resource`."""

    @classmethod
    def of(cls, pulumi_cli: PulumiCli, *, opened: bool = False) -> State:
        """Read the state, with decrypted secrets if `opened`. Raises CalledProcessError if the stack does not exist."""
        export = pulumi_cli.read("stack export", *(["--show-secrets"] if opened else []))
        deployment = export.get("deployment") or {}
        pending = tuple(deployment.get("pending_operations") or ())
        return cls(tuple(deployment.get("resources") or ()), bool(pending), pending)

    @property
    def outputs(self) -> Mapping[str, Any]:
        """The outputs of the program, secrets encrypted. Empty if the stack is not up."""
        return next((entry.get("outputs") or {} for entry in self.resources if entry["type"] == STACK), {})

    @cached_property
    def declared(self) -> list[Resource]:
        """The resources that providers created, in order of creation.

        They include resources pending deletion: a failed release leaves them in service.
        """
        return [
            Resource.from_state(entry)
            for entry in self.resources
            if entry.get("custom", True) and not entry["type"].startswith("pulumi:")
        ]

    @property
    def instances(self) -> list[Resource]:
        """The instances of services, and the jobs."""
        return [resource for resource in self.declared if resource.is_instance]

    @property
    def networks(self) -> list[Resource]:
        """The networks."""
        return [resource for resource in self.declared if resource.is_network]

    @property
    def data_volumes(self) -> list[Resource]:
        """The volumes with content that cannot be recreated."""
        return [resource for resource in self.declared if resource.holds_data]

    def instance_of(self, service: str) -> Resource | None:
        """Return the instance of a service that is not pending deletion, None where there is none."""
        return next((each for each in self.instances if each.service == service and not each.pending_delete), None)

    def failed_jobs(self) -> list[str]:
        """Return the URNs of one-shot jobs that ended with a non-zero exit code."""
        return [job.urn for job in self.instances if job.failed and not job.pending_delete]

    def kept_with_data(self) -> list[str]:
        """Return the URNs of data volumes, and of generated secrets, without which the data cannot be opened."""
        urns = [resource.urn for resource in [*self.data_volumes, *self._generated]]
        # A resource pending deletion has the same URN as its replacement.
        return list(dict.fromkeys(urns))

    def generated(self, names: Iterable[str]) -> dict[str, str]:
        """Return generated secrets by name, the suffix of their resource names; the state must be read `opened`."""
        values = {resource.urn: resource.outputs.get("value") for resource in self._generated}
        secrets = {urn: str(value) for urn, value in values.items() if isinstance(value, Secret)}
        return {name: value for name in names for urn, value in secrets.items() if urn.endswith(f"-{name}")}

    @property
    def _generated(self) -> list[Resource]:
        return [resource for resource in self.declared if resource.type == GENERATED]

    def replaced(self) -> set[str]:
        """Return the ids of instances that are deleted once their replacements are healthy."""
        return {instance.id for instance in self.instances if instance.pending_delete}


def recover(state: State, pulumi_cli: PulumiCli, client: docker.DockerClient, progress: Progress) -> State:
    """Recover from an interrupted run, and return the state after it; a state that was not interrupted stays.

    Objects that the run created but did not record are removed; the refresh of the next run corrects the rest. Then
    clear the pending operations, or Pulumi warns about pending creations on every run.
    """
    # In any case: a run that was interrupted twice cancels its operations and records none as pending.
    remove_strays(state, client, pulumi_cli.stack, progress)
    if not state.interrupted:
        return state
    remove_begun(state, client, pulumi_cli.stack, progress)
    pulumi_cli.clear_pending_operations()
    progress.line(f"  · cleared {len(state.pending)} pending operations of an interrupted run", "dim")
    return State.of(pulumi_cli)


def remove_begun(state: State, client: docker.DockerClient, stack: str, progress: Progress) -> None:
    """Remove containers, networks and volumes that a run created but did not record.

    They are identified by the unique name in the pending operation and by this stack's label; a container that has not
    joined its networks yet has no other mark. A volume in use stays: Docker refuses to remove it.
    """
    known_ids = {resource.id for resource in state.declared}
    begun = [
        Resource.from_state(operation["resource"]) for operation in state.pending if operation["type"] == "creating"
    ]
    # Containers first: they use the networks and volumes.
    for resource in sorted(begun, key=lambda resource: not resource.is_instance):
        try:
            removed = remove_created(client, resource, stack, known_ids)
        except APIError as error:
            message = f"{resource.name}, created by an interrupted run, is in use and stays: {error.explanation}"
            progress.line(f"  · {message}")
            continue
        if removed:
            progress.line(f"  · removed {resource.name}, created by an interrupted run", "dim")


def remove_strays(state: State, client: docker.DockerClient, stack: str, progress: Progress) -> None:
    """Remove containers that an interrupted run created but did not record.

    A container is removed only if it has this stack's label, uses a network or volume that only this state has, and is
    not in the state itself.
    """
    known_ids = {instance.id for instance in state.instances}
    own_ids = {resource.id for resource in state.declared if resource.is_network or resource.is_volume}
    for instance in of_stack(client, stack):
        if instance.id in known_ids or not own_ids & (instance.networks | instance.volumes):
            continue
        try:
            instance.remove()
        except NotFound:
            continue
        progress.line(f"  · removed the {instance.service} container of an interrupted run", "dim")
