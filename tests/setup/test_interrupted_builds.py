"""A build that is killed half way says that it was interrupted; one that fails says what the compiler said."""

import io
import os
import signal
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import requests.exceptions

from machine.progress import SetupError
from machine.workdir import WorkDir
from offline.golang import Go, GoProgram, build
from tests.setup.helpers import write_program
from tests.support.progress import Words
from tests.support.waiting import wait_until
from toolchain.builds import run_build

STARTED = "mod/first\n"


def compile_with(work: WorkDir, script: str) -> Path:
    """Build a program with a script in place of Go; return the path of the built program."""
    module = work.checkout / "module"
    module.mkdir(parents=True)
    (module / "go.mod").write_text("module it\n\ngo 1.25\n")
    go = write_program(work.checkout / "go", f"#!/bin/sh\n{script}\n")
    return build(work, Go(go, "1.25"), GoProgram(module, "example.org/collector"), lambda _: None)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_a_killed_go_build_was_interrupted(work: WorkDir, number: signal.Signals) -> None:
    pid = work.checkout / "pid"

    def kill() -> None:
        os.kill(int(wait_until(lambda: pid.exists() and pid.read_text(), "the build runs")), number)

    threading.Thread(target=kill).start()
    script = f"echo mod/first; trap - INT TERM; echo $$ > {pid}.new; mv {pid}.new {pid}; exec sleep 60"
    with pytest.raises(SetupError, match=f"^building collector was interrupted \\({number.name}\\)") as error:
        compile_with(work, script)
    assert "it continues where it stopped" in error.value.remedy
    assert not list(work.cache.glob("go-built/*/collector")), "half a program is taken for a whole one"


def test_a_killed_compiler_is_no_compile_error(work: WorkDir) -> None:
    with pytest.raises(SetupError, match=r"^building collector was interrupted \(killed\)"):
        compile_with(work, 'echo "go build mod/first: /go/compile: signal: killed"; exit 1')


def test_a_compile_error_is_told_in_the_compilers_words(work: WorkDir) -> None:
    with pytest.raises(SetupError, match=r"^building collector failed: main\.go:3: undefined: x\."):
        compile_with(work, 'echo "main.go:3: undefined: x"; exit 1')


class Builder:
    """A Docker client whose builder says what it is given to say, and makes no image."""

    def __init__(self, *events: dict[str, str] | Exception) -> None:
        self.events = events
        self.api = self.images = self

    def build(self, **_: Any) -> Any:
        for event in self.events:
            if isinstance(event, Exception):
                raise event
            yield event


STEP = {"stream": "Step 2/3 : RUN npm ci\n"}


def exit_code(code: int) -> dict[str, str]:
    return {"error": f"The command '/bin/sh -c npm ci' returned a non-zero code: {code}"}


@pytest.mark.parametrize(
    ("last", "message"),
    [
        (exit_code(137), "image web was interrupted: SIGKILL ended RUN npm ci"),
        (exit_code(143), "image web was interrupted: SIGTERM ended RUN npm ci"),
        (requests.exceptions.ConnectionError(), "image web was interrupted: the Docker engine disconnected"),
        (exit_code(1), "image web cannot be built: The command .* returned a non-zero code: 1"),
    ],
    ids=["killed", "terminated", "engine gone", "failed"],
)
def test_an_image_build_tells_an_interruption_from_a_failure(
    tmp_path: Path, words: Words, last: Any, message: str
) -> None:
    client: Any = Builder(STEP, last)
    step: Any = SimpleNamespace(say=lambda _: None)
    with pytest.raises(SetupError, match=message):
        run_build(client, step, "web", "dockyard/web:1", io.BytesIO(), tmp_path / "log")
