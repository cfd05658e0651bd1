"""The state of a stack, and the recovery from an interrupted run."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import docker
from docker.errors import APIError, NotFound

from machine.progress import Progress
from ops.pulumi_cli import PulumiCli
from settings.names import DATA, KIND_LABEL

CONTAINER = "docker:index/container:Container"
VOLUME = "docker:index/volume:Volume"
NETWORK = "docker:index/network:Network"
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
        return next((stack.get("outputs") or {} for stack in self.of_type(STACK)), {})

    def of_type(self, kind: str) -> Iterator[Mapping[str, Any]]:
        """Return the resources of one type, in order of creation.

        They include resources pending deletion, marked `delete`: a failed release leaves them in service.
        """
        return (resource for resource in self.resources if resource["type"] == kind)

    def failed_jobs(self) -> list[str]:
        """Return the URNs of one-shot jobs that ended with a non-zero exit code."""
        return [
            job["urn"]
            for job in self.of_type(CONTAINER)
            if not job.get("delete") and job["outputs"].get("mustRun") is False and job["outputs"].get("exitCode")
        ]

    def kept_with_data(self) -> list[str]:
        """Return the URNs of data volumes, and of generated secrets, without which the data cannot be opened."""
        volumes = [resource["urn"] for resource in self.of_type(VOLUME) if labels(resource).get(KIND_LABEL) == DATA]
        # A resource pending deletion has the same URN as its replacement.
        return list(dict.fromkeys(volumes + [resource["urn"] for resource in self.of_type(GENERATED)]))

    def generated(self, names: Iterable[str]) -> dict[str, str]:
        """Return generated secrets by name, the suffix of their resource names; the state must be read `opened`."""
        values = {resource["urn"]: (resource.get("outputs") or {}).get("value") for resource in self.of_type(GENERATED)}
        opened = {
            urn: secret["plaintext"]
            for urn, secret in values.items()
            if isinstance(secret, dict) and "plaintext" in secret
        }
        return {name: json.loads(text) for name in names for urn, text in opened.items() if urn.endswith(f"-{name}")}

    def replaced(self) -> set[str]:
        """Return the ids of containers that are deleted once their replacements are healthy."""
        return {str(container["id"]) for container in self.of_type(CONTAINER) if container.get("delete")}


def labels(resource: Mapping[str, Any]) -> dict[str, str]:
    """Return the labels in the inputs of a resource."""
    return {item["label"]: item["value"] for item in resource["inputs"].get("labels") or ()}


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
    progress.line(f"  · the state forgot {len(state.pending)} operations that an interrupted run had begun", "dim")
    return State.of(pulumi_cli)


def remove_begun(state: State, client: docker.DockerClient, stack: str, progress: Progress) -> None:
    """Remove containers, networks and volumes that a run created but did not record.

    They are identified by the unique name in the pending operation and by this stack's label; a container that has not
    joined its networks yet has no other mark. A volume in use stays: Docker refuses to remove it.
    """
    # Containers first: they use the networks and volumes.
    kinds: dict[str, Any] = {CONTAINER: client.containers, NETWORK: client.networks, VOLUME: client.volumes}
    known_ids = {resource.get("id") for kind in kinds for resource in state.of_type(kind)}
    for operation in sorted(state.pending, key=lambda operation: operation["resource"]["type"] != CONTAINER):
        resource = operation["resource"]
        name = (resource.get("inputs") or {}).get("name")
        if operation["type"] != "creating" or resource["type"] not in kinds or not name:
            continue
        try:
            created = kinds[resource["type"]].get(name)
        except NotFound:
            continue
        of_container = resource["type"] == CONTAINER
        created_labels = created.labels if of_container else created.attrs.get("Labels") or {}
        if created.id in known_ids or created_labels.get("dockyard.stack") != stack:
            continue
        try:
            created.remove(**({"force": True} if of_container else {}))
        except APIError as error:
            progress.line(f"  · {name}, which an interrupted run made, is in use and stays: {error.explanation}")
            continue
        progress.line(f"  · removed {name}, which an interrupted run had begun to make", "dim")


def remove_strays(state: State, client: docker.DockerClient, stack: str, progress: Progress) -> None:
    """Remove containers that an interrupted run created but did not record.

    A container is removed only if it has this stack's label, uses a network or volume that only this state has, and is
    not in the state itself.
    """
    known_ids = {resource["id"] for resource in state.of_type(CONTAINER)}
    own_ids = {resource["id"] for kind in (NETWORK, VOLUME) for resource in state.of_type(kind)}
    for container in client.containers.list(
        all=True, filters={"label": f"dockyard.stack={stack}"}, ignore_removed=True
    ):
        uses = {network["NetworkID"] for network in container.attrs["NetworkSettings"]["Networks"].values()}
        uses |= {mount.get("Name") for mount in container.attrs.get("Mounts") or ()}
        if container.id in known_ids or not own_ids & uses:
            continue
        try:
            container.remove(force=True)
        except NotFound:
            continue
        service = container.labels.get("dockyard.service", container.name)
        progress.line(f"  · removed the {service} container of an interrupted run", "dim")
