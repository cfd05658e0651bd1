"""What tests of several parts share: a Docker engine that belongs to the tests alone."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest


@pytest.fixture(scope="session")
def docker_host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The engine that DOCKYARD_TEST_DOCKER_HOST names, else a private one.

    Never one that is merely reachable: tests start and leave a swarm, for instance, and that makes an engine forget
    the names of every container on it.
    """
    if given := os.environ.get("DOCKYARD_TEST_DOCKER_HOST"):
        yield given
        return
    from toolchain.private_engine import Engine  # noqa: PLC0415 - most tests need no engine

    engine = Engine(tmp_path_factory.mktemp("engine"), "tests")
    engine.start()
    try:
        yield engine.host
    finally:
        engine.remove()
