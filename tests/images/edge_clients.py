"""Clients of an edge proxy on this host: plain and over TLS."""

import http.client
import socket
import ssl
from collections.abc import Mapping


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
