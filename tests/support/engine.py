"""Docker engines that tests start, and the watch over them: a test whose engine hangs fails, with the engine's stacks.

This is a pytest plugin, see `pytest_plugins` in tests/conftest.py. Only engines that the tests started are watched.
"""

import os
import signal
import threading
from collections.abc import Generator, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

import docker
import pytest
import requests.exceptions
from docker.errors import APIError, DockerException

from machine import processes
from machine.workdir import WorkDir
from tests.support.waiting import wait_until
from toolchain.docker_client import DockerClient
from toolchain.private_dockerd import PrivateDockerd

ANSWER_SECONDS = 10.0  # an engine that takes longer to answer, twice in a row, hangs
LOOK_SECONDS = 5.0  # interval between two questions to an engine
STACKS_SECONDS = 10.0  # how long an engine may take to write its stacks


class EngineHangsError(AssertionError):
    """A Docker engine of the tests does not answer."""


@dataclass
class _Watched:
    """An engine under watch, and the process ids of its dockerd that have answered once and that were reported."""

    engine: PrivateDockerd
    answered: int = 0
    reported: int = 0


@dataclass
class _Watch:
    """The watch of this test run: one thread that asks every engine, and what the tests are told of it."""

    engines: list[_Watched] = field(default_factory=list)
    pending: str = ""  # message of a hang that no test has failed for yet
    stacks: list[tuple[str, str]] = field(default_factory=list)  # title and text of stacks that no report holds yet
    armed: bool = False  # whether a test's phase runs, in which an exception reaches pytest as a failure of that test
    wake: threading.Event = field(default_factory=threading.Event)
    thread: threading.Thread | None = None

    def run(self) -> None:
        while not self.wake.wait(LOOK_SECONDS):
            for watched in list(self.engines):
                self._look(watched)

    def _look(self, watched: _Watched) -> None:
        pid = dockerd_pid(watched.engine)
        if not pid or pid == watched.reported:
            return
        # Asked twice: an engine that hangs does so for ever, and one on a machine without a moment to spare does not.
        if answers_everything(watched.engine) or answers_everything(watched.engine):
            watched.answered = pid
        elif pid == watched.answered and pid == dockerd_pid(watched.engine) and watched in self.engines:
            watched.reported = pid
            self.stacks.append((f"goroutine stacks of {watched.engine.host}", engine_stacks(watched.engine)))
            self.pending = f"the Docker engine {watched.engine.host} twice did not answer in {ANSWER_SECONDS:g} s"
            os.kill(os.getpid(), signal.SIGUSR2)

    def interrupt(self, number: int = 0, frame: FrameType | None = None) -> None:
        """Fail the test that runs, if there is a hang to tell."""
        if self.armed and self.pending:
            message, self.pending = self.pending, ""
            raise EngineHangsError(message)


_watch = _Watch()


def dockerd_pid(engine: PrivateDockerd) -> int:
    """Return the process id of an engine's dockerd, 0 where it does not run."""
    try:
        pid = int((engine.run / "dockerd.pid").read_text())
    except (OSError, ValueError):
        return 0
    return pid if f"--data-root {engine.data} " in processes.command_line(pid) else 0


def answers_everything(engine: PrivateDockerd) -> bool:
    """Say whether an engine answers for each container: one whose containers are locked still answers a ping."""
    client = docker.APIClient(base_url=engine.host, version="1.41", timeout=ANSWER_SECONDS)
    try:
        for container in client.containers(all=True, quiet=True):
            with suppress(APIError):  # removed since it was listed
                client.inspect_container(container["Id"])
    except requests.exceptions.Timeout:
        return False
    except (DockerException, requests.exceptions.RequestException, OSError):
        return True
    finally:
        client.close()
    return True


def engine_stacks(engine: PrivateDockerd) -> str:
    """Return the stacks of all goroutines of an engine's dockerd, which writes them to a file on SIGUSR1."""
    before = set(_stack_files(engine))
    pid = dockerd_pid(engine)
    if not pid:
        return "its dockerd has ended"
    os.kill(pid, signal.SIGUSR1)
    try:
        new = wait_until(
            lambda: [path for path in _stack_files(engine) if path not in before and path.stat().st_size],
            "dockerd has written its stacks",
            STACKS_SECONDS,
        )
    except AssertionError as error:
        return f"{error}: the process is stopped, or writes no files"
    return new[0].read_text(errors="replace")


def _stack_files(engine: PrivateDockerd) -> list[Path]:
    return [path for folder in (engine.run, engine.data) for path in folder.glob("**/goroutine-stacks-*.log")]


def engine_of(checkout: Path) -> PrivateDockerd:
    work = WorkDir(checkout)
    return PrivateDockerd(work.engine, cache=work.cache)


@contextmanager
def watched(engine: PrivateDockerd) -> Iterator[PrivateDockerd]:
    """Watch an engine: while it hangs, the test that runs fails, with the goroutine stacks attached to its report. It
    is asked nothing while its dockerd does not run, and may take its time until its first answer."""
    entry = _Watched(engine)
    _watch.engines.append(entry)
    if _watch.thread is None:
        _watch.thread = threading.Thread(target=_watch.run, name="watch of Docker engines", daemon=True)
        _watch.thread.start()
    try:
        yield engine
    finally:
        _watch.engines.remove(entry)


@pytest.fixture(scope="session")
def docker_host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of the engine that DOCKYARD_TEST_DOCKER_HOST names, else of a private one: tests start and leave a
    swarm, which makes an engine forget the names of its containers."""
    if address := os.environ.get("DOCKYARD_TEST_DOCKER_HOST"):
        yield address
        return
    engine = PrivateDockerd(tmp_path_factory.mktemp("engine"), "tests")
    engine.start()
    try:
        with watched(engine):
            yield engine.host
    finally:
        engine.remove()


@pytest.fixture(scope="session")
def engine(docker_host: str) -> docker.DockerClient:
    return DockerClient(docker_host, timeout=300)


def pytest_configure() -> None:
    signal.signal(signal.SIGUSR2, _watch.interrupt)


def pytest_unconfigure() -> None:
    _watch.wake.set()
    signal.signal(signal.SIGUSR2, signal.SIG_DFL)


@contextmanager
def _armed() -> Iterator[None]:
    _watch.armed = True
    try:
        _watch.interrupt()
        yield
    finally:
        _watch.armed = False


@pytest.hookimpl(wrapper=True, trylast=True)
def pytest_runtest_setup() -> Generator[None, Any, Any]:
    with _armed():
        return (yield)


pytest_runtest_call = pytest_runtest_teardown = pytest_runtest_setup


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, Any, Any]:
    """Attach the stacks of an engine that hung; the test fails also where it caught the exception."""
    report = yield
    if _watch.stacks:
        report.sections += _watch.stacks
        if report.passed:
            report.outcome, report.longrepr = "failed", "a Docker engine hung while this test ran, see its stacks"
        _watch.stacks = []
    return report
