"""An `up` that is stopped at any moment, by whatever signal, is mended by the next; nothing is left over."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.live.conftest import Checkout, Finished, clean_environment, run
from tests.live.running import Running
from toolchain.processes import descendants

STACK = "bell"
PRODUCT = """\
name: bell
services:
  web:
    image: demo
    port: 3000
    health: {http: /health, interval: 1s}
    command: [static]
    limits: {memory: 128MB, cpus: 0.5}
    env: {PORT: "3000", RELEASE: "0"}
    after: [tell]
jobs:
  tell: {image: busybox, command: ["true"], env: {RELEASE: "0"}}
"""
SETTINGS = """\
config:
  dockyard:product: products/bell.yaml
  dockyard:environment: development
  dockyard:docker: {health_interval: 1s}
  dockyard:monitoring: {logs: {enabled: false}, probes: {enabled: false}}
"""
"""As little as a stack can be, so that ten of its lives fit into two minutes."""

KINDS = [f"docker:index/{kind}" for kind in ("container:Container", "network:Network", "volume:Volume")]
FIRST, UPDATE = "first", "update"
SIGNALS = {
    "kill -9": (signal.SIGKILL,),
    "TERM": (signal.SIGTERM,),
    "INT": (signal.SIGINT,),
    "INT twice": (signal.SIGINT,) * 2,
}


LINES = {FIRST: 34, UPDATE: 10}
"""Lines that an `up` prints, about one for each thing that it makes: how far it has got, which a busy machine does not
stretch. A few less than all, so that every point is reached."""


@dataclass(frozen=True)
class Point:
    """A moment of an `up`, and what happens then."""

    up: str
    line: int
    after: float
    """Seconds after that line."""

    sent: str


def points() -> list[Point]:
    """Ten, spread over the whole of both kinds of `up`; random within their part, and the same in every run."""
    chance = random.Random(20)  # noqa: S311 - moments, not secrets
    signals = ["kill -9", "TERM", "kill -9", "INT", "kill -9", "INT twice", "kill -9", "TERM", "kill -9", "INT twice"]
    found = []
    for up, number in ((FIRST, 3), (UPDATE, 7)):
        for place in range(number):
            line = int((place + chance.random()) / number * LINES[up])
            found.append(Point(up, line, round(chance.random() / 2, 2), signals[len(found)]))
    return found


@dataclass
class Bell:
    """The small stack."""

    running: Running
    environment: dict[str, str] = field(default_factory=dict)
    release: int = 0

    @property
    def checkout(self) -> Checkout:
        return self.running.checkout

    @property
    def product(self) -> Path:
        return self.checkout.folder / "products/bell.yaml"

    def change(self) -> None:
        """Make a release that replaces the service, the job and what lists them."""
        before, self.release = self.release, self.release + 1
        text = self.product.read_text()
        self.product.write_text(text.replace(f'RELEASE: "{before}"', f'RELEASE: "{self.release}"'))

    def up(self) -> Finished:
        return self.checkout.dockyard("up", STACK)

    def stopped_up(self, point: Point) -> str:
        """Begin an `up`, send it the point's signals when it has got there, and return what it printed."""
        printed = []
        with subprocess.Popen(
            [str(self.checkout.folder / "dockyard"), "up", STACK],
            cwd=self.checkout.folder,
            env=clean_environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        ) as started:
            while len(printed) < point.line:
                printed.append(started.stdout.readline())
                assert printed[-1], f"it ended before line {point.line}: {printed}"
            time.sleep(point.after)
            for sign in SIGNALS[point.sent]:
                # A power cut ends them all; an interrupt is sent to the command, which passes it on.
                below = descendants(started.pid) if sign is signal.SIGKILL else []
                for pid in (started.pid, *below):
                    with contextlib.suppress(ProcessLookupError):  # it ended by itself, or with its parent
                        os.kill(pid, sign)
                time.sleep(0.3)
            rest, _ = started.communicate(timeout=300)
        return "".join([*printed, rest])

    def assert_whole(self) -> None:
        """Assert that all is healthy, that nothing is there twice or unknown, and that nothing remains to be done."""
        preview = run(
            ["pulumi", "preview", "-s", STACK, "--refresh", "--expect-no-changes", "--non-interactive"],
            self.checkout.folder,
            self.environment,
            300,
        )
        assert preview.code == 0, preview.output
        exported = subprocess.run(
            ["pulumi", "stack", "export", "-s", STACK],
            cwd=self.checkout.folder,
            env=self.environment,
            capture_output=True,
            check=True,
        ).stdout
        state = json.loads(exported)["deployment"]
        assert not state.get("pending_operations"), "the state knows of no unfinished operation"
        known = {one["id"] for one in state["resources"] if one["type"] in KINDS}
        client, ours = self.running.client, {"label": f"dockyard.stack={STACK}"}
        containers = client.containers.list(all=True, filters=ours)
        there = [*containers, *client.networks.list(filters=ours), *client.volumes.list(filters=ours)]
        assert {one.id for one in there} == known, "nothing is there that the state does not know"
        locks = self.checkout.folder / ".dockyard/state/.pulumi/locks"
        assert not [lock for lock in locks.rglob("*.json") if STACK in lock.parts], "no lock is left"
        for container in containers:
            now = container.attrs["State"]
            assert now.get("Health", {}).get("Status", "healthy") == "healthy", container.name
            assert now["Running"] or now["ExitCode"] == 0, container.name


@pytest.fixture(scope="module")
def bell(fresh_checkout) -> Iterator[Bell]:
    """The small stack, with nothing of it there yet but its images; taken down in the end."""
    bell = Bell(Running(fresh_checkout, STACK, Finished(0, "", 0)))
    bell.product.write_text(PRODUCT)
    settings = fresh_checkout.folder / f"Pulumi.{STACK}.yaml"
    settings.write_text(SETTINGS)
    ready = fresh_checkout.dockyard("setup", STACK, limit=30 * 60)
    assert ready.code == 0, ready.output
    bell.environment = fresh_checkout.environment
    yield bell
    gone = bell.running.down()
    settings.unlink()
    bell.product.unlink()
    assert gone.code == 0, gone.output
    assert bell.running.everything == set()


@pytest.mark.parametrize("point", points(), ids=str)
def test_an_up_that_is_stopped_anywhere_is_mended_by_the_next(point, bell):
    if point.up == UPDATE:
        bell.change()
    elif bell.running.everything:
        gone = bell.running.down()
        assert gone.code == 0, gone.output
    printed = bell.stopped_up(point)
    mended = bell.up()
    assert mended.code == 0, f"after {printed}:\n{mended.output}"
    assert f"RELEASE={bell.release}" in bell.running.containers["web"].attrs["Config"]["Env"]
    bell.assert_whole()


def test_a_clean_up_frees_what_was_left_and_the_stack_remains_whole(bell):
    client = bell.running.client
    left = client.networks.create("left", labels={"dockyard.stack": STACK})
    client.networks.create("of-somebody-else-too")
    client.volumes.create("of-somebody-else-too", labels={"dockyard.stack": STACK})
    time.sleep(1.1)  # it must be older than a second
    cleaned = bell.checkout.dockyard("cleanup", "--older-than", "1s", "--json")
    assert cleaned.code == 0, cleaned.output
    report = json.loads(cleaned.output[cleaned.output.index("{") :])
    assert left.name in [one["name"] for one in report["removed"] if one["kind"] == "network"]
    assert {one["kind"] for one in report["removed"]} <= {"container", "network", "image", "build cache"}
    client.networks.get("of-somebody-else-too").remove()
    client.volumes.get("of-somebody-else-too").remove()
    bell.assert_whole()
