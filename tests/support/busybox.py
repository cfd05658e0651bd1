"""A small image for tests that need a container and no registry: Debian's busybox, which is one static program."""

import io
import subprocess
import tarfile
import tempfile
from pathlib import Path

import docker

from machine.workdir import WorkDir

PROGRAM = WorkDir().cache / "programs" / "busybox"
APPLETS = (
    *("sh", "sleep", "true", "false", "cat", "echo", "ls", "stat", "id", "chown", "chmod", "mkdir"),
    *("httpd", "nc", "nslookup"),
)


def import_busybox(client: docker.DockerClient, repository: str, tag: str = "latest") -> str:
    """Bring the image to an engine under a name, unless it is there, and return its id."""
    reference = f"{repository}:{tag}"
    if not client.images.list(reference):
        client.api.import_image_from_data(_root_filesystem(_program()), repository=repository, tag=tag)
    return client.images.get(reference).id


def _program() -> Path:
    """Return the program in the machine's cache; the first call downloads its package."""
    if not PROGRAM.exists():
        PROGRAM.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=PROGRAM.parent) as folder:
            subprocess.run(["apt-get", "download", "busybox-static"], cwd=folder, check=True, capture_output=True)
            (package,) = Path(folder).glob("busybox-static*.deb")
            subprocess.run(["dpkg-deb", "-x", str(package), "root"], cwd=folder, check=True)
            (Path(folder) / "root/bin/busybox").replace(PROGRAM)
    return PROGRAM


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
