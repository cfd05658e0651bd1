"""A Docker engine to test on, the kit's images, checkouts that share the machine's cache, and a played registry."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import docker
import pytest
import yaml

from machine.workdir import WorkDir
from offline.registry import stop_registry
from tests.images.helpers import PlayedRegistry
from tests.support.checkout import SOURCE
from tests.support.kit import KitImages, serving_kit
from tests.support.progress import Words


@pytest.fixture(scope="session")
def kit(docker_host: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[KitImages]:
    """The kit's images, from one registry for the whole run."""
    with serving_kit(tmp_path_factory.mktemp("kit"), docker_host) as images:
        yield images


@pytest.fixture
def checkout(tmp_path: Path) -> Iterator[Callable[..., WorkDir]]:
    """Makes checkouts with a table of images of their own, or the shipped one. They share the machine's cache."""
    made = []

    def make(table: dict[str, dict[str, str]] | None = None) -> WorkDir:
        work = WorkDir(tmp_path / f"checkout-{len(made)}")
        made.append(work)
        target = work.checkout / "components" / "images.yaml"
        target.parent.mkdir(parents=True)
        shipped = (SOURCE / "components" / "images.yaml").read_text()
        target.write_text(yaml.safe_dump(table) if table else shipped)
        return work

    yield make
    for work in made:
        stop_registry(work, Words().progress)


@pytest.fixture
def played(tmp_path: Path, engine: docker.DockerClient) -> Iterator[PlayedRegistry]:
    """A real registry with a storage of its own, which plays an official one."""
    registry = PlayedRegistry(tmp_path / "played", engine)
    yield registry
    registry.stop()
    registry.forget()
    shutil.rmtree(tmp_path / "played", ignore_errors=True)
