"""An `up` that is stopped at any moment, by whatever signal, is mended by the next; nothing is left over."""

import contextlib
import json
import os
import random
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

import pytest

from machine.processes import descendants
from tests.support.checkout import Checkout, clean_environment
from tests.support.stack import FIRST_UP_SECONDS, Stack, small_stack
from tests.support.waiting import wait_until

KINDS = [f"docker:index/{kind}" for kind in ("container:Container", "network:Network", "volume:Volume")]
FIRST, UPDATE = "first", "update"
SIGNALS = {
    "kill -9": (signal.SIGKILL,),
    "TERM": (signal.SIGTERM,),
    "INT": (signal.SIGINT,),
    "INT twice": (signal.SIGINT,) * 2,
}
LINES = {FIRST: 34, UPDATE: 10}
"""Lines that an `up` prints, about one for each thing that it makes: a measure of its progress that a busy machine does
not stretch. A few less than all, so that every point is reached."""


@dataclass(frozen=True)
class Point:
    """A moment of an `up`, and the signals that it gets then."""

    up: str
    line: int
    after: float  # seconds after that line
    sent: str


def points() -> list[Point]:
    """Return ten, spread over both kinds of `up`; random within their part, and the same in every run."""
    chance = random.Random(20)  # noqa: S311 - moments, not secrets
    signals = ["kill -9", "TERM", "kill -9", "INT", "kill -9", "INT twice", "kill -9", "TERM", "kill -9", "INT twice"]
    points: list[Point] = []
    for up, number in ((FIRST, 3), (UPDATE, 7)):
        for place in range(number):
            line = int((place + chance.random()) / number * LINES[up])
            points.append(Point(up, line, round(chance.random() / 2, 2), signals[len(points)]))
    return points


DAILY = (points()[1], points()[4])  # a first `up` that is asked to end, and an update that is killed

SOAK = [pytest.param(point, marks=pytest.mark.soak, id=str(point)) for point in points() if point not in DAILY]


@pytest.fixture(scope="module")
def bell(checkout: Checkout) -> Iterator[Stack]:
    """A small stack with nothing of it there yet but its images."""
    with small_stack(checkout, "bell") as bell:
        checkout.dockyard("setup", bell.name, limit=FIRST_UP_SECONDS).good()
        yield bell


def release_of(bell: Stack) -> int:
    return int(bell.product_file.read_text().partition('RELEASE: "')[2].partition('"')[0])


def change_release(bell: Stack) -> None:
    """Make a release that replaces the service, the job and what lists them."""
    number = release_of(bell)
    text = bell.product_file.read_text()
    bell.product_file.write_text(text.replace(f'RELEASE: "{number}"', f'RELEASE: "{number + 1}"'))


def interrupted_up(bell: Stack, point: Point) -> str:
    """Begin an `up`, send it the point's signals when it has got there, and return what it printed."""
    folder = bell.checkout.folder
    printed: list[str] = []
    both = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    command, options = [str(folder / "dockyard"), "up", bell.name], {"text": True, "start_new_session": True, **both}
    with subprocess.Popen(command, cwd=folder, env=clean_environment(), **options) as process:
        assert process.stdout
        while len(printed) < point.line:
            printed.append(process.stdout.readline())
            assert printed[-1], f"it ended before line {point.line}: {printed}"
        # These two sleeps wait for nothing: they choose the moment of the signal.
        time.sleep(point.after)
        for number in SIGNALS[point.sent]:
            # a power cut ends them all; an interrupt is sent to the command, which passes it on.
            below = descendants(process.pid) if number is signal.SIGKILL else []
            for pid in (process.pid, *below):
                with contextlib.suppress(ProcessLookupError):  # it ended by itself, or with its parent
                    os.kill(pid, number)
            time.sleep(0.3)
        rest, _ = process.communicate(timeout=300)
    return "".join([*printed, rest])


def assert_whole(bell: Stack) -> None:
    """Assert that all is healthy, that nothing is there twice or unknown, and that nothing remains to be done."""
    bell.preview("--refresh").good()
    state = bell.checkout.export(bell.name)
    assert not state.get("pending_operations"), "the state knows of no unfinished operation"
    known = {resource["id"] for resource in state["resources"] if resource["type"] in KINDS}
    assert bell.everything == known, "nothing is there that the state does not know"
    locks = bell.checkout.folder / ".dockyard/state/.pulumi/locks"
    assert not [lock for lock in locks.rglob("*.json") if bell.name in lock.parts], "no lock is left"
    bell.wait_until_healthy()


@pytest.mark.parametrize("point", [*DAILY, *SOAK], ids=str)
def test_an_up_that_is_interrupted_is_mended_by_the_next(point: Point, bell: Stack) -> None:
    if point.up == UPDATE:
        bell.restore()
        change_release(bell)
    elif bell.everything:
        bell.down("--volumes", "--yes").good()
    printed = interrupted_up(bell, point)
    mended = bell.up()
    assert mended.code == 0, f"after {printed}:\n{mended.output}"
    assert f"RELEASE={release_of(bell)}" in bell.container("web").attrs["Config"]["Env"]
    assert_whole(bell)


def test_a_cleanup_frees_what_is_left_and_the_stack_stays_whole(bell: Stack) -> None:
    bell.restore()
    client = bell.client
    left = client.networks.create("left", labels=dict([bell.label["label"].split("=")]))
    foreign = [client.networks.create("foreign"), client.volumes.create("foreign", labels=left.attrs["Labels"])]
    created = datetime.fromisoformat(left.attrs["Created"][:19] + "+00:00").timestamp()
    wait_until(lambda: time.time() - created > 2, "the network is older than a second")
    cleaned = bell.checkout.dockyard("cleanup", "--older-than", "1s", "--json").good()
    report = json.loads(cleaned.output[cleaned.output.index("{") :])
    assert left.name in [item["name"] for item in report["removed"] if item["kind"] == "network"]
    assert {item["kind"] for item in report["removed"]} <= {"container", "network", "image", "build cache"}
    for item in foreign:
        item.remove()
    assert_whole(bell)
