"""The history of a stack in its backend: the releases that ran, when, and their results."""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

from pydantic import ValidationError

from machine.workdir import WorkDir
from ops.state.snapshot import STACK, State
from ops.state.store import Store, history_prefix, readable_store
from settings.release import Release

READERS = 16
ROLLBACK = "dockyard rollback"
"""Prefix of the message of an update that is a rollback."""


@dataclass(frozen=True)
class Update:
    """One run of Pulumi that changed the stack."""

    kind: str
    """`update`, `destroy`, `refresh` …"""

    succeeded: bool
    ended: datetime
    message: str
    checkpoint: str
    """Key of the state after the run."""

    store: Store = field(compare=False)

    @cached_property
    def release(self) -> Release | None:
        """The release after the run; None before the first `up` with releases, and after a `down`."""
        stacks = (resource for resource in self.resources() if resource["type"] == STACK)
        exported = next(((stack.get("outputs") or {}).get("release") for stack in stacks), None)
        try:
            return Release.model_validate(exported) if exported else None
        except ValidationError:
            # Written by another version of Dockyard: this one cannot run it.
            return None

    def resources(self) -> list[Mapping[str, Any]]:
        """Return the resources after the run; none if the backend has no state of it any more."""
        try:
            latest = _read(self.store, self.checkpoint)["checkpoint"].get("latest") or {}
        except FileNotFoundError:
            return []
        return list(latest.get("resources") or ())

    @property
    def is_rollback(self) -> bool:
        """Whether the run was a rollback."""
        return self.message.startswith(ROLLBACK)


def history_store(work: WorkDir) -> Store:
    """Return the backend's store. Raises SetupError for a kind of backend whose history cannot be read."""
    return readable_store(
        work,
        "rollback needs the history of the state, which ./dockyard reads from files and S3 only",
        "restore the earlier stack and product files from git, then run `up`",
    )


def updates(store: Store, stack: str) -> list[Update]:
    """Return every recorded run on a stack, oldest first."""

    def read(key: str) -> Update:
        record = _read(store, key)
        return Update(
            kind=record["kind"],
            succeeded=record["result"] == "succeeded",
            ended=datetime.fromtimestamp(record["endTime"], UTC),
            message=record.get("message") or "",
            checkpoint=key.replace(".history.json", ".checkpoint.json"),
            store=store,
        )

    keys = [key for key in store.keys(history_prefix(stack)) if key.endswith((".history.json", ".history.json.gz"))]
    # File names end in the run's time in nanoseconds.
    keys.sort(key=lambda key: key.removesuffix(".gz"))
    # In parallel: a network store needs one request for each run.
    with ThreadPoolExecutor(READERS) as readers:
        return list(readers.map(read, keys))


def rollback_target(recorded: Sequence[Update], running: Release | None, *, broken: bool) -> Update | None:
    """Return the run whose release a rollback restores, None if there is none.

    It is the newest good run whose release differs from the running one. If the last run failed or was killed
    (`broken`), it is the newest good run. A second rollback goes further back: newer releases were already rejected.
    """
    runs = [update for update in recorded if update.kind == "update"]
    good = [update for update in runs if update.succeeded]
    if good and (broken or not runs[-1].succeeded):
        return good[-1] if good[-1].release else None
    while good and good[-1].is_rollback:
        *good, last = good
        while good and not (last.release and good[-1].release and same(good[-1].release, last.release)):
            good.pop()
    for update in reversed(good):
        if update.release and running and not same(update.release, running):
            return update
    return None


def same(first: Release, second: Release) -> bool:
    """Return whether two releases are equal. Images are compared by digest, not by registry."""
    return _content(first) == _content(second)


def short_name(release: Release) -> str:
    """Return a hash of eight hexadecimal digits, the same for equal releases (`same`)."""
    return hashlib.sha256(json.dumps(_content(release), sort_keys=True).encode()).hexdigest()[:8]


def _content(release: Release) -> list[Mapping[str, Any]]:
    return [release.stack, release.product, _digests(release.images)]


def changes(running: Release, target: Release) -> list[str]:
    """Return a line for each image and each setting that differs between two releases, images first."""
    running_digests, target_digests = _digests(running.images), _digests(target.images)
    lines = [
        f"image {name}: {running.images.get(name, 'none')} → {target.images[name]}"
        for name in sorted(target.images)
        if running_digests.get(name) != target_digests[name]
    ]
    for running_values, target_values in ((running.stack, target.stack), (running.product, target.product)):
        running_settings, target_settings = dict(_settings(running_values, "")), dict(_settings(target_values, ""))
        lines += [
            f"{place}: {_format_setting(running_settings, place)} → {_format_setting(target_settings, place)}"
            for place in sorted({*running_settings, *target_settings})
            # Compare values, not text: the state orders the entries of a map differently.
            if (place in running_settings) != (place in target_settings)
            or running_settings.get(place) != target_settings.get(place)
        ]
    return lines


def _settings(value: Any, place: str) -> Iterator[tuple[str, Any]]:
    """Yield every scalar and every list with its path."""
    if isinstance(value, Mapping) and value:
        for key, inner in value.items():
            yield from _settings(inner, f"{place}.{key}" if place else str(key))
    else:
        yield place, value


def _format_setting(values: Mapping[str, Any], place: str) -> str:
    if place not in values:
        return "not set"
    text = " ".join(str(values[place]).split())
    return text if len(text) <= 60 else f"{text[:59]}…"


def _digests(images: Mapping[str, str]) -> dict[str, str]:
    return {name: reference.partition("@")[2] or reference for name, reference in images.items()}


def is_broken(recorded: Sequence[Update], state: State) -> bool:
    """Return whether the last run was killed: the state then differs from that of the last recorded run."""
    return state.interrupted or (
        bool(recorded) and _identities(recorded[-1].resources()) != _identities(state.resources)
    )


def _identities(resources: Iterable[Mapping[str, Any]]) -> set[tuple[str, str]]:
    return {(resource["urn"], resource.get("id", "")) for resource in resources}


def _read(store: Store, key: str) -> Any:
    content = store.read(key)
    return json.loads(gzip.decompress(content) if key.endswith(".gz") else content)
