"""Frees disk space of a Docker engine. Keeps all that runs or that a rollback needs, and never touches a volume."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import docker
import typer
from docker.errors import APIError, DockerException, ImageNotFound, NotFound

from machine.progress import Progress, SetupError
from machine.workdir import WorkDir
from ops.deploy import history
from ops.pulumi_cli import PulumiCli
from ops.session import prepare_tools
from ops.state.locks import lock_holder
from ops.state.snapshot import State
from runtime import labels
from runtime.instances import live_instances
from settings.images import load_images
from settings.machine import read_machine
from settings.release import Release
from settings.units import parse_duration
from toolchain.docker_engine import ensure_engine

RELEASES_KEPT = 5
"""Number of distinct good releases per stack, newest first, whose images stay: rollbacks to them need no pull."""

BUILT_HERE = "dockyard/"
"""Name prefix of the images that this checkout builds: settings/images.py."""


@dataclass(frozen=True)
class StackInventory:
    """The Docker objects that belong to the stacks of this checkout."""

    stacks: frozenset[str]
    containers: frozenset[str]
    networks: frozenset[str]
    needed: frozenset[str]
    """References of the images that run, that the files name, or that a rollback needs."""

    named: frozenset[str]
    """`needed`, and the images of all older releases: an image of these repositories is one of ours."""


@dataclass(frozen=True)
class Removal:
    """One object that was removed, or would be in a dry run."""

    kind: str
    name: str
    size: int = 0
    """Bytes."""


@dataclass
class CleanupReport:
    """The outcome of a clean-up."""

    dry_run: bool
    removed: list[Removal] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    """Objects that the Docker engine refused to remove, and why."""

    @property
    def freed(self) -> int:
        """Bytes. A layer that several images share is counted once for each of them."""
        return sum(removal.size for removal in self.removed)

    def as_json(self) -> str:
        """Return the report as JSON."""
        removed = [{"kind": removal.kind, "name": removal.name, "bytes": removal.size} for removal in self.removed]
        return json.dumps(
            {"dry_run": self.dry_run, "freed_bytes": self.freed, "removed": removed, "refused": self.refused}, indent=2
        )

    def lines(self) -> Iterator[str]:
        """Return the report as lines of text."""
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
    """Remove unneeded objects older than `older_than`. Return the exit code: 1 if Docker refused to remove one.

    Raises SetupError for an invalid duration, and the errors of `read_inventory`: with an incomplete inventory nothing
    is removed.
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
    """Read the states and histories of all stacks.

    Raises SetupError if a stack is being changed or the history of this kind of backend cannot be read, and
    CalledProcessError if a state cannot be read.
    """
    stacks = PulumiCli(work, "", env).list_stacks()
    containers: set[str] = set()
    networks: set[str] = set()
    table = load_images(work.checkout / "components" / "images.yaml")
    needed = {table.reference(name) for name in table.names} | {*read_machine(work.machine_file).images.values()}
    named = set(needed)
    store = history.history_store(work)
    for stack in stacks:
        if holder := lock_holder(store, stack):
            # Objects that it has created already are not in a state yet.
            raise SetupError(f"the stack {stack} is being changed by {holder}", "run this again when that has ended")
        state = State.of(PulumiCli(work, stack, env))
        containers |= {instance.id for instance in state.instances}
        networks |= {network.id for network in state.networks}
        needed |= {str(instance.outputs.get("image")) for instance in state.instances}
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
    """Remove unneeded containers, networks, images and build cache older than `before` from an engine."""
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
            continue  # removed in the meantime
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
    """Find stopped containers of our stacks that are in no state.

    Containers of another checkout may carry the label of a stack of the same name. They stay: they are on an existing
    network that is in no state of this checkout.
    """
    existing_networks = {str(network.id) for network in client.networks.list()}
    for instance in live_instances(client, label=labels.STACK):
        if instance.id in inventory.containers or instance.stack not in inventory.stacks:
            continue
        if instance.status not in ("created", "exited", "dead") or instance.created >= before:
            continue
        if instance.networks & (existing_networks - inventory.networks):
            continue
        yield "container", instance.name, 0, instance.container.remove


def _networks(
    client: docker.DockerClient, inventory: StackInventory, before: datetime
) -> Iterator[tuple[str, str, int, Any]]:
    """Find networks of our stacks that are in no state and that no container, running or stopped, is attached to."""
    joined = {network for instance in live_instances(client) for network in instance.networks}
    for network in client.networks.list(filters={"label": labels.STACK}):
        if network.id in inventory.networks or network.id in joined or _parse_time(network.attrs["Created"]) >= before:
            continue
        if network.attrs["Labels"][labels.STACK] in inventory.stacks:
            yield "network", str(network.name), 0, network.remove


def _images(
    client: docker.DockerClient, inventory: StackInventory, before: datetime
) -> Iterator[tuple[str, str, int, Any]]:
    """Find unneeded images of our repositories."""
    needed = {container.attrs["Image"] for container in client.containers.list(all=True, ignore_removed=True)}
    for reference in inventory.needed:
        try:
            needed.add(client.images.get(reference).id)
        except (ImageNotFound, DockerException):
            continue  # not on this engine, or not a valid reference: it protects no image here
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
    """Removes the names of an image one by one, without force, so that the engine refuses an image in use."""

    client: docker.DockerClient
    names: Sequence[str]

    def __call__(self) -> None:
        for place, name in enumerate(self.names):
            try:
                self.client.images.remove(name)
            except ImageNotFound:
                if not place:
                    raise
                # Removing the last tag removes the image's digests too.


def _build_cache(client: docker.DockerClient, before: datetime, age: timedelta, *, dry_run: bool) -> int:
    """Prune the build cache of all builds: the next build recreates it. Return the bytes freed."""
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

    Like the engine's own lists, it omits the default registry `docker.io`.
    """
    path = reference.partition("@")[0]
    head, colon, tag = path.rpartition(":")
    path = head if colon and "/" not in tag else path
    return path.removeprefix("docker.io/").removeprefix("library/")


def _parse_time(text: str) -> datetime:
    """Parse a time of the engine. It writes the year 1 for "never"."""
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
