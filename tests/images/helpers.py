"""A cache with a storage of its own, and a registry that plays an official one."""

import contextlib
from dataclasses import dataclass
from pathlib import Path

import docker
from docker.errors import ImageNotFound

from machine.workdir import WorkDir
from offline.kit.layers import Runtime, configuration, pack
from offline.registry import Registry, ensure_registry, stop_registry
from tests.support.progress import Words


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
        stop_registry(self.work, Words().progress)

    def forget(self) -> None:
        for image in self.engine.api.images():
            for name in [*(image["RepoTags"] or []), *(image["RepoDigests"] or [])]:
                if name.startswith(f"{self.host}/"):
                    with contextlib.suppress(ImageNotFound):  # its last name took it along
                        self.engine.images.remove(name, force=True)
