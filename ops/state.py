"""What the state of a stack says, and how an interrupted run is mended before the next."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import docker
from docker.errors import APIError, NotFound

from ops.engine import Engine
from settings.names import DATA, KIND_LABEL
from toolchain.progress import Progress

CONTAINER = "docker:index/container:Container"
VOLUME = "docker:index/volume:Volume"
NETWORK = "docker:index/network:Network"
GENERATED = "pulumi-python:dynamic:Resource"
STACK = "pulumi:pulumi:Stack"


@dataclass(frozen=True)
class State:
    """A stack's resources as they stood after its last run."""

    resources: tuple[Mapping[str, Any], ...]
    interrupted: bool
    """A run ended in the middle of an operation, so something may exist that the state does not know."""

    pending: tuple[Mapping[str, Any], ...] = ()
    """Those operations: their `type`, and the `resource` as it was to become."""

    @classmethod
    def of(cls, engine: Engine, *, opened: bool = False) -> State:
        """Read the state, with `opened` secrets. Raises CalledProcessError where the stack does not exist."""
        export = engine.read("stack export", *(["--show-secrets"] if opened else []))
        deployment = export.get("deployment") or {}
        pending = tuple(deployment.get("pending_operations") or ())
        return cls(tuple(deployment.get("resources") or ()), bool(pending), pending)

    @property
    def outputs(self) -> Mapping[str, Any]:
        """What the program exported; secrets are not opened. Empty where nothing is up."""
        return next((stack.get("outputs") or {} for stack in self.of_type(STACK)), {})

    def of_type(self, kind: str) -> Iterator[Mapping[str, Any]]:
        """Return the resources of one type, in the order in which they were made.

        Those that wait for their deletion are among them, marked `delete`: what a failed release left in service.
        """
        return (resource for resource in self.resources if resource["type"] == kind)

    def failed_jobs(self) -> list[str]:
        """Return the URNs of one-shot jobs that ended with another exit code than 0."""
        return [
            job["urn"]
            for job in self.of_type(CONTAINER)
            if not job.get("delete") and job["outputs"].get("mustRun") is False and job["outputs"].get("exitCode")
        ]

    def kept_with_data(self) -> list[str]:
        """Return the URNs of data volumes, and of generated secrets: without those, the data cannot be opened."""
        volumes = [resource["urn"] for resource in self.of_type(VOLUME) if labels(resource).get(KIND_LABEL) == DATA]
        # What waits for its deletion shares its URN with what took its place.
        return list(dict.fromkeys(volumes + [resource["urn"] for resource in self.of_type(GENERATED)]))

    def generated(self, names: Iterable[str]) -> dict[str, str]:
        """Return secrets by the names that end those of their resources; of a state that was read opened."""
        values = {resource["urn"]: (resource.get("outputs") or {}).get("value") for resource in self.of_type(GENERATED)}
        opened = {
            urn: secret["plaintext"]
            for urn, secret in values.items()
            if isinstance(secret, dict) and "plaintext" in secret
        }
        return {name: json.loads(text) for name in names for urn, text in opened.items() if urn.endswith(f"-{name}")}

    def replaced(self) -> set[str]:
        """Return the ids of containers that are to be deleted once what takes their place is healthy."""
        return {str(container["id"]) for container in self.of_type(CONTAINER) if container.get("delete")}


def labels(resource: Mapping[str, Any]) -> dict[str, str]:
    """Return the labels that a resource was made with."""
    return {item["label"]: item["value"] for item in resource["inputs"].get("labels") or ()}


def recover(state: State, engine: Engine, client: docker.DockerClient, progress: Progress) -> State:
    """Put right what an interrupted run left, and return the state after it; one that was not interrupted stays.

    What the run had begun to make and could not write down is removed; whatever else is off, the refresh of the next
    run finds. Then the state forgets the operations: of those that make something the engine would speak for ever.
    """
    # In any case: a run that was told twice to stop lets go of what it makes, and notes no operation.
    remove_strays(state, client, engine.stack, progress)
    if not state.interrupted:
        return state
    remove_begun(state, client, engine.stack, progress)
    engine.clear_pending_operations()
    progress.line(f"  · the state forgot {len(state.pending)} operations that an interrupted run had begun", "dim")
    return State.of(engine)


def remove_begun(state: State, client: docker.DockerClient, stack: str, progress: Progress) -> None:
    """Remove containers, networks and volumes that a run began to make and could not write down.

    They are known by the name that the state gave them, which no other has, and by this stack's label: a container that
    has not joined its networks yet by nothing else. A volume that anything uses stays: Docker refuses to remove it.
    """
    # Containers first: they use the others.
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
    """Remove containers that an interrupted run made and could not write down.

    They are known by three things together: this stack's label, a network or a volume that only this state has, and no
    entry in the state. Nothing else is touched.
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
