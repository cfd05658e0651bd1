"""A fresh checkout of this tree with an engine of its own, and the dev stack brought up in it by its one command."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import docker
import httpx
import pytest

if TYPE_CHECKING:
    from tests.live.running import Running

SOURCE = Path(__file__).resolve().parents[2]
MINUTES = 60


@dataclass(frozen=True)
class Finished:
    """What came of a command."""

    code: int
    output: str
    seconds: float


@dataclass(frozen=True)
class Checkout:
    """A checkout on this machine, used as a person would."""

    folder: Path

    def dockyard(self, *arguments: str, limit: int = 15 * MINUTES) -> Finished:
        """Run the command of this checkout from the outside."""
        return run([str(self.folder / "dockyard"), *arguments], self.folder, clean_environment(), limit)

    @property
    def environment(self) -> dict[str, str]:
        """What `./dockyard env` exports, put on top of a clean environment by a shell."""
        printed = subprocess.run(
            ["/bin/sh", "-c", 'eval "$(./dockyard env)"; env -0'],
            cwd=self.folder,
            env=clean_environment(),
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        return dict(item.split("=", 1) for item in printed.split("\0") if item)

    def pulumi(self, *arguments: str) -> Finished:
        """Run plain `pulumi`, as `./dockyard env` sets it up."""
        return run(["pulumi", *arguments], self.folder, self.environment, 10 * MINUTES)

    def outputs(self) -> Mapping[str, object]:
        """Return the stack's outputs, secrets opened."""
        return json.loads(self.pulumi("stack", "output", "-s", "dev", "--json", "--show-secrets").output)

    def docker(self) -> docker.DockerClient:
        """Return a client of the engine that this checkout uses."""
        return docker.DockerClient(base_url=self.environment["DOCKER_HOST"])

    def container(self, service: str) -> docker.models.containers.Container:
        """Return the one container of a service."""
        (found,) = self.docker().containers.list(all=True, filters={"label": f"dockyard.service={service}"})
        return found

    def url(self, name: str) -> str:
        """Return the address that the stack publishes for a service or tool."""
        return self.outputs()["urls"][name]

    def get(self, name: str, path: str, **options) -> httpx.Response:
        """Fetch a path of a published service."""
        return httpx.get(self.url(name) + path, timeout=10, **options)

    def prometheus(self, query: str) -> list[dict]:
        """Return the result of an instant query."""
        answer = self.get("prometheus", "/api/v1/query", params={"query": query}).json()
        assert answer["status"] == "success", answer
        return answer["data"]["result"]


def run(command: list[str], folder: Path, environment: Mapping[str, str], limit: int) -> Finished:
    """Run a command to its end; its output is shown where a test fails."""
    began = time.monotonic()
    finished = subprocess.run(
        command,
        cwd=folder,
        env=dict(environment),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=limit,
    )
    seconds = time.monotonic() - began
    print(f"$ {' '.join(command)}  [{finished.returncode}, {seconds:.1f} s]\n{finished.stdout}")  # noqa: T201 - shown on failure
    return Finished(finished.returncode, finished.stdout, seconds)


def clean_environment() -> dict[str, str]:
    """Return this process's environment without what points to a stack, an engine or a Python of its own."""
    dropped = ("PULUMI_", "DOCKER_", "VIRTUAL_ENV", "PYTHON")
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith(dropped)},
        "DOCKYARD_ENGINE": "private",
    }


def copy_checkout(folder: Path) -> Checkout:
    """Make a checkout of the tree as it stands, changes that are not committed included."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=SOURCE,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    for name in filter(None, listed.split("\0")):
        if (SOURCE / name).exists():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(SOURCE / name, folder / name)
    for command in (["init", "-q"], ["add", "-A"], ["commit", "-q", "-m", "as it stands"]):
        subprocess.run(
            ["git", "-c", "user.name=test", "-c", "user.email=test@example.com", *command], cwd=folder, check=True
        )
    return Checkout(folder)


@pytest.fixture(scope="session")
def fresh_checkout() -> Iterator[Checkout]:
    """A fresh checkout; when the tests are over, its stack, its engine and its folder are gone."""
    folder = Path(tempfile.mkdtemp(prefix="dockyard-live-"))
    checkout = copy_checkout(folder)
    try:
        yield checkout
    finally:
        checkout.dockyard("stop")
        shutil.rmtree(folder)


@pytest.fixture(scope="session")
def first_up(fresh_checkout) -> Finished:
    """The first `./dockyard up dev` of a fresh checkout."""
    return fresh_checkout.dockyard("up", "dev", limit=30 * MINUTES)


@pytest.fixture(scope="session")
def dev(fresh_checkout, first_up) -> Checkout:
    """The checkout with its dev stack up."""
    assert first_up.code == 0, first_up.output
    return fresh_checkout


@pytest.fixture(scope="session")
def products(fresh_checkout) -> Iterator[dict[str, Running]]:
    """The stacks of all four products, brought up at once. The last tests of test_5_products take them down."""
    # Late: these modules stand on this one.
    from tests.live.products import all_up  # noqa: PLC0415 - see above

    with all_up(fresh_checkout) as found:
        yield found


@pytest.fixture(scope="session")
def guestbook(fresh_checkout) -> Iterator[Running]:
    """The small product of docs/examples, put where its page says, and brought up.

    The last test of test_9_drift takes it down.
    """
    # Late, as above.
    from tests.live.running import Running  # noqa: PLC0415 - see above

    names = ("products/guestbook.yaml", "Pulumi.guestbook.yaml")
    for name in names:
        shutil.copy(SOURCE / "docs/examples" / name, fresh_checkout.folder / name)
    running = Running(fresh_checkout, "guestbook", fresh_checkout.dockyard("up", "guestbook", limit=30 * MINUTES))
    assert running.up.code == 0, running.up.output
    yield running
    for name in names:
        (fresh_checkout.folder / name).unlink()
