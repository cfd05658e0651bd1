"""The client of Docker engines: no output of a command is lost, however it is cut into packets."""

import struct
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from toolchain.docker_client import DockerClient


def frame(stream: int, data: bytes) -> bytes:
    return struct.pack(">BxxxL", stream, len(data)) + data


class Engine(BaseHTTPRequestHandler):
    """Answers `exec` with its first output in the packet of the header, and with the rest later."""

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        header = b"HTTP/1.1 200 OK\r\nContent-Type: application/vnd.docker.raw-stream\r\n\r\n"
        self.wfile.write(header + frame(1, b"first ") + frame(2, b"oh"))
        time.sleep(0.2)
        self.wfile.write(frame(1, b"last"))


@pytest.fixture
def api():
    with ThreadingHTTPServer(("127.0.0.1", 0), Engine) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield DockerClient(f"tcp://127.0.0.1:{server.server_port}", version="1.41").api
        server.shutdown()


def test_exec_returns_the_output_that_comes_in_one_packet_with_the_header(api):
    assert api.exec_start("id") == b"first ohlast"
    assert api.exec_start("id", demux=True) == (b"first last", b"oh")
    assert list(api.exec_start("id", stream=True, demux=True)) == [(b"first ", None), (None, b"oh"), (b"last", None)]
