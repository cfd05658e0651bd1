"""What clients see of a server that is told to go: nobody's request is lost, on new connections or old ones."""

from __future__ import annotations

import http.client
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator

import pytest

from tests.demo.test_commands import free_port, running, wait_until_up


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.fixture
def server(port: int) -> Iterator[subprocess.Popen[str]]:
    """A backend without stores."""
    with running("-m", "demo", "backend", PORT=str(port), RELEASE="r7") as process:
        wait_until_up(f"http://127.0.0.1:{port}/health")
        yield process


def ask(connection: http.client.HTTPConnection, path: str) -> tuple[int, str | None, str | None]:
    """Return status, X-Release and Connection of the answer."""
    connection.request("GET", path)
    answer = connection.getresponse()
    answer.read()
    return answer.status, answer.getheader("X-Release"), answer.getheader("Connection")


def connected(port: int) -> http.client.HTTPConnection:
    """Return an open keep-alive connection that has been used."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    assert ask(connection, "/version") == (200, "r7", None)
    # A second connection made by the client itself would hide that the first one was closed.
    connection.auto_open = 0
    return connection


def test_a_request_in_flight_at_sigterm_gets_its_whole_answer(server: subprocess.Popen[str], port: int) -> None:
    connection = connected(port)
    connection.request("GET", "/slow?seconds=2.5")
    time.sleep(0.3)
    server.send_signal(signal.SIGTERM)
    answer = connection.getresponse()
    assert (answer.status, answer.read()) == (200, b'{"slept_seconds":2.5}')
    assert answer.getheader("Connection") == "close"
    server.communicate(timeout=5)
    assert server.returncode == 0


def test_a_request_that_comes_just_after_sigterm_on_an_open_connection_is_answered(
    server: subprocess.Popen[str], port: int
) -> None:
    connections = [connected(port) for _ in range(5)]
    server.send_signal(signal.SIGTERM)
    time.sleep(0.3)
    assert [ask(connection, "/version") for connection in connections] == [(200, "r7", "close")] * 5
    server.communicate(timeout=5)
    assert server.returncode == 0


def test_a_request_half_sent_at_sigterm_is_answered(server: subprocess.Popen[str], port: int) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(b"GET /version HTTP/1.1\r\n")
        time.sleep(0.1)
        server.send_signal(signal.SIGTERM)
        time.sleep(0.4)
        connection.sendall(b"Host: here\r\n\r\n")
        assert connection.recv(1024).startswith(b"HTTP/1.1 200 ")


def test_an_idle_connection_keeps_a_server_for_a_second_and_no_longer(server: subprocess.Popen[str], port: int) -> None:
    idle = connected(port)
    started = time.monotonic()
    server.send_signal(signal.SIGTERM)
    server.communicate(timeout=10)
    assert server.returncode == 0
    assert time.monotonic() - started < 4
    idle.close()


def test_clients_that_never_stop_asking_lose_nothing(server: subprocess.Popen[str], port: int) -> None:
    # What a proxy does: it keeps its connections, and takes a new one when an answer says `Connection: close`.
    seen: list[int] = []

    def client() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        while True:
            try:
                status, _, close = ask(connection, "/slow?seconds=0.02")
            except ConnectionRefusedError:
                return
            seen.append(status)
            if close:
                # The next request opens a new connection and is refused: nothing was sent, another may take it.
                connection.close()

    clients = [threading.Thread(target=client, daemon=True) for _ in range(8)]
    for thread in clients:
        thread.start()
    time.sleep(0.5)
    server.send_signal(signal.SIGTERM)
    for thread in clients:
        thread.join(timeout=10)
        assert not thread.is_alive()
    server.communicate(timeout=5)
    assert set(seen) == {200}
    assert len(seen) > 50


def test_a_request_longer_than_the_grace_time_is_given_up(port: int) -> None:
    with running("-m", "demo", "backend", PORT=str(port), STOP_GRACE_SECONDS="1") as process:
        wait_until_up(f"http://127.0.0.1:{port}/health")
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        connection.request("GET", "/slow?seconds=30")
        time.sleep(0.3)
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=8)
        connection.close()
