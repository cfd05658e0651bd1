"""A Docker engine and a small image for the contract tests that need one."""

import uuid

import docker
import pytest

from tests.contract.transcripts import Plugin
from tests.support.busybox import import_busybox


@pytest.fixture(scope="session")
def image(engine: docker.DockerClient) -> str:
    """The id of a shell and a few commands, under the reference that the transcripts run."""
    return import_busybox(engine, "base", "bookworm")


@pytest.fixture
def plugin(docker_host: str) -> Plugin:
    return Plugin(docker_host)


@pytest.fixture(scope="session")
def prefix() -> str:
    """Begins every fixed name that these tests give, so that they meet nobody else's."""
    return f"contract-{uuid.uuid4().hex[:6]}"
