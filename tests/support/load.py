"""Steady requests of several clients, like `hey`; on bare sockets, which leave room on two cores for what is tested."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from types import TracebackType
from urllib.parse import urlsplit

from tests.support.waiting import wait_until

RATE = 100  # requests a second, from all clients together: it leaves the processors to what is tested

CLIENTS = 8
LONGEST_SECONDS = 1200  # a load that lasts longer has failed


@dataclass
class Answers:
    statuses: Counter[int] = field(default_factory=Counter)
    releases: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    seconds: float = 0

    def assert_none_lost(self) -> None:
        assert self.failures == [], str(self)
        assert set(self.statuses) == {200}, str(self)

    def __str__(self) -> str:
        total = sum(self.statuses.values()) + len(self.failures)
        return (
            f"{total} requests in {self.seconds:.1f} s ({total / self.seconds:.0f}/s):"
            f" {dict(self.statuses)}, releases {dict(self.releases)}, {len(self.failures)} failed {self.failures[:3]}"
        )


class Load:
    """Sends requests from entering to leaving the context, `rate` a second; `answers` is complete after it."""

    def __init__(self, url: str, rate: int = RATE) -> None:
        self.answers = Answers()
        self._url = urlsplit(url)
        self._pause = CLIENTS / rate
        self._over = threading.Event()
        self._ended = 0
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), daemon=True)

    def __enter__(self) -> Load:
        self._began = time.monotonic()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()
        self.answers.seconds = time.monotonic() - self._began
        print(self.answers)  # noqa: T201 - pytest shows it where a test fails

    def wait_for(self, requests: int) -> None:
        wait_until(lambda: self._ended >= requests, f"{requests} requests have ended", LONGEST_SECONDS)

    async def _run(self) -> None:
        await asyncio.gather(*(self._client(number) for number in range(CLIENTS)))

    async def _client(self, number: int) -> None:
        """Send one request in each pause over a connection that stays open; a late one is sent at once."""
        due = time.monotonic() + number * self._pause / CLIENTS
        limit = due + LONGEST_SECONDS
        streams = None
        while not self._over.is_set():
            if due > limit:
                self.answers.failures.append(f"the load has not been ended for {LONGEST_SECONDS} s")
                return
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            due += self._pause
            try:
                streams = streams or await asyncio.open_connection(self._url.hostname, self._url.port)
                status, release, stays_open = await asyncio.wait_for(self._get(*streams), timeout=10)
            except (TimeoutError, OSError, asyncio.IncompleteReadError) as error:
                self.answers.failures.append(f"{type(error).__name__}: {error}")
                streams = None
                continue
            finally:
                self._ended += 1
            self.answers.statuses[status] += 1
            self.answers.releases[release] += 1
            streams = streams if stays_open else None

    async def _get(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> tuple[int, str, bool]:
        """Return the status, the release that answered, and whether the connection stays open."""
        writer.write(f"GET {self._url.path} HTTP/1.1\r\nHost: {self._url.netloc}\r\n\r\n".encode())
        first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        await reader.readexactly(int(headers["content-length"]))
        return int(first.split()[1]), headers.get("x-release", "?"), headers.get("connection") != "close"
