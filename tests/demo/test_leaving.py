"""What clients see of a server that is told to go: nobody's request is lost, on new connections or old ones."""

import errno
import http.client
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator

import pytest

from tests.support.demo import running, wait_until_up
from tests.support.ports import free_port
from tests.support.waiting import wait_until


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


def refuses_connections(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == errno.ECONNREFUSED


def test_a_request_in_flight_at_sigterm_gets_its_whole_answer(server: subprocess.Popen[str], port: int) -> None:
    connection = connected(port)
    connection.request("GET", "/slow?seconds=2.5")
    time.sleep(0.3)
    server.send_signal(signal.SIGTERM)
    answer = connection.getresponse()
    assert (answer.status, answer.read()) == (200, b'{"slept_seconds":2.5}')
    assert answer.getheader("Connection") == "close"
    server.communicate(timeout=30)
    assert server.returncode == 0


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
    wait_until(lambda: len(seen) > 50, "the clients are busy")
    server.send_signal(signal.SIGTERM)
    for thread in clients:
        thread.join(timeout=60)
        assert not thread.is_alive()
    server.communicate(timeout=30)
    assert set(seen) == {200}
