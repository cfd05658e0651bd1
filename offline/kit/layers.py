"""Image layers and configurations. A folder becomes a layer whose bytes depend only on its content."""

from __future__ import annotations

import gzip
import hashlib
import json
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, cast

MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
_CONFIG = "application/vnd.docker.container.image.v1+json"
_LAYER = "application/vnd.docker.image.rootfs.diff.tar.gzip"

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

BUILT = "1970-01-01T00:00:00Z"
"""Creation time in every image: the real time would give the same content another digest at each build."""


@dataclass(frozen=True)
class Owner:
    """Owner and mode of a path in the image; the group has the same id as the user."""

    uid: int = 0
    mode: int = 0o755


@dataclass(frozen=True)
class Layer:
    """A compressed layer: its file, the digest of the compressed bytes, and `diff_id`, the digest of the tar stream."""

    path: Path
    digest: str
    diff_id: str
    size: int


@dataclass(frozen=True)
class Runtime:
    """Default run settings of the image: those of the official image's Dockerfile."""

    entrypoint: Sequence[str] = ()
    cmd: Sequence[str] = ()
    user: str = ""
    env: Mapping[str, str] = field(default_factory=dict)
    """Variables besides PATH, or with another PATH."""

    workdir: str = "/"
    volumes: Sequence[str] = ()
    ports: Sequence[int] = ()
    stop_signal: str = ""


class _Digesting:
    """A file that hashes and counts the bytes written to it."""

    def __init__(self, target: IO[bytes]) -> None:
        self.target = target
        self.hash = hashlib.sha256()
        self.size = 0

    def write(self, data: bytes) -> int:
        self.hash.update(data)
        self.size += len(data)
        return self.target.write(data)

    def flush(self) -> None:
        self.target.flush()

    @property
    def digest(self) -> str:
        return f"sha256:{self.hash.hexdigest()}"


def pack(tree: Path, owners: Mapping[str, Owner], target: Path) -> Layer:
    """Pack a folder into a layer. All paths belong to root, except those that `owners` names."""
    with target.open("wb") as file:
        packed = _Digesting(file)
        # Level 1: images are transferred only over the loopback interface, so save processor time instead.
        with gzip.GzipFile(fileobj=packed, mode="wb", compresslevel=1, mtime=0, filename="") as squeezed:
            plain = _Digesting(cast(IO[bytes], squeezed))
            stream = cast(IO[bytes], plain)
            with tarfile.open(fileobj=stream, mode="w|", format=tarfile.PAX_FORMAT) as tar:
                for path in sorted(tree.rglob("*")):
                    _add(tar, path, path.relative_to(tree).as_posix(), owners)
    return Layer(target, packed.digest, plain.digest, packed.size)


def _add(tar: tarfile.TarFile, path: Path, name: str, owners: Mapping[str, Owner]) -> None:
    entry = tar.gettarinfo(str(path), arcname=name)
    owner = owners.get("/" + name)
    entry.uid = entry.gid = owner.uid if owner else 0
    entry.uname = entry.gname = ""
    entry.mtime = 0
    if entry.islnk():  # A hard link: store a second copy, which is small and needs no order of entries.
        entry.type, entry.linkname, entry.size = tarfile.REGTYPE, "", path.stat().st_size
    if owner:
        entry.mode = owner.mode
    elif entry.isdir() or entry.isfile():
        entry.mode = 0o755 if entry.isdir() or entry.mode & 0o100 else 0o644
    if entry.isreg():
        with path.open("rb") as content:
            tar.addfile(entry, content)
    else:
        tar.addfile(entry)


def configuration(runtime: Runtime, layers: Sequence[Layer], labels: Mapping[str, str], architecture: str) -> bytes:
    """Return the image's configuration as a registry stores it."""
    config: dict[str, Any] = {
        "Env": [f"{key}={value}" for key, value in {"PATH": PATH, **runtime.env}.items()],
        "Entrypoint": list(runtime.entrypoint) or None,
        "Cmd": list(runtime.cmd) or None,
        "User": runtime.user,
        "WorkingDir": runtime.workdir,
        "Labels": dict(labels),
    }
    if runtime.volumes:
        config["Volumes"] = {volume: {} for volume in runtime.volumes}
    if runtime.ports:
        config["ExposedPorts"] = {f"{port}/tcp": {} for port in runtime.ports}
    if runtime.stop_signal:
        config["StopSignal"] = runtime.stop_signal
    return _encode(
        {
            "architecture": architecture,
            "os": "linux",
            "created": BUILT,
            "config": config,
            "rootfs": {"type": "layers", "diff_ids": [layer.diff_id for layer in layers]},
            "history": [{"created": BUILT, "created_by": "dockyard image kit"} for _ in layers],
        }
    )


def manifest(config: bytes, layers: Sequence[Layer]) -> bytes:
    """Return the manifest that lists an image's configuration and layers."""
    return _encode(
        {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": {"mediaType": _CONFIG, "size": len(config), "digest": digest_of(config)},
            "layers": [{"mediaType": _LAYER, "size": layer.size, "digest": layer.digest} for layer in layers],
        }
    )


def digest_of(content: bytes) -> str:
    """Return the digest by which a registry addresses this content."""
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def _encode(document: Mapping[str, Any]) -> bytes:
    return json.dumps(document, separators=(",", ":"), sort_keys=True).encode()
