"""Images that are built on the machine that runs them: the demo workload's."""

from __future__ import annotations

import hashlib
import tarfile
import tempfile
from pathlib import Path
from typing import IO

import docker
from docker.errors import APIError, BuildError, ImageNotFound

from toolchain.progress import Progress, SetupError
from toolchain.sites import ensure_site
from toolchain.workdir import WorkDir


def ensure_demo(
    work: WorkDir, progress: Progress, client: docker.DockerClient, name: str, folder: Path, base: str
) -> str:
    """Build a folder's image unless it is there, and return its tag, which names the content.

    The packages of the folder's requirements.txt are installed on this machine and go into the build as `site/`:
    where containers cannot reach a package index, this machine still may.
    Raises SetupError when they cannot be installed or the build fails.
    """
    architecture = str(client.version()["Arch"])
    tag = f"dockyard/{name}:{_digest(folder, base)}"
    try:
        client.images.get(tag)
        return tag
    except ImageNotFound:
        pass
    with progress.step(f"Image {name}") as step:
        site = ensure_site(work, folder / "requirements.txt", architecture, step.say)
        step.say("building")
        try:
            client.images.build(
                fileobj=_context(folder, site),
                custom_context=True,
                tag=tag,
                buildargs={"BASE": base},
                # Nothing in it needs a network, and an engine on a closed one may have none to offer.
                network_mode="none",
                rm=True,
                forcerm=True,
            )
        except (BuildError, APIError) as error:
            raise SetupError(f"The image {name} cannot be built from {folder}: {_last_word(error)}") from error
        step.outcome = f"built {tag}"
    return tag


def _files(folder: Path) -> list[Path]:
    """Return what belongs to the image: everything but what Python and editors leave behind."""
    return [
        path
        for path in sorted(folder.rglob("*"))
        if path.is_file() and "__pycache__" not in path.parts and not path.name.startswith(".")
    ]


def _digest(folder: Path, base: str) -> str:
    state = hashlib.sha256(base.partition("@")[2].encode() or base.encode())
    for path in _files(folder):
        state.update(f"\n{path.relative_to(folder)}\n".encode() + path.read_bytes())
    return state.hexdigest()[:16]


def _context(folder: Path, site: Path) -> IO[bytes]:
    file = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the request that sends it
    with tarfile.open(fileobj=file, mode="w") as tar:
        for path in _files(folder):
            tar.add(path, arcname=str(path.relative_to(folder)), filter=_plain)
        tar.add(site, arcname="site", filter=_plain)
    file.seek(0)
    return file


def _plain(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    """Leave out who and when: the builder's cache then knows the same content again."""
    entry.uid = entry.gid = entry.mtime = 0
    entry.uname = entry.gname = ""
    entry.mode = 0o755 if entry.isdir() or entry.mode & 0o100 else 0o644
    return entry


def _last_word(error: Exception) -> str:
    return str(error).strip().splitlines()[-1]
