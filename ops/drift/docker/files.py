"""Compares the files in configuration volumes with their writers' declarations: content, owner and mode only.

Files are read through an existing container, running or not; nothing is started and nothing is written.
"""

from __future__ import annotations

import base64
import bz2
import hashlib
import io
import posixpath
import tarfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import PurePosixPath
from typing import IO, Any

import docker
from docker.errors import APIError, NotFound

from ops.drift.findings import Finding, Repair
from runtime.labels import CONFIG_HASH
from runtime.manifest import TARGET, script_digest
from runtime.pulumi_state import Resource, Secret
from settings.names import PACKED, STAGE

FOLDER_MODE, FOLDER_OWNER = 0o755, (0, 0)
"""Mode and owner of every folder: the writer creates them as root."""

Ids = Callable[[str], Mapping[str, int]]
"""`passwd` or `group` → name → id."""


@dataclass(frozen=True)
class DeclaredFile:
    """A file as declared by a writer (a one-shot job that fills a volume)."""

    writer: str
    """URN of the writer."""

    digest: str
    """SHA-256 of its content."""

    secret: bool
    mode: int
    owner: str
    """User, or user:group, by number or by name."""


@dataclass(frozen=True)
class Entry:
    """A file or folder in a volume."""

    kind: str
    """`file`, `folder`, `symbolic link` or `special file`."""

    mode: int
    user: int
    group: int
    changed: int
    """Seconds since 1970."""

    digest: str = ""


@dataclass(frozen=True)
class Volume:
    """A volume that writers fill with files."""

    resource: Resource
    readers: tuple[Resource, ...]
    """Containers that mount it and read its files only at startup."""

    writers: list[Resource] = field(default_factory=list)
    files: dict[str, DeclaredFile] = field(default_factory=dict)
    """Path in the volume → file."""

    leftovers: set[str] = field(default_factory=set)
    """Paths that an interrupted writer may leave behind."""


def volumes(declared: Sequence[Resource], manifest: Mapping[str, Any]) -> tuple[list[Volume], list[str]]:
    """Return the volumes that writers fill, with the files that they declare, and the names of those unknown.

    `manifest` has an entry for each writer's script, see runtime/manifest.py. Contents come from the writers' uploads.
    A volume is unknown where a script is of a version of Dockyard that recorded no manifest.
    """
    volumes = {
        volume.id: Volume(volume, tuple(resource for resource in declared if _reads_at_start(resource, volume.id)))
        for volume in declared
        if volume.is_volume
    }
    unknown: set[str] = set()
    for writer in declared:
        volume = volumes.get(_filled_volume(writer))
        if volume is None:
            continue
        entry = manifest.get(script_digest(str(writer.inputs["command"][0])))
        if entry is None:
            unknown.add(volume.resource.label)
            continue
        volume.writers.append(writer)
        volume.leftovers.update(entry.get("leftovers") or ())
        for path, (digest, secret) in _contents(writer.inputs["uploads"]).items():
            file = DeclaredFile(writer.urn, digest, secret, int(entry["mode"], 8), entry["owner"])
            volume.files[posixpath.join(entry.get("folder", ""), path)] = file
    filled = [volume for volume in volumes.values() if volume.writers and volume.resource.label not in unknown]
    return filled, sorted(unknown)


def _filled_volume(resource: Resource) -> str:
    """Return the volume that a writer with uploads fills, "" for any other resource."""
    if not resource.one_shot or resource.pending_delete or not resource.inputs.get("uploads"):
        return ""
    return next((volume for volume, target in resource.mounts.items() if target == TARGET), "")


def _reads_at_start(resource: Resource, volume: str) -> bool:
    running = not resource.pending_delete and not resource.one_shot
    return running and volume in resource.mounts and CONFIG_HASH in resource.labels


def _contents(uploads: Iterable[Mapping[str, Any]]) -> dict[str, tuple[str, bool]]:
    """Return path in the volume's folder → digest of the content, and whether the content is a secret."""
    contents: dict[str, tuple[str, bool]] = {}
    for upload in uploads:
        text = upload.get("content") or upload.get("contentBase64") or ""
        content = base64.b64decode(text) if upload.get("contentBase64") else text.encode()
        if upload["file"] == PACKED:
            with tarfile.open(fileobj=io.BytesIO(bz2.decompress(base64.b64decode(content)))) as tar:
                members = ((member.name, tar.extractfile(member)) for member in tar if member.isfile())
                contents |= {path: (_digest(file), False) for path, file in members}
        else:
            contents[posixpath.relpath(upload["file"], STAGE)] = (
                hashlib.sha256(content).hexdigest(),
                isinstance(text, Secret),
            )
    return contents


def _digest(stream: IO[bytes] | None) -> str:
    digest = hashlib.sha256()
    while stream and (block := stream.read(1 << 16)):
        digest.update(block)
    return digest.hexdigest()


def read(client: docker.DockerClient, container: str, path: str) -> dict[str, Entry]:
    """Return path → entry for everything below a folder of a container; the folder itself has the path "".

    Raises docker.errors.NotFound where the container or the folder does not exist.
    """
    stream, _ = client.api.get_archive(container, path)
    with tarfile.open(fileobj=io.BytesIO(b"".join(stream))) as tar:
        return {"/".join(member.name.split("/")[1:]): _entry(tar, member) for member in tar}


def _entry(tar: tarfile.TarFile, member: tarfile.TarInfo) -> Entry:
    kinds = {"file": member.isfile() or member.islnk(), "folder": member.isdir(), "symbolic link": member.issym()}
    kind = next((name for name, matches in kinds.items() if matches), "special file")
    # For a hard link, tarfile reads the content of the first name.
    digest = _digest(tar.extractfile(member)) if kind == "file" else ""
    return Entry(kind, member.mode & 0o7777, member.uid, member.gid, int(member.mtime), digest)


def holder(volume: Volume, containers: Iterable[Mapping[str, Any]]) -> tuple[str, str] | None:
    """Return the id of a container that mounts a volume, and the mount's target; writers come first."""
    paths = {
        container["Id"]: mount["Destination"]
        for container in containers
        for mount in container.get("Mounts") or ()
        if mount.get("Name") == volume.resource.id
    }
    candidates = [*(writer.id for writer in volume.writers if writer.id in paths), *paths]
    return (candidates[0], paths[candidates[0]]) if candidates else None


def compare(
    volume: Volume, client: docker.DockerClient, containers: Sequence[Mapping[str, Any]], started: Mapping[str, float]
) -> Iterator[Finding]:
    """Yield a finding for every file that differs from its declaration.

    `containers` is the Docker engine's list, `started` is container id → start time in seconds since the epoch. A
    volume that no container mounts cannot be read; its missing writers are then findings of their own.
    """
    location = holder(volume, containers)
    if location is None:
        return
    try:
        entries = read(client, *location)
    except NotFound:
        return
    for difference in _differences(volume, entries, cache(partial(_ids, client, location[0]))):
        since = difference.since if difference.writer else None
        yield Finding(
            volume.resource.label,
            difference.field,
            difference.declared,
            difference.actual,
            # Differences that no writer repairs need a new volume.
            Repair.REWRITE if difference.writer else Repair.REPLACE,
            difference.writer or volume.resource.urn,
            also_replace=tuple(
                reader.urn for reader in volume.readers if since is not None and started.get(reader.id, 0) >= since
            ),
        )


@dataclass(frozen=True)
class Difference:
    """A difference between a volume and its declaration."""

    field: str
    declared: str
    actual: str
    writer: str = ""
    """URN of the writer that repairs it; empty where none would."""

    since: int | None = None
    """Readers that started later may have loaded a wrong file."""


def _differences(volume: Volume, entries: Mapping[str, Entry], ids: Ids) -> Iterator[Difference]:
    for path, file in sorted(volume.files.items()):
        entry = entries.get(path)
        place = f"files/{path}"
        if entry is None:
            above = entries.get(posixpath.dirname(path))
            yield Difference(place, "file", "gone", file.writer, above.changed if above else 0)
        elif entry.kind != "file":
            yield Difference(place, "file", entry.kind)
        else:
            if entry.digest != file.digest:
                # Print no digits of a secret's hash: they would help to guess a short secret.
                expected = "(secret)" if file.secret else f"sha256 {file.digest[:12]}"
                actual = "content differs" if file.secret else f"content differs, sha256 {entry.digest[:12]}"
                yield Difference(place, expected, actual, file.writer, entry.changed)
            if entry.mode != file.mode:
                yield Difference(f"{place} mode", f"{file.mode:04o}", f"{entry.mode:04o}", file.writer)
            if owner := _other_owner(file.owner, entry, ids):
                yield Difference(f"{place} owner", file.owner, owner, file.writer)
    folders = {"", *(str(parent) for path in volume.files for parent in PurePosixPath(path).parents)} - {"."}
    for path, entry in sorted(entries.items()):
        place = f"files/{path}".rstrip("/")
        if path in folders:
            yield from _folder(place, entry)
        elif path not in volume.files and path not in volume.leftovers:
            # Writers remove undeclared files only; an undeclared folder is a finding of its own.
            writer = volume.writers[0].urn if entry.kind == "file" else ""
            yield Difference(place, "nothing", f"undeclared {entry.kind}", writer, entry.changed)


def _folder(place: str, entry: Entry) -> Iterator[Difference]:
    if entry.kind != "folder":
        yield Difference(place, "folder", entry.kind)
        return
    if entry.mode != FOLDER_MODE:
        yield Difference(f"{place} mode", f"{FOLDER_MODE:04o}", f"{entry.mode:04o}")
    if (entry.user, entry.group) != FOLDER_OWNER:
        yield Difference(f"{place} owner", "0:0", f"{entry.user}:{entry.group}")


def _other_owner(declared: str, entry: Entry, ids: Ids) -> str | None:
    """Return the actual owner where it is not the declared one, else None; without a group, any group matches."""

    def number(table: str, name: str) -> int | None:
        return int(name) if name.isdigit() else ids(table).get(name)

    user, _, group = declared.partition(":")
    wrong = number("passwd", user) != entry.user or (group and number("group", group) != entry.group)
    return f"{entry.user}:{entry.group}" if wrong else None


def _ids(client: docker.DockerClient, container: str, table: str) -> dict[str, int]:
    """Return name → id from a container's /etc/passwd or /etc/group."""
    try:
        stream, _ = client.api.get_archive(container, f"/etc/{table}")
    except (NotFound, APIError):
        return {}
    with tarfile.open(fileobj=io.BytesIO(b"".join(stream))) as tar:
        member = tar.next()
        file = tar.extractfile(member) if member else None
        lines = file.read().decode(errors="replace").splitlines() if file else []
    rows = (line.split(":") for line in lines)
    return {row[0]: int(row[2]) for row in rows if len(row) > 2 and row[2].isdigit()}
