"""The demo workload's image, built on the machine that runs it."""

from __future__ import annotations

import hashlib
from pathlib import Path

import docker

from machine.progress import Progress
from machine.sites import ensure_site
from machine.workdir import WorkDir
from toolchain.builds import has_image, pack_context, run_build


def ensure_demo(
    work: WorkDir, progress: Progress, client: docker.DockerClient, name: str, folder: Path, base: str
) -> str:
    """Build a folder's image unless it exists, and return its tag, which contains a digest of the content.

    The packages of the folder's requirements.txt are installed on this machine and added to the build as `site/`:
    this machine may reach a package index where containers cannot.
    Raises SetupError when they cannot be installed or the build fails.
    """
    architecture = str(client.version()["Arch"])
    tag = f"dockyard/{name}:{_digest(folder, base)}"
    if has_image(client, tag):
        return tag
    with progress.step(f"Image {name}") as step:
        site = ensure_site(work, folder / "requirements.txt", architecture, step.say)
        files = {str(path.relative_to(folder)): path for path in _files(folder)}
        files |= {f"site/{path.relative_to(site)}": path for path in sorted(site.rglob("*"))}
        step.say("building")
        log = work.logs / f"build-{name}.log"
        # The build needs no network, and Docker on a closed network may have none to offer.
        options = {"buildargs": {"BASE": base}, "network_mode": "none"}
        run_build(client, step, name, tag, pack_context(files, {}), log, **options)
        step.outcome = f"built {tag}"
    return tag


def _files(folder: Path) -> list[Path]:
    """Return the files that belong to the image: all except caches of Python and hidden files."""
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
