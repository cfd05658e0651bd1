"""Images of components/images.yaml that are built from a folder of the checkout, on the machine that runs them."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from pathlib import Path
from typing import IO, Any

import docker

from machine.progress import Progress, Say, SetupError
from machine.sites import ensure_site
from machine.workdir import WorkDir
from offline.debian import Suite
from offline.kit.recipes import STABLE
from toolchain.builds import has_image, pack_context, run_build
from toolchain.package_sources import PackageSources

KIT_LABEL = "dockyard.kit"
"""Label of the kit's images: they have Debian's files, but no apt to install more."""

IN_THE_KIT = ("libc6", "perl", "perl-base", "postgresql-common", "debconf", "openssl-provider-legacy")
"""Packages not unpacked on top of a kit image: it has them already, or only maintainer scripts use them."""

_LEFT_OUT = ("usr/share/doc", "usr/share/man", "usr/share/lintian", "etc/logrotate.d")


def ensure_folder_image(
    work: WorkDir, progress: Progress, client: docker.DockerClient, name: str, folder: Path, base: str
) -> str:
    """Build a folder's Dockerfile on `base` unless the image exists; return its tag, which has a digest of the inputs.

    The image contains either the folder with the packages of its requirements.txt, or a Debian package.
    Raises SetupError when packages cannot be fetched or the build fails.
    """
    make_context = _python_context if (folder / "requirements.txt").exists() else _package_context
    tag = f"dockyard/{name}:{_digest(folder, base)}"
    if has_image(client, tag):
        return tag
    with progress.step(f"Image {name}") as step, tempfile.TemporaryDirectory() as scratch:
        context, options = make_context(work, client, folder, base, Path(scratch), step.say)
        step.say("building")
        run_build(client, step, name, tag, context, work.logs / f"build-{name}.log", **options)
    return tag


def _python_context(
    work: WorkDir, client: docker.DockerClient, folder: Path, base: str, _: Path, say: Say
) -> tuple[IO[bytes], dict[str, Any]]:
    """Add the packages of requirements.txt as `site/`: this machine may reach an index where containers cannot."""
    site = ensure_site(work, folder / "requirements.txt", str(client.version()["Arch"]), say)
    files = {str(path.relative_to(folder)): path for path in _files(folder)}
    files |= {f"site/{path.relative_to(site)}": path for path in sorted(site.rglob("*"))}
    # The build needs no network, and Docker on a closed network may have none to offer.
    return pack_context(files, {}), {"buildargs": {"BASE": base}, "network_mode": "none"}


def _package_context(
    work: WorkDir, client: docker.DockerClient, folder: Path, base: str, scratch: Path, say: Say
) -> tuple[IO[bytes], dict[str, Any]]:
    """The Dockerfile installs the package with the folder's name by the base image's apt.

    A base of the image kit has no apt: this machine then adds the package's files as `files/`.
    """
    tree, dockerfile = scratch / "files", (folder / "Dockerfile").read_text()
    tree.mkdir()
    sources = PackageSources.read(folder)
    network = sources.network
    if KIT_LABEL in client.images.get(base).labels:
        say("fetching Debian's packages")
        for package in Suite(work, STABLE).fetch([folder.name], IN_THE_KIT):
            package.unpack(tree)
        if not (tree / "usr").is_dir():
            raise SetupError(f"Debian's package {folder.name} contains no file", "Run apt-get clean, then try again.")
        for path in _LEFT_OUT:
            shutil.rmtree(tree / path, ignore_errors=True)  # not every package has all of them
        network = "none"
    files = {"files": tree, **{f"files/{path.relative_to(tree)}": path for path in sorted(tree.rglob("*"))}}
    arguments = {"BASE": base, **sources.arguments(dockerfile)}
    return pack_context(files, {"Dockerfile": dockerfile}), {"buildargs": arguments, "network_mode": network}


def _files(folder: Path) -> list[Path]:
    """Return the files that belong to the image: all except caches of Python and hidden files."""
    return [
        path
        for path in sorted(folder.rglob("*"))
        if path.is_file() and "__pycache__" not in path.parts and not path.name.startswith(".")
    ]


def _digest(folder: Path, base: str) -> str:
    state = hashlib.sha256(base.partition("@")[2].encode() or base.encode())
    if (folder / "requirements.txt").exists():
        for path in _files(folder):
            state.update(f"\n{path.relative_to(folder)}\n".encode() + path.read_bytes())
    else:
        state = hashlib.sha256(state.digest() + (folder / "Dockerfile").read_bytes())
    return state.hexdigest()[:16]
