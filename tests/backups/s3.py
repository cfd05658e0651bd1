"""An S3 server, and a proxy before it that answers a share of the requests with 503."""

import http.client
import random
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import boto3

from tests.support.ports import free_port, serving
from tests.support.waiting import wait_until

BUCKET = "shop-backups"
CREDENTIALS = {"s3-id": "the-id", "s3-key": "the-key"}
EVERYWHERE = "0.0.0.0"  # noqa: S104 - containers ask


class S3Server:
    """moto on a port of this machine, with a bucket in it."""

    def __init__(self) -> None:
        self.port = free_port(EVERYWHERE)
        self._process = subprocess.Popen(
            [sys.executable, "-m", "moto.server", "-H", EVERYWHERE, "-p", str(self.port)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self.client: Any = boto3.client(
            "s3",
            endpoint_url=f"http://127.0.0.1:{self.port}",
            region_name="us-east-1",
            aws_access_key_id=CREDENTIALS["s3-id"],
            aws_secret_access_key=CREDENTIALS["s3-key"],
        )

    def wait(self) -> None:
        wait_until(self._listens, "the S3 server listens")
        self.client.create_bucket(Bucket=BUCKET)

    def _listens(self) -> bool:
        with socket.socket() as probe:
            probe.settimeout(1)
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def objects(self, prefix: str) -> dict[str, bytes]:
        listed = self.client.list_objects_v2(Bucket=BUCKET, Prefix=prefix).get("Contents", ())
        return {item["Key"]: self.read(item["Key"]) for item in listed}

    def read(self, key: str) -> bytes:
        return bytes(self.client.get_object(Bucket=BUCKET, Key=key)["Body"].read())

    def write(self, key: str, content: bytes) -> None:
        self.client.put_object(Bucket=BUCKET, Key=key, Body=content)

    def delete(self, key: str) -> None:
        self.client.delete_object(Bucket=BUCKET, Key=key)

    def copy(self, prefix: str, other: str) -> None:
        for key, content in self.objects(prefix).items():
            self.write(other + key.removeprefix(prefix), content)

    def stop(self) -> None:
        self._process.kill()
        self._process.wait()


HOP_HEADERS = {"connection", "transfer-encoding", "keep-alive"}
"""Headers between two neighbours, which a proxy does not pass on."""


class Proxy(ThreadingHTTPServer):
    """Counts what it refused. `share` is the part of the requests that it refuses, by a seeded chance."""

    daemon_threads = True

    def __init__(self, target: int, port: int, share: float) -> None:
        super().__init__((EVERYWHERE, port), _Handler)
        self.target, self.share, self.refused = target, share, 0
        self.chance = random.Random(7)  # noqa: S311 - which request is refused is no secret


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Proxy

    def _handle(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.server.chance.random() < self.server.share:
            self.server.refused += 1
            self._answer(503, {}, b"<Error><Code>SlowDown</Code></Error>")
            return
        connection = http.client.HTTPConnection("127.0.0.1", self.server.target, timeout=60)
        connection.request(self.command, self.path, body, dict(self.headers))
        answer = connection.getresponse()
        self._answer(answer.status, dict(answer.getheaders()), answer.read())
        connection.close()

    def _answer(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.send_response(status)
        length = headers.get("Content-Length", str(len(body))) if self.command == "HEAD" else str(len(body))
        for name, value in headers.items():
            if name.lower() not in HOP_HEADERS | {"content-length"}:
                self.send_header(name, value)
        self.send_header("Content-Length", length)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = _handle  # noqa: N815 - names that http.server calls

    def log_message(self, format: str, *args: object) -> None:
        """Print nothing."""


@contextmanager
def s3_proxy(target: int, port: int = 0, share: float = 0.5) -> Iterator[Proxy]:
    """Run the proxy before a server's port, on `port` or on any that is free."""
    proxy = Proxy(target, port, share)
    with serving(proxy):
        yield proxy
