"""A Docker engine that hangs fails the test that runs, with the engine's goroutine stacks."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from machine.workdir import CHECKOUT
from toolchain.private_dockerd import PrivateDockerd

HANGING_ENGINE = """\
import pathlib, signal, socket, sys, threading, time
root, run = pathlib.Path(sys.argv[2]).parent, pathlib.Path(sys.argv[4])
signal.signal(signal.SIGUSR1, lambda *_: (run / "goroutine-stacks-now.log").write_text("goroutine 7 [semacquire]"))
server = socket.socket(socket.AF_UNIX)
server.bind(str(run / "docker.sock"))
server.listen()
print("listening", flush=True)
answered = 0
while True:
    connection, _ = server.accept()
    connection.recv(65536)
    if answered < 2:
        answered += 1
        connection.sendall(b"HTTP/1.1 200 OK\\r\\nContent-Type: application/json\\r\\nContent-Length: 2\\r\\n"
                           b"Connection: close\\r\\n\\r\\n[]")
        connection.close()
    else:
        threading.Event().wait(60)
"""
"""Answers two requests, and nothing afterwards; writes stacks as dockerd does."""

TEST = """\
import time
from pathlib import Path
from tests.support import engine
from toolchain.private_dockerd import PrivateDockerd

engine.ANSWER_SECONDS, engine.LOOK_SECONDS = 0.5, 0.1

def test_waits_for_the_engine():
    with engine.watched(PrivateDockerd(Path({root!r}), "hanging")):
        {body}

def test_another():
    pass
"""


@pytest.mark.parametrize("body", ["time.sleep(60)", "try: time.sleep(60)\n        except AssertionError: pass"])
def test_an_engine_that_hangs_fails_the_running_test(tmp_path: Path, body: str) -> None:
    engine = PrivateDockerd(tmp_path / "engine", "hanging")
    engine.run.mkdir(parents=True)
    (tmp_path / "hanging.py").write_text(HANGING_ENGINE)
    (tmp_path / "test_it.py").write_text(TEST.format(root=str(engine.root), body=body))
    options = ["--data-root", str(engine.data), "--exec-root", str(engine.run)]
    command = [sys.executable, str(tmp_path / "hanging.py"), *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "listening\n"
            (engine.run / "dockerd.pid").write_text(str(process.pid))
            inner = subprocess.run(
                [sys.executable, "-m", "pytest", "-p", "tests.support.engine", "-p", "no:randomly", "test_it.py"],
                cwd=tmp_path,
                env={**os.environ, "PYTHONPATH": str(CHECKOUT)},
                capture_output=True,
                text=True,
                timeout=50,
            )
        finally:
            process.kill()
            shutil.rmtree(engine.run)
    assert "1 failed, 1 passed" in inner.stdout, inner.stdout
    assert "goroutine 7 [semacquire]" in inner.stdout
    assert f"goroutine stacks of {engine.host}" in inner.stdout
