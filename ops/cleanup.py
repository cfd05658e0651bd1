"""Frees disk space of a Docker engine. Keeps all that runs or that a rollback needs, and never touches a volume."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
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


@dataclass
class StackInventory:
    """The Docker objects that belong to the stacks of this checkout."""

    stacks: set[str] = field(default_factory=set)
    containers: set[str] = field(default_factory=set)
    networks: set[str] = field(default_factory=set)
    needed: set[str] = field(default_factory=set)
    """References of the images that run, that the files name, or that a rollback needs."""

    named: set[str] = field(default_factory=set)
    """`needed`, and the images of all older releases: an image of these repositories is one of ours."""


@dataclass(frozen=True)
class Removal:
    """One object that was removed, or would be in a dry run."""

    kind: str
    name: str
    remove: Callable[[], Any] = field(compare=False)
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
        report = {"dry_run": self.dry_run, "freed_bytes": self.freed, "removed": removed, "refused": self.refused}
        return json.dumps(report, indent=2)

    def lines(self) -> Iterator[str]:
        """Return the report as lines of text."""
        verb = "would remove" if self.dry_run else "removed"
        for removal in self.removed:
            size = f" ({removal.size / 1e6:,.1f} MB)" if removal.size else ""
            yield f"  - {verb} {removal.kind} {removal.name}{size}"
        for text in self.refused:
            yield f"  ! {text}"
        total = f"{verb.capitalize()} {len(self.removed)} objects, up to {self.freed / 1e6:,.1f} MB"
        yield f"{total}{'. Nothing was removed' if self.dry_run else ''}" if self.removed else "Nothing to clean up"


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
    inventory = StackInventory(set(PulumiCli(work, "", env).list_stacks()))
    table = load_images(work.checkout / "components" / "images.yaml")
    inventory.needed |= {*map(table.reference, table.names), *read_machine(work.machine_file).images.values()}
    store = history.history_store(work)
    for stack in sorted(inventory.stacks):
        if holder := lock_holder(store, stack):
            # Objects that it has created already are not in a state yet.
            raise SetupError(f"the stack {stack} is being changed by {holder}", "run this again when that has ended")
        state = State.of(PulumiCli(work, stack, env))
        inventory.containers |= {instance.id for instance in state.instances}
        inventory.networks |= {network.id for network in state.networks}
        inventory.needed |= {str(instance.outputs.get("image")) for instance in state.instances}
        distinct: list[Release] = []
        for update in reversed(history.updates(store, stack)):
            release = update.release if update.succeeded else None
            if release and not any(history.same(release, newer) for newer in distinct):
                distinct.append(release)
        for number, release in enumerate(distinct):
            inventory.named |= {*release.images.values()}
            if number < RELEASES_KEPT:
                inventory.needed |= {*release.images.values()}
    inventory.named |= inventory.needed
    return inventory


def clean(
    client: docker.DockerClient, inventory: StackInventory, before: datetime, age: timedelta, *, dry_run: bool = False
) -> CleanupReport:
    """Remove unneeded containers, networks, images and build cache older than `before` from an engine."""
    report = CleanupReport(dry_run)
    removals = [removal for find in (_containers, _networks, _images) for removal in find(client, inventory, before)]
    for removal in removals:
        try:
            if not dry_run:
                removal.remove()
        except NotFound:
            continue  # removed in the meantime
        except APIError as error:
            report.refused.append(f"{removal.kind} {removal.name}: {error.explanation}")
            continue
        report.removed.append(removal)
    if cache := _build_cache(client, before, age, dry_run=dry_run):
        report.removed.append(Removal("build cache", f"of more than {age.days} days", lambda: None, cache))
    return report


def _containers(client: docker.DockerClient, inventory: StackInventory, before: datetime) -> Iterator[Removal]:
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
        yield Removal("container", instance.name, instance.container.remove)


def _networks(client: docker.DockerClient, inventory: StackInventory, before: datetime) -> Iterator[Removal]:
    """Find networks of our stacks that are in no state and that no container, running or stopped, is attached to."""
    joined = {network for instance in live_instances(client) for network in instance.networks}
    for network in client.networks.list(filters={"label": labels.STACK}):
        if network.id in inventory.networks or network.id in joined or _parse_time(network.attrs["Created"]) >= before:
            continue
        if network.attrs["Labels"][labels.STACK] in inventory.stacks:
            yield Removal("network", str(network.name), network.remove)


def _images(client: docker.DockerClient, inventory: StackInventory, before: datetime) -> Iterator[Removal]:
    """Find unneeded images of our repositories."""
    needed = {container.attrs["Image"] for container in client.containers.list(all=True, ignore_removed=True)}
    for reference in inventory.needed:
        with suppress(DockerException):  # not on this engine, or not a valid reference: it protects no image here
            needed.add(client.images.get(reference).id)
    ours = {_repository(reference) for reference in inventory.named}
    for image in client.images.list():
        names = [*image.tags, *(image.attrs.get("RepoDigests") or ())]
        if image.id in needed or not names:
            continue
        if not all(_repository(name) in ours or name.startswith(BUILT_HERE) for name in names):
            continue
        tagged = image.attrs.get("Metadata", {}).get("LastTagTime") or image.attrs["Created"]
        if max(_parse_time(tagged), _parse_time(image.attrs["Created"])) < before:
            yield Removal("image", names[0], partial(_untag, client, names), int(image.attrs.get("Size") or 0))


def _untag(client: docker.DockerClient, names: Sequence[str]) -> None:
    """Remove the names of an image one by one, without force, so that the engine refuses an image in use."""
    client.images.remove(names[0])
    for name in names[1:]:
        with suppress(ImageNotFound):  # removing the last tag removes the image's digests too
            client.images.remove(name)


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
