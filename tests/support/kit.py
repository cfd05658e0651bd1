"""The image kit's images on the engine under test, each built and pulled when a test first asks for it."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from machine.workdir import WorkDir
from offline.kit.recipes import RECIPES
from offline.registry import stop_registry
from tests.support.checkout import SOURCE
from tests.support.progress import Words
from toolchain.images import Images


def unreachable_table() -> str:
    """Return the shipped table of images, with official registries that nobody can reach."""
    table = (SOURCE / "components" / "images.yaml").read_text()
    for host in ("docker.io", "quay.io", "gcr.io"):
        table = table.replace(f"image: {host}/", "image: 127.0.0.1:9/")
    return table


class KitImages(Mapping[str, str]):
    """Name of an image → reference that the engine can run. A name that the kit has no recipe for is no key."""

    def __init__(self, folder: Path, docker_host: str) -> None:
        self.work = WorkDir(folder)
        self.docker_host = docker_host
        self.references: dict[str, str] = {}
        file = self.work.checkout / "components" / "images.yaml"
        file.parent.mkdir(parents=True)
        file.write_text(unreachable_table())

    def ensure(self, names: Sequence[str]) -> None:
        """Bring several images to the engine at once, which is quicker than one after the other."""
        if missing := [name for name in names if name not in self.references]:
            self.references |= Images(self.work, Words().progress, self.docker_host).ensure(missing, {})

    def __getitem__(self, name: str) -> str:
        if name not in RECIPES:
            raise KeyError(name)
        self.ensure([name])
        return self.references[name]

    def __iter__(self) -> Iterator[str]:
        return iter(RECIPES)

    def __len__(self) -> int:
        return len(RECIPES)


@contextmanager
def serving_kit(folder: Path, docker_host: str) -> Iterator[KitImages]:
    """Serve the kit's images from a registry, which stops at the end."""
    images = KitImages(folder, docker_host)
    try:
        yield images
    finally:
        stop_registry(images.work, Words().progress)
