"""Compares the files in configuration volumes with their writers' declarations: content, owner and mode only.

Files are read through an existing container, running or not; nothing is started and nothing is written.
"""

from __future__ import annotations

import base64
import bz2
import hashlib
import io
import posixpath
import shlex
import tarfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import IO, Any

import docker
from docker.errors import APIError, NotFound

from ops.drift.expected import Declared
from ops.drift.findings import Finding, Repair, Secret
from ops.state.snapshot import VOLUME
from settings.names import PACKED, STAGE

FOLDER_MODE, FOLDER_OWNER = 0o755, (0, 0)
"""Mode and owner of every folder: the writer creates them as root."""


@dataclass(frozen=True)
class DeclaredFile:
    """A file as declared by a writer (a one-shot container that fills a volume)."""

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

    name: str
    files: Mapping[str, DeclaredFile]
    """Path in the volume → file."""

    leftovers: frozenset[str]
    """Paths that an interrupted writer may leave behind."""

    writers: tuple[Declared, ...]
    resource: Declared | None
    """The volume itself, in the state."""

    readers: tuple[Declared, ...]
    """Containers that mount it and read its files only at startup."""


def volumes(declared: Sequence[Declared]) -> list[Volume]:
    """Return every volume that writers fill, with the files that they declare."""
    by_name = {resource.identity: resource for resource in declared if resource.kind == VOLUME}
    files: dict[str, dict[str, DeclaredFile]] = {}
    leftovers_by_volume: dict[str, set[str]] = {}
    writers: dict[str, list[Declared]] = {}
    for resource in declared:
        if not resource.one_shot or resource.pending_delete:
            continue
        targets = {mount["target"]: mount["source"] for mount in resource.inputs.get("mounts") or ()}
        written, removed = _written(resource)
        for place, file in written.items():
            for target, name in targets.items():
                if place.startswith(f"{target}/"):
                    files.setdefault(name, {})[place.removeprefix(f"{target}/")] = file
                    writers.setdefault(name, []).append(resource)
                    leftovers_by_volume.setdefault(name, set()).update(
                        path.removeprefix(f"{target}/") for path in removed if path.startswith(f"{target}/")
                    )
    return [
        Volume(
            name,
            volume_files,
            frozenset(leftovers_by_volume[name]),
            tuple({writer.urn: writer for writer in writers[name]}.values()),
            by_name.get(name),
            tuple(resource for resource in declared if _reads_at_start(resource, name)),
        )
        for name, volume_files in files.items()
    ]


def _reads_at_start(resource: Declared, volume: str) -> bool:
    mounted = any(mount["source"] == volume for mount in resource.inputs.get("mounts") or ())
    return mounted and not resource.pending_delete and not resource.one_shot and "dockyard.content" in resource.labels


def _written(writer: Declared) -> tuple[dict[str, DeclaredFile], set[str]]:
    """Return path → file for every file that a writer's script installs, and the paths that the script removes.

    Contents come from the writer's uploads. For each file the script has `cp SOURCE DRAFT`, `chown OWNER DRAFT`,
    `chmod MODE DRAFT` and `mv DRAFT FINAL`, each on its own line (runtime/config_files.py,
    components/edge/proxy.py).
    """
    contents = _contents(writer.inputs.get("uploads") or ())
    written: dict[str, DeclaredFile] = {}
    cleared = set()
    folder = "/"
    sources: dict[str, str] = {}
    owners: dict[str, str] = {}
    modes: dict[str, int] = {}
    script = (writer.inputs.get("command") or [""])[0]
    for line in script.splitlines() if contents else ():
        if line.split(" ", 1)[0] not in ("cd", "cp", "chown", "chmod", "mv", "rm"):
            continue
        match shlex.split(line):
            case ["cd", to]:
                folder = to
            case ["cp", source, draft]:
                sources[draft] = posixpath.join(folder, source)
            case ["chown", *_, owner, draft]:
                owners[draft] = owner
            case ["chmod", mode, draft]:
                modes[draft] = int(mode, 8)
            case ["mv", draft, final] if draft in sources:
                digest, secret = contents[sources[draft]]
                written[posixpath.join(folder, final)] = DeclaredFile(
                    writer.urn, digest, secret, modes[draft], owners[draft]
                )
            case ["rm", "-f", path]:
                cleared.add(posixpath.join(folder, path))
    return written, cleared


def _contents(uploads: Iterable[Mapping[str, Any]]) -> dict[str, tuple[str, bool]]:
    """Return path in the writer → digest of the content, and whether the content is a secret."""
    contents: dict[str, tuple[str, bool]] = {}
    for upload in uploads:
        text = upload.get("content") or upload.get("contentBase64") or ""
        content = base64.b64decode(text) if upload.get("contentBase64") else text.encode()
        if upload["file"] == PACKED:
            with tarfile.open(fileobj=io.BytesIO(bz2.decompress(base64.b64decode(content)))) as tar:
                members = ((member.name, tar.extractfile(member)) for member in tar if member.isfile())
                contents |= {f"{STAGE}/{path}": (_digest(file), False) for path, file in members}
        else:
            contents[upload["file"]] = (hashlib.sha256(content).hexdigest(), isinstance(text, Secret))
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
        if mount.get("Name") == volume.name
    }
    writer_ids = [writer.identity for writer in volume.writers if writer.identity in paths]
    first = next(iter([*writer_ids, *paths]), None)
    return (first, paths[first]) if first else None


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
    volume_label = (volume.resource or volume.writers[0]).label
    for difference in _differences(volume, entries, _Names(client, location[0])):
        readers = (reader for reader in volume.readers if started.get(reader.identity, 0) >= difference.since)
        also_replace = tuple(reader.urn for reader in readers) if difference.read else ()
        if difference.writer:
            yield Finding(
                volume_label,
                difference.field,
                difference.declared,
                difference.actual,
                Repair.REWRITE,
                difference.writer,
                also_replace=also_replace,
            )
        else:
            # No writer would repair this: the volume is replaced.
            urn = volume.resource.urn if volume.resource else ""
            yield Finding(volume_label, difference.field, difference.declared, difference.actual, Repair.REPLACE, urn)


@dataclass(frozen=True)
class Difference:
    """A difference between a volume and its declaration."""

    field: str
    declared: str
    actual: str
    writer: str = ""
    """URN of the writer that repairs it; empty where none would."""

    read: bool = False
    """Whether readers that started after `since` may have loaded a wrong file."""

    since: int = 0


def _differences(volume: Volume, entries: Mapping[str, Entry], names: _Names) -> Iterator[Difference]:
    for path, file in sorted(volume.files.items()):
        entry = entries.get(path)
        place = f"files/{path}"
        if entry is None:
            above = entries.get(posixpath.dirname(path))
            yield Difference(place, "file", "gone", file.writer, read=True, since=above.changed if above else 0)
        elif entry.kind != "file":
            yield Difference(place, "file", entry.kind)
        else:
            if entry.digest != file.digest:
                # Print no digits of a secret's hash: they would help to guess a short secret.
                expected = "(secret)" if file.secret else f"sha256 {file.digest[:12]}"
                actual = "content differs" if file.secret else f"content differs, sha256 {entry.digest[:12]}"
                yield Difference(place, expected, actual, file.writer, read=True, since=entry.changed)
            if entry.mode != file.mode:
                yield Difference(f"{place} mode", f"{file.mode:04o}", f"{entry.mode:04o}", file.writer)
            if owner := names.other_owner(file.owner, entry):
                yield Difference(f"{place} owner", file.owner, owner, file.writer)
    folders = {"", *(str(parent) for path in volume.files for parent in PurePosixPath(path).parents)} - {"."}
    for path, entry in sorted(entries.items()):
        place = f"files/{path}".rstrip("/")
        if path in folders:
            yield from _folder(place, entry)
        elif path not in volume.files and path not in volume.leftovers:
            # Writers remove undeclared files only; an undeclared folder is a finding of its own.
            writer = volume.writers[0].urn if entry.kind == "file" else ""
            yield Difference(place, "nothing", f"{entry.kind} that nobody declared", writer, True, entry.changed)


def _folder(place: str, entry: Entry) -> Iterator[Difference]:
    if entry.kind != "folder":
        yield Difference(place, "folder", entry.kind)
        return
    if entry.mode != FOLDER_MODE:
        yield Difference(f"{place} mode", f"{FOLDER_MODE:04o}", f"{entry.mode:04o}")
    if (entry.user, entry.group) != FOLDER_OWNER:
        yield Difference(f"{place} owner", "0:0", f"{entry.user}:{entry.group}")


class _Names:
    """Ids of users and groups by name, from a container's /etc/passwd and /etc/group, read only when needed."""

    def __init__(self, client: docker.DockerClient, container: str) -> None:
        self._client, self._container = client, container
        self._known: dict[str, dict[str, int]] = {}

    def other_owner(self, declared: str, entry: Entry) -> str | None:
        """Return the actual owner where it is not the declared one, else None; without a group, any group matches."""
        user, _, group = declared.partition(":")
        wrong = self._number("passwd", user) != entry.user or (
            bool(group) and self._number("group", group) != entry.group
        )
        return f"{entry.user}:{entry.group}" if wrong else None

    def _number(self, table: str, name: str) -> int | None:
        if name.isdigit():
            return int(name)
        if table not in self._known:
            self._known[table] = self._read(table)
        return self._known[table].get(name)

    def _read(self, table: str) -> dict[str, int]:
        try:
            stream, _ = self._client.api.get_archive(self._container, f"/etc/{table}")
        except (NotFound, APIError):
            return {}
        with tarfile.open(fileobj=io.BytesIO(b"".join(stream))) as tar:
            member = tar.next()
            file = tar.extractfile(member) if member else None
            lines = file.read().decode(errors="replace").splitlines() if file else []
        rows = (line.split(":") for line in lines)
        return {row[0]: int(row[2]) for row in rows if len(row) > 2 and row[2].isdigit()}
