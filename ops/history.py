"""The history of a stack in its backend: which releases ran, when, and with what result."""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from pydantic import ValidationError

from ops.backend import Store, history_of, readable_store
from ops.state import State
from settings.release import Release
from toolchain.workdir import WorkDir

READERS = 16
ROLLBACK = "dockyard rollback"
"""What the message of an update starts with that went back."""


@dataclass(frozen=True)
class Update:
    """One run of the engine that changed the stack."""

    kind: str
    """`update`, `destroy`, `refresh` …"""

    succeeded: bool
    ended: datetime
    message: str
    checkpoint: str
    """The key of the state after it."""

    store: Store = field(compare=False)

    cache: dict[str, Release | None] = field(default_factory=dict, compare=False)

    @property
    def release(self) -> Release | None:
        """What ran after it; None before the first `up` with releases, and after a `down`."""
        if "release" not in self.cache:
            self.cache["release"] = _release_in(self.store, self.checkpoint)
        return self.cache["release"]

    @property
    def is_rollback(self) -> bool:
        """Whether it was a rollback."""
        return self.message.startswith(ROLLBACK)


def history_store(work: WorkDir) -> Store:
    """Return the backend's objects. Raises SetupError for one of another kind: its history cannot be read from here."""
    return readable_store(
        work,
        "rollback reads the history of the state, which ./dockyard can in files and in S3",
        "return the stack and product files to the earlier version in git and run `up`",
    )


def updates(store: Store, stack: str) -> list[Update]:
    """Return every recorded run on a stack, the oldest first."""

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

    keys = [key for key in store.keys(history_of(stack)) if key.endswith((".history.json", ".history.json.gz"))]
    # Names end in the nanoseconds of the run.
    keys.sort(key=lambda key: key.removesuffix(".gz"))
    # One request each, where it is a store in the network.
    with ThreadPoolExecutor(READERS) as readers:
        return list(readers.map(read, keys))


def rollback_target(recorded: Sequence[Update], running: Release | None, *, broken: bool) -> Update | None:
    """Return the run whose release a rollback goes back to, None where there is none.

    That is the newest good one with another release than runs now. Where the last run failed, or was killed in the
    middle (`broken`), it is the newest good one. A rollback after a rollback goes further back: what was newer is
    what somebody fled from.
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
    """Tell whether two releases run the same: an image is what its digest says, wherever it was pulled from."""
    return (first.stack, first.product, _digests(first.images)) == (
        second.stack,
        second.product,
        _digests(second.images),
    )


def short_name(release: Release) -> str:
    """Return eight digits that two releases share when they run the same."""
    content = [release.stack, release.product, _digests(release.images)]
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:8]


def changes(now: Release, then: Release) -> list[str]:
    """Return a line for each image and each setting that `then` has otherwise than `now`, images first."""
    before, after = _digests(now.images), _digests(then.images)
    lines = [
        f"image {name}: {now.images.get(name, 'none')} → {then.images[name]}"
        for name in sorted(then.images)
        if before.get(name) != after[name]
    ]
    for running_values, target_values in ((now.stack, then.stack), (now.product, then.product)):
        was, will_be = dict(_settings(running_values, "")), dict(_settings(target_values, ""))
        lines += [
            f"{place}: {_format_setting(was, place)} → {_format_setting(will_be, place)}"
            for place in sorted({*was, *will_be})
            # By value: the state keeps a map's entries in another order than the files.
            if (place in was) != (place in will_be) or was.get(place) != will_be.get(place)
        ]
    return lines


def _settings(value: Any, place: str) -> Iterator[tuple[str, Any]]:
    """Find every single value, and every list, with its path."""
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
    """Tell whether a run was killed in the middle: then the state is not what the last recorded run left."""
    return state.interrupted or (
        bool(recorded)
        and _identities(_resources(recorded[-1].store, recorded[-1].checkpoint)) != _identities(state.resources)
    )


def _identities(resources: Iterable[Mapping[str, Any]]) -> set[tuple[str, str]]:
    return {(resource["urn"], resource.get("id", "")) for resource in resources}


def _resources(store: Store, checkpoint: str) -> list[Mapping[str, Any]]:
    try:
        latest = _read(store, checkpoint)["checkpoint"].get("latest") or {}
    except FileNotFoundError:
        return []
    return list(latest.get("resources") or ())


def _release_in(store: Store, checkpoint: str) -> Release | None:
    for resource in _resources(store, checkpoint):
        if resource["type"] == "pulumi:pulumi:Stack":
            exported = (resource.get("outputs") or {}).get("release")
            try:
                return Release.model_validate(exported) if exported else None
            except ValidationError:
                # Of another version of Dockyard: nothing that this one could run.
                return None
    return None


def _read(store: Store, key: str) -> Any:
    content = store.read(key)
    return json.loads(gzip.decompress(content) if key.endswith(".gz") else content)
