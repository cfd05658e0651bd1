"""An interrupt of the command reaches the engine, also through the script around it."""

import os
import signal
import sys
import threading

import pytest

from machine.progress import Progress
from machine.workdir import WorkDir
from ops.pulumi_cli import PulumiCli
from tests.support.waiting import wait_until

ENGINE = f"""#!{sys.executable}
import pathlib, signal, sys, time
seen = []
def came(*_):
    seen.append(1)
    pathlib.Path("seen").write_text(str(len(seen)))
signal.signal(signal.SIGINT, came)
signal.signal(signal.SIGTERM, signal.SIG_IGN)
pathlib.Path("ready").touch()
while len(seen) < int(sys.argv[-1]):
    time.sleep(0.02)
sys.exit(7)
"""
SCRIPT = '#!/bin/sh\ntrap : INT TERM\n"$(dirname "$0")/engine" "$@"\nexit $?\n'
"""Waits for the engine and keeps signals to itself, as toolchain/pulumi_without_salt.sh does."""


@pytest.fixture
def work(tmp_path):
    for name, text in (("engine", ENGINE), ("pulumi", SCRIPT)):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    return WorkDir(tmp_path)


def send(work: WorkDir, signs: list[signal.Signals]) -> None:
    """Send signals to this process, each once the engine has seen the one before."""
    ready, seen = work.checkout / "ready", work.checkout / "seen"
    wait_until(ready.exists, "the engine runs")
    for number, sign in enumerate(signs):
        wait_until(lambda: not number or (seen.exists() and seen.read_text() == str(number)), f"signal {number}")  # noqa: B023 - called at once
        os.kill(os.getpid(), sign)


@pytest.mark.parametrize(
    "signs",
    [[signal.SIGINT], [signal.SIGTERM], [signal.SIGINT, signal.SIGINT], [signal.SIGTERM, signal.SIGINT]],
    ids=str,
)
def test_an_interrupt_reaches_the_engine_once_and_its_end_is_awaited(signs, work, progress, printed):
    handlers = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    sender = threading.Thread(target=send, args=(work, signs))
    sender.start()
    env = {"PATH": f"{work.checkout}:{os.environ['PATH']}"}
    code, outcome = PulumiCli(work, "dev", env).change("up", [str(len(signs))], progress)
    sender.join()
    assert code == 7
    assert outcome.interrupted
    assert (work.checkout / "seen").read_text() == str(len(signs))
    assert "interrupt again to stop at once" in printed.getvalue()
    assert ("stopping at once" in printed.getvalue()) is (len(signs) > 1)
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == handlers


def test_a_run_that_nobody_stops_is_not_interrupted(work):
    environment = {"PATH": f"{work.checkout}:{os.environ['PATH']}"}
    _, outcome = PulumiCli(work, "dev", environment).change("up", ["0"], Progress())
    assert not outcome.interrupted
