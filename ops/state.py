"""What the state of a stack says, and how an interrupted run is mended before the next."""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import docker
from docker.errors import NotFound

from ops.engine import Engine
from settings.names import DATA, KIND_LABEL
from toolchain.progress import Progress

CONTAINER = "docker:index/container:Container"
VOLUME = "docker:index/volume:Volume"
NETWORK = "docker:index/network:Network"
GENERATED = "pulumi-python:dynamic:Resource"
STACK = "pulumi:pulumi:Stack"
LOCK_POLL_SECONDS = 0.5


@dataclass(frozen=True)
class State:
    """A stack's resources as they stood after its last run."""

    resources: tuple[Mapping[str, Any], ...]
    interrupted: bool
    """A run ended in the middle of an operation, so something may exist that the state does not know."""

    @classmethod
    def of(cls, engine: Engine, *, opened: bool = False) -> State:
        """Read the state, with `opened` secrets. Raises CalledProcessError where the stack does not exist."""
        said = engine.read("stack export", *(["--show-secrets"] if opened else []))
        deployment = said.get("deployment") or {}
        return cls(
            tuple(deployment.get("resources") or ()),
            bool(deployment.get("pending_operations")),
        )

    @property
    def outputs(self) -> Mapping[str, Any]:
        """What the program exported; secrets are not opened. Empty where nothing is up."""
        return next((one.get("outputs") or {} for one in self.of_type(STACK)), {})

    def of_type(self, kind: str) -> Iterator[Mapping[str, Any]]:
        """Return the resources of one type, in the order in which they were made.

        Those that wait for their deletion are among them, marked `delete`: what a failed release left in service.
        """
        return (one for one in self.resources if one["type"] == kind)

    def failed_jobs(self) -> list[str]:
        """Return the URNs of one-shot jobs that ended with another exit code than 0."""
        return [
            one["urn"]
            for one in self.of_type(CONTAINER)
            if not one.get("delete") and one["outputs"].get("mustRun") is False and one["outputs"].get("exitCode")
        ]

    def kept_with_data(self) -> list[str]:
        """Return the URNs of data volumes, and of generated secrets: without those, the data cannot be opened."""
        volumes = [one["urn"] for one in self.of_type(VOLUME) if labels(one).get(KIND_LABEL) == DATA]
        # What waits for its deletion shares its URN with what took its place.
        return list(dict.fromkeys(volumes + [one["urn"] for one in self.of_type(GENERATED)]))

    def generated(self, names: Iterable[str]) -> dict[str, str]:
        """Return secrets by the names that end those of their resources; of a state that was read opened."""
        values = {one["urn"]: (one.get("outputs") or {}).get("value") for one in self.of_type(GENERATED)}
        opened = {
            urn: said["plaintext"] for urn, said in values.items() if isinstance(said, dict) and "plaintext" in said
        }
        return {name: json.loads(text) for name in names for urn, text in opened.items() if urn.endswith(f"-{name}")}

    def replaced(self) -> set[str]:
        """Return the ids of containers that are to be deleted once what takes their place is healthy."""
        return {str(one["id"]) for one in self.of_type(CONTAINER) if one.get("delete")}


def labels(resource: Mapping[str, Any]) -> dict[str, str]:
    """Return the labels that a resource was made with."""
    return {item["label"]: item["value"] for item in resource["inputs"].get("labels") or ()}


def settle_locks(backend: Path, stack: str, progress: Progress) -> None:
    """Wait for another run on this stack and this machine to end, and remove the lock of one that was killed.

    The lock of another machine is left alone: the engine says who holds it.
    """
    for lock in backend.glob(f".pulumi/locks/**/{stack}/*.json"):
        holder = _holder(lock)
        if holder is None or holder.get("hostname") != socket.gethostname():
            continue
        pid = int(holder["pid"])
        if _alive(pid):
            progress.line(f"  · waiting for another run on this stack to end: process {pid}", "yellow")
            while _alive(pid) and lock.exists():
                time.sleep(LOCK_POLL_SECONDS)
        if lock.exists():
            lock.unlink(missing_ok=True)
            progress.line(f"  · released the lock that process {pid} left when it was killed", "dim")


def lock_holder(backend: Path, stack: str) -> str:
    """Return who holds a stack's lock, in words; nothing where nobody does, or somebody who was killed."""
    for lock in backend.glob(f".pulumi/locks/**/{stack}/*.json"):
        holder = _holder(lock)
        if holder is None:
            continue
        here = holder.get("hostname") == socket.gethostname()
        if not here or _alive(int(holder["pid"])):
            where = "" if here else f" on {holder.get('hostname')}"
            return f"process {holder.get('pid')} of {holder.get('username')}{where} since {holder.get('timestamp')}"
    return ""


def _holder(lock: Path) -> dict[str, Any] | None:
    """Return who holds a lock, None where it has just been given back."""
    try:
        said: dict[str, Any] = json.loads(lock.read_text())
    except FileNotFoundError:
        return None
    return said


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def remove_strays(state: State, engine_client: docker.DockerClient, stack: str, progress: Progress) -> None:
    """Remove containers that an interrupted run made and could not write down.

    They are known by three things together: this stack's label, a network that only this state has, and no entry
    in the state. Nothing else is touched.
    """
    known = {one["id"] for one in state.of_type(CONTAINER)}
    ours = {one["id"] for one in state.of_type(NETWORK)}
    for container in engine_client.containers.list(
        all=True, filters={"label": f"dockyard.stack={stack}"}, ignore_removed=True
    ):
        networks = container.attrs["NetworkSettings"]["Networks"].values()
        if container.id in known or not ours & {network["NetworkID"] for network in networks}:
            continue
        try:
            container.remove(force=True)
        except NotFound:
            continue
        service = container.labels.get("dockyard.service", container.name)
        progress.line(f"  · removed the {service} container of an interrupted run", "dim")
