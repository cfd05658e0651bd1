"""A registry that plays an official one, and containers run as the stacks run them."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import docker
from docker.errors import ImageNotFound
from docker.models.containers import Container

from tests.support.progress import Words
from toolchain.images import ensure_images
from toolchain.kit.layers import Runtime, configuration, pack
from toolchain.registry import Registry, ensure_registry, stop_registry
from toolchain.workdir import WorkDir

SOURCE = Path(__file__).resolve().parents[2]

HARDENED = {"read_only": True, "cap_drop": ["ALL"], "security_opt": ["no-new-privileges"], "network_mode": "none"}
"""How the stacks run every container; without a network, since none of these tests needs one."""


@dataclass(frozen=True)
class OwnStorage(WorkDir):
    """A checkout whose cache is its own, but for the programs and packages that the machine has fetched already."""

    @property
    def cache(self) -> Path:
        own, shared = self.checkout / "cache", WorkDir().cache
        own.mkdir(parents=True, exist_ok=True)
        for name in ("programs", "apt"):
            (shared / name).mkdir(parents=True, exist_ok=True)
            if not (own / name).exists():
                (own / name).symlink_to(shared / name)
        return own


class PlayedRegistry:
    """A registry process with images made on the spot."""

    def __init__(self, folder: Path, engine: docker.DockerClient) -> None:
        self.work = OwnStorage(folder)
        self.engine = engine
        self.registry: Registry = ensure_registry(self.work, Words().progress)
        self.host = self.registry.host

    def offer(self, path: str, tag: str, content: str = "") -> str:
        """Serve an image with one file in it; return its digest."""
        tree = self.work.checkout / "tree"
        tree.mkdir(exist_ok=True)
        (tree / "content").write_text(f"{path}:{tag} {content}")
        layer = pack(tree, {}, self.work.checkout / "layer.tar.gz")
        config = configuration(Runtime(cmd=["/content"]), [layer], {}, "amd64")
        return self.registry.push(path, tag, config, [layer])

    def stop(self) -> None:
        """Make the registry unreachable."""
        stop_registry(self.work, Words().progress)

    def forget(self) -> None:
        """Remove from the engine what came from here."""
        for image in self.engine.api.images():
            for name in [*(image["RepoTags"] or []), *(image["RepoDigests"] or [])]:
                if name.startswith(f"{self.host}/"):
                    with contextlib.suppress(ImageNotFound):  # its last name took it along
                        self.engine.images.remove(name, force=True)


@contextlib.contextmanager
def running(engine: docker.DockerClient, image: str, **options: Any) -> Iterator[Container]:
    """Run a hardened container in the background; it and its volumes are removed at the end."""
    container = engine.containers.run(image, detach=True, **{**HARDENED, **options})
    try:
        yield container
    finally:
        container.remove(force=True, v=True)


def once(engine: docker.DockerClient, image: str, *command: str, **options: Any) -> tuple[int, str]:
    """Run a hardened container to its end; return its exit code and what it said."""
    with running(engine, image, command=list(command) or None, **options) as container:
        code = container.wait(timeout=60)["StatusCode"]
        return code, container.logs().decode()


@contextlib.contextmanager
def kit_images(folder: Path, docker_host: str, names: Sequence[str]) -> Iterator[Mapping[str, str]]:
    """Give the engine images from the kit, with official registries that nobody can reach."""
    work = WorkDir(folder)
    table = work.checkout / "components" / "images.yaml"
    table.parent.mkdir()
    shipped = (SOURCE / "components" / "images.yaml").read_text()
    for host in ("docker.io", "quay.io", "gcr.io"):
        shipped = shipped.replace(f"image: {host}/", "image: 127.0.0.1:9/")
    table.write_text(shipped)
    yield ensure_images(work, Words().progress, docker_host, names, None)
    stop_registry(work, Words().progress)


def inside(container: Container, command: str) -> tuple[int, str]:
    """Run a shell command in a running container."""
    code, output = container.exec_run(["sh", "-c", command])
    return code, output.decode()


def wait_for(good: Callable[[], bool], container: Container, seconds: float = 30) -> None:
    """Wait until something holds; fails with the container's log."""
    deadline = time.monotonic() + seconds
    while not good():
        container.reload()
        assert container.status in ("created", "running"), container.logs().decode()
        assert time.monotonic() < deadline, container.logs().decode()
        time.sleep(0.2)


def wait_healthy(container: Container, command: str) -> None:
    """Wait until the health check's command succeeds inside."""
    wait_for(lambda: inside(container, command)[0] == 0, container)
