"""The container health check: one HTTP request on a plain socket, or one look at a file; it costs milliseconds."""

from __future__ import annotations

import os
import socket
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import urlsplit

TIMEOUT_SECONDS = 5.0


def status_of(url: str, timeout: float = TIMEOUT_SECONDS) -> int:
    """Return the HTTP status that a GET of `url` answers with.

    `timeout` is in seconds. Raises OSError when nothing listens or answers in time, ValueError when the URL
    is not `http://host[:port]/path` or what answers does not speak HTTP.
    """
    parts = urlsplit(url)
    if parts.scheme != "http" or not parts.hostname:
        raise ValueError(f"{url!r} is not a http:// URL")
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    request = f"GET {target} HTTP/1.1\r\nHost: {parts.netloc}\r\nConnection: close\r\n\r\n"
    with socket.create_connection((parts.hostname, parts.port or 80), timeout) as connection:
        connection.settimeout(timeout)
        connection.sendall(request.encode("ascii"))
        with connection.makefile("rb") as answer:
            words = answer.readline(1024).split(None, 2)
    if len(words) < 2 or not words[0].startswith(b"HTTP/") or not words[1].isdigit():
        raise ValueError(f"{url} does not answer in HTTP")
    return int(words[1])


def heartbeat_file(environment: Mapping[str, str]) -> Path:
    """Return where a process without a port shows that it goes on; both sides have the same environment."""
    return Path(environment.get("DEMO_HEARTBEAT_FILE") or "/tmp/demo-heartbeat")  # noqa: S108 - a tmpfs of the container


def write_heartbeat(path: Path, seconds: float) -> None:
    """Promise to write again within `seconds`. In one step: a reader never sees half a number."""
    draft = path.with_suffix(".new")
    draft.write_text(f"{time.monotonic() + seconds}\n", encoding="ascii")
    draft.replace(path)


def check_heartbeat(path: Path) -> None:
    """Raise OSError or ValueError when there is no promise, or one that was not kept."""
    late = time.monotonic() - float(path.read_text(encoding="ascii"))
    if late > 0:
        raise ValueError(f"no turn has succeeded in time, the next one is {late:.0f} s late")


def main(argv: Sequence[str]) -> int:
    """Return 0 when the URL answers with 2xx, or the bot goes on, 1 when not, 2 when called wrongly."""
    if len(argv) != 1:
        sys.stderr.write("usage: python -m demo healthcheck URL|bot\n")
        return 2
    try:
        if argv[0] == "bot":
            check_heartbeat(heartbeat_file(os.environ))
            return 0
        status = status_of(argv[0])
    except (OSError, ValueError) as error:
        sys.stderr.write(f"unhealthy: {error}\n")
        return 1
    if 200 <= status < 300:
        return 0
    sys.stderr.write(f"unhealthy: {argv[0]} answers {status}\n")
    return 1
