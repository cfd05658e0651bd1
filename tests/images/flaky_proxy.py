"""An S3 server that is in trouble: a proxy that answers every second request with 503, by chance."""

from __future__ import annotations

import http.client
import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

UNTOLD = {"connection", "transfer-encoding", "keep-alive"}
"""Headers of one hop."""


class Proxy(ThreadingHTTPServer):
    """Counts what it passed on and what it refused."""

    daemon_threads = True

    def __init__(self, server: int) -> None:
        super().__init__(("0.0.0.0", 0), _Answer)  # noqa: S104 - containers ask
        self.behind, self.passed, self.refused = server, 0, 0
        self.chance = random.Random(7)  # noqa: S311 - which request is refused is no secret


class _Answer(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Proxy

    def _handle(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.server.chance.random() < 0.5:
            self.server.refused += 1
            self._say(503, {}, b"<Error><Code>SlowDown</Code></Error>")
            return
        self.server.passed += 1
        asked = http.client.HTTPConnection("127.0.0.1", self.server.behind, timeout=60)
        asked.request(self.command, self.path, body, dict(self.headers))
        said = asked.getresponse()
        self._say(said.status, dict(said.getheaders()), said.read())

    def _say(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.send_response(status)
        length = headers.get("Content-Length", str(len(body))) if self.command == "HEAD" else str(len(body))
        for name, value in headers.items():
            if name.lower() not in UNTOLD | {"content-length"}:
                self.send_header(name, value)
        self.send_header("Content-Length", length)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def do_GET(self) -> None:
        self._handle()

    def do_HEAD(self) -> None:
        self._handle()

    def do_PUT(self) -> None:
        self._handle()

    def do_POST(self) -> None:
        self._handle()

    def do_DELETE(self) -> None:
        self._handle()

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing: a test tells what it saw."""


@contextmanager
def flaky(server: int) -> Iterator[Proxy]:
    """Run the proxy before a server's port."""
    proxy = Proxy(server)
    threading.Thread(target=proxy.serve_forever, daemon=True).start()
    try:
        yield proxy
    finally:
        proxy.shutdown()
        proxy.server_close()
