"""Values that stand for secrets, and every place where none of them may be found."""

import base64
import gzip
import json
import os
import secrets
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import docker

LARGEST = 20 * 2**20  # bytes of a file that is still read

# What the engine hands to the program, of the same user: it has no other way. Nothing that the program makes gets it.
ENGINES_OWN = b"PULUMI_CONFIG="


HERE = Path("/proc/self/ns/pid").readlink()  # of the processes that are in no container


def canary(name: str) -> str:
    """Return a value for a secret that nothing else on the machine contains: letters and digits, so that no encoding of
    text changes it."""
    return f"Canary{''.join(filter(str.isalnum, name))}{secrets.token_hex(8)}"


def spellings(value: str) -> list[bytes]:
    """Return a value as it stands, and what of it stands in every base64 text that contains it, wherever it begins."""
    found = [value.encode()]
    for shift in range(3):
        encoded = base64.b64encode(b"\0" * shift + value.encode())
        # The first and last groups hold bits of the neighbours.
        found.append(encoded[4:-4])
    return found


class Watch:
    """What processes show of themselves meanwhile: command lines, and the environment of those in no container. What a
    program knows in its own container is its business: Postgres keeps its password there."""

    def __init__(self) -> None:
        self.seen: dict[str, bytes] = {}
        self._ended = threading.Event()

    def _look(self) -> None:
        for process in Path("/proc").iterdir():
            if not process.name.isdigit():
                continue
            try:
                started = f"{process.name} {(process / 'stat').read_bytes().rsplit(b') ', 1)[1].split()[19].decode()}"
                command = (process / "cmdline").read_bytes()
                own = (process / "ns/pid").readlink() == HERE
                variables = (process / "environ").read_bytes().split(b"\0") if own else []
            except (OSError, IndexError):  # it has ended
                continue
            said = [one for one in variables if not one.startswith(ENGINES_OWN)]
            self.seen[f"process {started}: {command[:60]!r}"] = b"\0".join([command, *said])

    @contextmanager
    def watching(self) -> Iterator[None]:
        thread = threading.Thread(target=self._watch)
        thread.start()
        try:
            yield
        finally:
            self._ended.set()
            thread.join()

    def _watch(self) -> None:
        while not self._ended.wait(0.3):
            self._look()


def of_docker(client: docker.DockerClient) -> Iterator[tuple[str, bytes]]:
    """Return what `docker inspect`, `docker history` and `docker logs` show of everything."""
    for container in client.containers.list(all=True):
        yield f"inspect of {container.name}", _said(client.api.inspect_container(container.id))
        yield f"log of {container.name}", container.logs()
    for image in client.images.list(all=True):
        yield f"image {image.tags}", _said([image.attrs, image.history()])
    for volume in client.volumes.list():
        yield f"volume {volume.name}", _said(client.api.inspect_volume(volume.name))
    for network in client.networks.list():
        yield f"network {network.name}", _said(client.api.inspect_network(network.id))


def of_files(folder: Path, since: float, *, skip: tuple[str, ...] = ()) -> Iterator[tuple[str, bytes]]:
    """Return files that were written since a time; those that are compressed also as what is in them."""
    for where, folders, files in os.walk(folder):
        folders[:] = [one for one in folders if not os.path.join(where, one).startswith(skip)]  # noqa: PTH118 - of strings
        for file in files:
            path = Path(where) / file
            try:
                about = path.lstat()
                if not path.is_file() or path.is_symlink() or about.st_mtime < since or about.st_size > LARGEST:
                    continue
                content = path.read_bytes()
            except OSError:  # it has gone
                continue
            yield str(path), content
            if content[:2] == b"\x1f\x8b":
                yield f"{path}, unpacked", gzip.decompress(content)


def hits(places: Iterator[tuple[str, bytes]], values: Mapping[str, str]) -> tuple[list[str], int]:
    """Return which secret is found where, and how many places were looked at."""
    sought = [(name, spelling) for name, value in values.items() for spelling in spellings(value)]
    found, count = set(), 0
    for place, content in places:
        count += 1
        found |= {f"{name} in {place}" for name, spelling in sought if spelling in content}
    return sorted(found), count


def _said(value: Any) -> bytes:
    return json.dumps(value).encode()
