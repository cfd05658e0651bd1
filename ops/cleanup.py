"""Frees disk space of a Docker engine, safely for what runs and for what a rollback needs. Never touches a volume."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import docker
import typer
from docker.errors import APIError, DockerException, ImageNotFound, NotFound

from ops import history
from ops.engine import Engine
from ops.networks import STACK_LABEL
from ops.setup import prepare_tools
from ops.state import CONTAINER, NETWORK, State
from ops.state_locks import lock_holder
from settings.images import load_images
from settings.machine import read_machine
from settings.release import Release
from settings.units import parse_duration
from toolchain.engine import ensure_engine
from toolchain.progress import Progress, SetupError
from toolchain.workdir import WorkDir

RELEASES_KEPT = 5
"""Different good releases of each stack whose images stay, the newest: as far as rollbacks go without a pull."""

BUILT_HERE = "dockyard/"
"""What the names of images begin with that this checkout builds: settings/images.py."""


@dataclass(frozen=True)
class StackInventory:
    """What the stacks of this checkout say is theirs."""

    stacks: frozenset[str]
    containers: frozenset[str]
    networks: frozenset[str]
    needed: frozenset[str]
    """References of images that run, that the files name, or that a rollback goes back to."""

    named: frozenset[str]
    """The same, and all of older releases: what makes an image one of ours."""


@dataclass(frozen=True)
class Removal:
    """One thing that is gone, or would be."""

    kind: str
    name: str
    size: int = 0
    """Bytes."""


@dataclass
class CleanupReport:
    """What came of it."""

    dry_run: bool
    removed: list[Removal] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    """What the Docker engine did not let go of, and why."""

    @property
    def freed(self) -> int:
        """Bytes. Layers that several images share are counted with each of them."""
        return sum(removal.size for removal in self.removed)

    def as_json(self) -> str:
        """Return it for programs."""
        removed = [{"kind": removal.kind, "name": removal.name, "bytes": removal.size} for removal in self.removed]
        return json.dumps(
            {"dry_run": self.dry_run, "freed_bytes": self.freed, "removed": removed, "refused": self.refused}, indent=2
        )

    def lines(self) -> Iterator[str]:
        """Return it for people."""
        verb = "would remove" if self.dry_run else "removed"
        for removal in self.removed:
            yield f"  - {verb} {removal.kind} {removal.name}" + (
                f" ({removal.size / 1e6:,.1f} MB)" if removal.size else ""
            )
        for text in self.refused:
            yield f"  ! {text}"
        total = f"{self.freed / 1e6:,.1f} MB"
        if not self.removed:
            yield "Nothing to clean up"
        elif self.dry_run:
            yield f"Would remove {len(self.removed)} things, up to {total}. Nothing was touched"
        else:
            yield f"Removed {len(self.removed)} things, up to {total}"


def cleanup(work: WorkDir, progress: Progress, *, older_than: str, dry_run: bool, as_json: bool) -> int:
    """Remove what is older than that and that nothing needs; return the exit code, 1 where Docker refused something.

    Raises SetupError for a duration that is none, and as `read_inventory`: where not all is known nothing is removed.
    """
    try:
        age = timedelta(seconds=parse_duration(older_than))
    except ValueError as error:
        raise SetupError(f"--older-than {older_than}: {error}") from error
    client = docker.DockerClient(base_url=ensure_engine(work, progress), timeout=300)
    inventory = read_inventory(work, prepare_tools(work, progress))
    report = clean(client, inventory, datetime.now(UTC) - age, age, dry_run=dry_run)
    if as_json:
        typer.echo(report.as_json())
    else:
        for line in report.lines():
            progress.line(line)
    return 1 if report.refused else 0


def read_inventory(work: WorkDir, env: Mapping[str, str]) -> StackInventory:
    """Read the states and the histories of all stacks. Raises SetupError where one is being changed, or where the
    backend is of a kind whose history cannot be read; CalledProcessError where a state cannot.
    """
    stacks = Engine(work, "", env).list_stacks()
    containers: set[str] = set()
    networks: set[str] = set()
    table = load_images(work.checkout / "components" / "images.yaml")
    needed = {table.reference(name) for name in table.names} | {*read_machine(work.machine_file).images.values()}
    named = set(needed)
    store = history.history_store(work)
    for stack in stacks:
        if holder := lock_holder(store, stack):
            # What it has made already is in no state yet.
            raise SetupError(f"the stack {stack} is being changed by {holder}", "run this again when that has ended")
        state = State.of(Engine(work, stack, env))
        containers |= {resource["id"] for resource in state.of_type(CONTAINER)}
        networks |= {resource["id"] for resource in state.of_type(NETWORK)}
        needed |= {str(resource["outputs"].get("image")) for resource in state.of_type(CONTAINER)}
        releases = [update.release for update in reversed(history.updates(store, stack)) if update.succeeded]
        distinct = _distinct(release for release in releases if release)
        needed |= {reference for release in distinct[:RELEASES_KEPT] for reference in release.images.values()}
        named |= {reference for release in distinct for reference in release.images.values()}
    return StackInventory(
        frozenset(stacks), frozenset(containers), frozenset(networks), frozenset(needed), frozenset(named | needed)
    )


def _distinct(releases: Iterable[Release]) -> list[Release]:
    distinct: list[Release] = []
    for release in releases:
        if not any(history.same(release, earlier) for earlier in distinct):
            distinct.append(release)
    return distinct


def clean(
    client: docker.DockerClient, inventory: StackInventory, before: datetime, age: timedelta, *, dry_run: bool = False
) -> CleanupReport:
    """Remove from an engine what is older than `before` and not needed: containers, networks, images, build cache."""
    report = CleanupReport(dry_run)
    for kind, name, size, remove in (
        *_containers(client, inventory, before),
        *_networks(client, inventory, before),
        *_images(client, inventory, before),
    ):
        try:
            if not dry_run:
                remove()
        except NotFound:
            continue  # somebody else was quicker
        except APIError as error:
            report.refused.append(f"{kind} {name}: {error.explanation}")
            continue
        report.removed.append(Removal(kind, name, size))
    if cache := _build_cache(client, before, age, dry_run=dry_run):
        report.removed.append(Removal("build cache", f"of more than {age.days} days", cache))
    return report


def _containers(
    client: docker.DockerClient, inventory: StackInventory, before: datetime
) -> Iterator[tuple[str, str, int, Any]]:
    """Find containers of ours that have stopped and that no state knows.

    Another checkout's may carry the label of a stack of the same name. Its containers are on a network that exists and
    that no state of this checkout knows, and stay.
    """
    existing_networks = {network.id for network in client.networks.list()}
    for container in client.containers.list(all=True, filters={"label": STACK_LABEL}, ignore_removed=True):
        if container.id in inventory.containers or container.labels[STACK_LABEL] not in inventory.stacks:
            continue
        if container.status not in ("created", "exited", "dead") or _parse_time(container.attrs["Created"]) >= before:
            continue
        endpoints = container.attrs["NetworkSettings"]["Networks"].values()
        if {endpoint.get("NetworkID") for endpoint in endpoints} & (existing_networks - inventory.networks):
            continue
        yield "container", str(container.name), 0, container.remove


def _networks(
    client: docker.DockerClient, inventory: StackInventory, before: datetime
) -> Iterator[tuple[str, str, int, Any]]:
    """Find networks of ours that no state knows and no container, running or not, is to join."""
    joined = {
        endpoint.get("NetworkID")
        for container in client.containers.list(all=True, ignore_removed=True)
        for endpoint in container.attrs["NetworkSettings"]["Networks"].values()
    }
    for network in client.networks.list(filters={"label": STACK_LABEL}):
        if network.id in inventory.networks or network.id in joined or _parse_time(network.attrs["Created"]) >= before:
            continue
        if network.attrs["Labels"][STACK_LABEL] in inventory.stacks:
            yield "network", str(network.name), 0, network.remove


def _images(
    client: docker.DockerClient, inventory: StackInventory, before: datetime
) -> Iterator[tuple[str, str, int, Any]]:
    """Find images whose repository is one of ours, and that nothing needs."""
    needed = {container.attrs["Image"] for container in client.containers.list(all=True, ignore_removed=True)}
    for reference in inventory.needed:
        try:
            needed.add(client.images.get(reference).id)
        except (ImageNotFound, DockerException):
            continue  # it is not on this engine, or no reference at all: nothing here is kept by it
    ours = {_repository(reference) for reference in inventory.named}
    for image in client.images.list():
        names = [*image.tags, *(image.attrs.get("RepoDigests") or ())]
        if image.id in needed or not names:
            continue
        if not all(_repository(name) in ours or name.startswith(BUILT_HERE) for name in names):
            continue
        tagged = image.attrs.get("Metadata", {}).get("LastTagTime") or image.attrs["Created"]
        if max(_parse_time(tagged), _parse_time(image.attrs["Created"])) < before:
            yield "image", names[0], int(image.attrs.get("Size") or 0), _Untag(client, names)


@dataclass(frozen=True)
class _Untag:
    """Takes an image's names away one after the other; without force, so that the engine refuses one in use."""

    client: docker.DockerClient
    names: Sequence[str]

    def __call__(self) -> None:
        for place, name in enumerate(self.names):
            try:
                self.client.images.remove(name)
            except ImageNotFound:
                if not place:
                    raise
                # With its last tag an image's digests go too.


def _build_cache(client: docker.DockerClient, before: datetime, age: timedelta, *, dry_run: bool) -> int:
    """Prune the build cache, whoever built: it is made again by the next build. Return bytes."""
    if dry_run:
        records = client.df().get("BuildCache") or ()
        return sum(
            int(record["Size"])
            for record in records
            if not record["InUse"] and _parse_time(record.get("LastUsedAt") or record["CreatedAt"]) < before
        )
    pruned = client.api.prune_builds(filters={"until": f"{int(age.total_seconds())}s"})
    return int(pruned.get("SpaceReclaimed") or 0)


def _repository(reference: str) -> str:
    """Return a reference without tag and digest: `registry:5000/a/b:1@sha256:…` → `registry:5000/a/b`.

    As the engine lists it: without the registry that it takes where none is named.
    """
    path = reference.partition("@")[0]
    head, colon, tag = path.rpartition(":")
    path = head if colon and "/" not in tag else path
    return path.removeprefix("docker.io/").removeprefix("library/")


def _parse_time(text: str) -> datetime:
    """Return a time as the engine writes it. The year 1 stands for never."""
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
