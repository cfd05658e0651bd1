"""Rules for all tests, and the Docker engine that belongs to the tests alone."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator
from typing import Any

import pytest


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[Any]) -> Generator[None, Any, Any]:
    """Fail a skipped test in CI: CI installs everything, so a skip there hides a missing part."""
    report = yield
    if report.skipped and os.environ.get("CI"):
        report.outcome = "failed"
        report.longrepr = f"skipped, which CI does not accept: {item.nodeid}: {report.longrepr}"
    return report


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
