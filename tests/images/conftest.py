"""A Docker engine to test on, empty checkouts that share the machine's cache, and a played official registry."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import docker
import pytest
import yaml

from tests.images.helpers import SOURCE, PlayedRegistry
from tests.support.progress import Words
from toolchain.engine import ensure_engine, stop_engine
from toolchain.registry import stop_registry
from toolchain.workdir import WorkDir


@pytest.fixture
def words() -> Words:
    return Words()


@pytest.fixture(scope="session")
def docker_host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The engine that DOCKYARD_TEST_DOCKER_HOST names, else a private one for these tests."""
    if given := os.environ.get("DOCKYARD_TEST_DOCKER_HOST"):
        yield given
        return
    work = WorkDir(tmp_path_factory.mktemp("engine"))
    host = ensure_engine(work, Words().progress)
    yield host
    stop_engine(work, Words().progress)


@pytest.fixture(scope="session")
def engine(docker_host: str) -> docker.DockerClient:
    return docker.DockerClient(base_url=docker_host)


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
