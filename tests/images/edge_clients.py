"""Clients of an edge proxy on this host: plain, over TLS, and without a pause."""

from __future__ import annotations

import http.client
import socket
import ssl
import threading
from collections import Counter
from collections.abc import Callable, Mapping


def get(port: int, path: str = "/", host: str = "x.test") -> tuple[http.client.HTTPResponse, str]:
    """Ask over plain HTTP as `host`; return the response and its body."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", path, headers={"Host": host})
        response = connection.getresponse()
        return response, response.read().decode()
    finally:
        connection.close()


def secure(
    port: int, host: str, path: str = "/", headers: Mapping[str, str] | None = None
) -> tuple[http.client.HTTPResponse, str, bytes]:
    """Ask over TLS as `host`; return the response, its body, and the certificate that the server showed."""
    more = "".join(f"{name}: {value}\r\n" for name, value in (headers or {}).items())
    with (
        socket.create_connection(("127.0.0.1", port), 10) as plain,
        trusting_anybody().wrap_socket(plain, server_hostname=host) as channel,
    ):
        channel.sendall(f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{more}\r\n".encode())
        response = http.client.HTTPResponse(channel)
        response.begin()
        return response, response.read().decode(), channel.getpeercert(True) or b""


def trusting_anybody() -> ssl.SSLContext:
    """Return a TLS context that checks no certificate."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


class Load:
    """Requests without a pause from several clients, each on a connection of its own."""

    def __init__(self, ask: Callable[[], tuple[http.client.HTTPResponse, str]], clients: int = 4) -> None:
        self.seen: Counter[str] = Counter()
        """Name of the server that answered, other status, or error → requests."""
        self._ask, self._stop = ask, threading.Event()
        self._threads = [threading.Thread(target=self._run) for _ in range(clients)]

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                response, body = self._ask()
                self.seen[body.split(" ", 1)[0] if response.status == 200 else f"status {response.status}"] += 1
            except OSError as error:
                self.seen[repr(error)] += 1

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()
