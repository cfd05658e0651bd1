"""The local registry: one process a checkout, healed after a kill, stopped without touching others."""

import os
import signal
import socket

import pytest

from machine import processes
from machine.workdir import WorkDir
from offline.registry import _answers as answers
from offline.registry import ensure_registry, stop_registry
from tests.support.progress import Words
from tests.support.waiting import wait_until


def process_of(work: WorkDir) -> int:
    (pid,) = processes.find(f" serve {work.registry / 'config.yml'}")
    return pid


def take(taker: socket.socket, port: int) -> bool:
    """Bind a port that a registry had until a moment ago."""
    taker.bind(("127.0.0.1", port))
    return True


def test_a_running_registry_is_taken_as_it_is(checkout, words: Words):
    work = checkout()
    first = ensure_registry(work, words.progress)
    pid = process_of(work)
    said = str(words)
    assert ensure_registry(work, words.progress) == first
    assert process_of(work) == pid
    assert str(words) == said


@pytest.mark.parametrize("sent", [signal.SIGKILL, signal.SIGSTOP])
def test_one_that_was_killed_or_hangs_comes_back_on_the_same_port(checkout, words: Words, sent: signal.Signals):
    work = checkout()
    first = ensure_registry(work, words.progress)
    pid = process_of(work)
    os.kill(pid, sent)
    if sent is signal.SIGKILL:
        assert processes.wait_until(lambda: not processes.is_alive(pid), 5)
        assert not answers(first)
    assert ensure_registry(work, words.progress) == first
    assert answers(first)


def test_it_moves_when_somebody_took_its_port(checkout, words: Words):
    work = checkout()
    first = ensure_registry(work, words.progress)
    stop_registry(work, words.progress)
    with socket.socket() as taker:
        taker.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        port = int(first.host.split(":")[1])
        wait_until(lambda: take(taker, port), f"port {port} is free", 10, ignoring=(OSError,))
        taker.listen()
        second = ensure_registry(work, words.progress)
        assert second != first
        assert answers(second)


def test_stopping_one_leaves_the_other_checkouts_alone(checkout, words: Words):
    mine, theirs = checkout(), checkout()
    first, second = ensure_registry(mine, words.progress), ensure_registry(theirs, words.progress)
    assert first != second
    stop_registry(mine, words.progress)
    assert not answers(first)
    assert answers(second)
    stop_registry(mine, words.progress)
    assert str(words).count("Stop the local registry") == 1
