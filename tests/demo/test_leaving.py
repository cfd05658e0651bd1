"""What clients see of a server that is told to go: nobody's request is lost, on new connections or old ones."""

import http.client
import signal
import subprocess
import time
from collections.abc import Iterator

import pytest

from tests.support.demo import running, wait_until_up
from tests.support.ports import free_port


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
    server.communicate(timeout=30)
    assert server.returncode == 0
