"""A Docker engine and a small image for the contract tests that need one."""

from __future__ import annotations

import io
import subprocess
import tarfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import docker
import pytest

from tests.contract.transcripts import Plugin

IMAGE = "base:bookworm"
"""The reference that the transcripts run."""

APPLETS = ("sh", "sleep", "true", "false", "cat", "echo", "ls", "stat", "id", "chown", "chmod", "mkdir")


@pytest.fixture(scope="session")
def engine(docker_host: str) -> docker.DockerClient:
    """The engine's client, beside the plugin: what the tests themselves look at and change by hand."""
    return docker.DockerClient(base_url=docker_host)


@pytest.fixture(scope="session")
def image(engine: docker.DockerClient, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A shell and a few commands out of Debian's busybox-static, under the reference of the transcripts."""
    if engine.images.list(IMAGE):
        yield engine.images.get(IMAGE).id
        return
    folder = tmp_path_factory.mktemp("busybox")
    subprocess.run(["apt-get", "download", "busybox-static"], cwd=folder, check=True, capture_output=True)
    (package,) = folder.glob("busybox-static*.deb")
    subprocess.run(["dpkg-deb", "-x", str(package), "root"], cwd=folder, check=True)
    engine.api.import_image_from_data(_root_filesystem(folder / "root/bin/busybox"), repository="base", tag="bookworm")
    made = engine.images.get(IMAGE)
    yield made.id
    engine.images.remove(IMAGE, force=True)


def _root_filesystem(busybox: Path) -> bytes:
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        for name in ("bin", "etc", "tmp", "run"):
            entry = tarfile.TarInfo(name)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o1777 if name == "tmp" else 0o755
            tar.addfile(entry)
        program = tarfile.TarInfo("bin/busybox")
        program.mode, program.size = 0o755, busybox.stat().st_size
        tar.addfile(program, io.BytesIO(busybox.read_bytes()))
        for name in APPLETS:
            link = tarfile.TarInfo(f"bin/{name}")
            link.type, link.linkname = tarfile.SYMTYPE, "busybox"
            tar.addfile(link)
    return archive.getvalue()


@pytest.fixture
def plugin(docker_host: str) -> Plugin:
    """The stand-in, speaking to the engine of these tests."""
    return Plugin(docker_host)


@pytest.fixture(scope="session")
def prefix() -> str:
    """Begins every fixed name that these tests give, so that they meet nobody else's."""
    return f"contract-{uuid.uuid4().hex[:6]}"
