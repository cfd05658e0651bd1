"""Images of the table that add a Debian package to another image of the table, built on the machine that runs them."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from pathlib import Path

import docker

from machine.progress import Progress, SetupError
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


def ensure_packaged(
    work: WorkDir, progress: Progress, client: docker.DockerClient, name: str, folder: Path, base: str
) -> str:
    """Build a folder's Dockerfile on `base` unless the image exists; return its tag, which has a digest of the inputs.

    The Dockerfile installs the package with the folder's name by the base image's apt. A base of the image kit has no
    apt: this machine then fetches the package's files and adds them to the build as `files/`.
    Raises SetupError when they cannot be fetched or the build fails.
    """
    dockerfile = (folder / "Dockerfile").read_text()
    tag = f"dockyard/{name}:{_digest(dockerfile, base)}"
    if has_image(client, tag):
        return tag
    with progress.step(f"Image {name}") as step, tempfile.TemporaryDirectory() as scratch:
        tree = Path(scratch) / "files"
        tree.mkdir()
        sources = PackageSources.of_this_machine(folder)
        network = sources.network
        if KIT_LABEL in client.images.get(base).labels:
            step.say("fetching Debian's packages")
            _unpack(work, folder.name, tree)
            network = "none"
        step.say("building")
        packed = {"files": tree, **{f"files/{path.relative_to(tree)}": path for path in sorted(tree.rglob("*"))}}
        archive = pack_context(packed, {"Dockerfile": dockerfile})
        arguments = {"BASE": base, **sources.arguments(dockerfile)}
        log = work.logs / f"build-{name}.log"
        run_build(client, step, name, tag, archive, log, buildargs=arguments, network_mode=network)
        step.outcome = f"built {tag}"
    return tag


def _unpack(work: WorkDir, package_name: str, tree: Path) -> None:
    for package in Suite(work, STABLE).fetch([package_name], IN_THE_KIT):
        package.unpack(tree)
    if not (tree / "usr").is_dir():
        raise SetupError(f"Debian's package {package_name} holds no file", "apt-get clean, and try again.")
    for path in _LEFT_OUT:
        shutil.rmtree(tree / path, ignore_errors=True)  # not every package has all of them


def _digest(dockerfile: str, base: str) -> str:
    state = hashlib.sha256(base.partition("@")[2].encode() or base.encode())
    return hashlib.sha256(state.digest() + dockerfile.encode()).hexdigest()[:16]
