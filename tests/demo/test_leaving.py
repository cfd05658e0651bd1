"""A server that is told to go answers what it has begun to answer."""

import http.client
import signal
import time

from tests.support.demo import running, wait_until_up
from tests.support.ports import free_port


def test_a_request_in_flight_at_sigterm_gets_its_whole_answer() -> None:
    port = free_port()
    with running("-m", "demo", "backend", PORT=str(port), RELEASE="r7") as server:
        wait_until_up(f"http://127.0.0.1:{port}/health")
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        connection.request("GET", "/version")
        first = connection.getresponse()
        first.read()
        assert [first.getheader(name) for name in ("X-Release", "Connection")] == ["r7", None]
        # A second connection made by the client itself would hide that the first one was closed.
        connection.auto_open = 0
        connection.request("GET", "/slow?seconds=2.5")
        time.sleep(0.3)
        server.send_signal(signal.SIGTERM)
        answer = connection.getresponse()
        assert (answer.status, answer.read()) == (200, b'{"slept_seconds":2.5}')
        assert answer.getheader("Connection") == "close"
        server.communicate(timeout=30)
        assert server.returncode == 0
