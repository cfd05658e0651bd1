"""`python -m demo drive`: users for the demo workload, so that dashboards have something to show.

Sends, for a bounded time and a few requests a second: polls, votes and pages; a share of requests that end in 404, 422
or 500; WebSocket connections; jobs of every queue, some of them delayed, slow or failing; payment callbacks, two of
them refused. What a backend does not have (its route answers 404) is left out.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import ssl
import sys
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import httpx
from websockets.asyncio.client import connect
from websockets.exceptions import WebSocketException

from demo.jobs import KPIS
from demo.payments import SIGNED

TEA = {"question": "Tea?", "options": ["yes", "no"], "seconds": 3600}

Step = Callable[[], Awaitable[bool]]
"""One thing that a user does; false when there is no such thing here."""

LONGEST_SECONDS = 3600.0
ANSWER_SECONDS = 10.0


@dataclass
class Seen:
    """What came back: how often each status, by what was asked for; `failures` are requests without an answer."""

    statuses: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        lines = [f"{count:6} {what}" for what, count in sorted(self.statuses.items())]
        lines += [f"{len(self.failures):6} without an answer: {'; '.join(sorted(set(self.failures))[:3])}"]
        return "\n".join(lines)


@dataclass(frozen=True)
class Target:
    """Where to send requests: a base URL, and the Host header if it is not the URL's own (a proxy is asked)."""

    url: str
    host: str | None = None
    insecure: bool = False
    """Take any certificate: a proxy that is asked by its address has none for it."""

    def client(self) -> httpx.AsyncClient:
        """Return a client with the address as its base."""
        headers = {"Host": self.host} if self.host else {}
        return httpx.AsyncClient(
            base_url=self.url, headers=headers, verify=not self.insecure, timeout=ANSWER_SECONDS, trust_env=False
        )


class Driver:
    """Users of one backend, and of the frontend where there is one."""

    def __init__(self, backend: Target, frontend: Target | None, seconds: float, rate: float, sockets: int) -> None:
        self.backend = backend
        self.frontend = frontend
        self.seconds = seconds
        self.rate = rate
        """Requests a second from each kind of user."""
        self.sockets = sockets
        self.seen = Seen()
        self.poll: int | None = None

    async def run(self) -> Seen:
        """Send everything until the time is over; return what came back."""
        async with self.backend.client() as client:
            self._client = client
            users = [
                self._each(self.rate, self.voters()),
                self._each(self.rate / 4, self.strangers()),
                self._each(self.rate / 2, self.workers()),
                self._each(self.rate / 4, self.payers()),
                *(self._watch() for _ in range(self.sockets)),
            ]
            if self.frontend:
                users.append(self._read_pages(self.frontend))
            async with asyncio.TaskGroup() as group:
                for user in users:
                    group.create_task(self._bounded(user))
        return self.seen

    async def _bounded(self, user: Awaitable[None]) -> None:
        try:
            async with asyncio.timeout(self.seconds):
                await user
        except TimeoutError:
            pass  # the time is over, as it was meant to be

    async def _each(self, rate: float, steps: Iterator[Step]) -> None:
        """Take the steps in turn at `rate` a second, until one of them says that there is no such thing here."""
        loop = asyncio.get_running_loop()
        due = loop.time()
        for step in steps:
            await asyncio.sleep(max(0.0, due - loop.time()))
            due += 1 / rate
            if not await step():
                return

    async def ask(self, method: str, path: str, body: object = None, **headers: str) -> httpx.Response | None:
        """Send one request and note its status; None when there was no answer."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        try:
            answer = await self._client.request(method, path, json=body, headers=named)
        except httpx.HTTPError as error:
            self.seen.failures.append(f"{method} {path}: {type(error).__name__}")
            return None
        kind = "/".join("{}" if part.isdigit() else part for part in path.split("?", maxsplit=1)[0].split("/"))
        self.seen.statuses[f"{answer.status_code} {method} {kind}"] += 1
        return answer

    async def there(self, method: str, path: str, body: object = None, **headers: str) -> bool:
        """Send one request; false where the backend has no such route."""
        answer = await self.ask(method, path, body, **headers)
        return answer is None or answer.status_code != 404

    async def launch(self) -> bool:
        """Launch the poll that the others vote on and watch; false where there are no polls."""
        answer = await self.ask("POST", "/polls", TEA)
        if answer is not None and answer.status_code == 201:
            self.poll = int(answer.json()["id"])
        return answer is None or answer.status_code != 404

    def voters(self) -> Iterator[Step]:
        """Return what voters do: many look, some vote, one launches a poll, one is wrong about it."""

        async def vote() -> bool:
            return await self.there("POST", f"/polls/{self.poll}/votes", {"option": 1}) if self.poll else True

        async def look() -> bool:
            return await self.there("GET", f"/polls/{self.poll}") if self.poll else True

        async def err() -> bool:
            return await self.there("POST", "/polls", {"question": ""})

        async def listed() -> bool:
            return await self.there("GET", "/polls")

        return itertools.cycle([self.launch, look, look, vote, look, look, vote, look, listed, look, vote, look, err])

    def strangers(self) -> Iterator[Step]:
        """Return what others do: paths that nobody serves, an error, a slow answer, the version."""

        def asking(path: str) -> Step:
            async def ask() -> bool:
                await self.ask("GET", path)
                return True

            return ask

        paths = ("/version", "/wp-login.php", "/boom", "/slow?seconds=0.3", "/version", "/polls/999999999")
        return itertools.cycle([asking(path) for path in paths])

    def workers(self) -> Iterator[Step]:
        """Return the jobs that are added: to each queue in turn quick ones, slow ones, failing and delayed ones.

        One of 13 fails: fewer than JobFailureRateHigh is for.
        """
        bodies = ({"count": 10, "seconds": 0.02}, {"seconds": 0.6}, {"fail": True}, {"seconds": 0.1, "delay": 20})

        def adding(queue: str, body: object) -> Step:
            return lambda: self.there("POST", f"/queues/{queue}/jobs", body)

        return itertools.cycle([adding(queue, body) for body in bodies for queue in KPIS])

    def payers(self) -> Iterator[Step]:
        """Return the callbacks of the payment provider: one unsigned, one about no order, from then on good ones.

        Two failures are fewer than PaymentCallbackFailures is for.
        """

        def callback(order: int, signature: str) -> Step:
            return lambda: self.there("POST", "/payments/callback", {"order": order}, X_Signature=signature)

        good = [callback(order, SIGNED) for order in range(1, 9)]
        return itertools.chain([good[0], callback(9, "guessed"), callback(0, SIGNED)], itertools.cycle(good))

    async def _watch(self) -> None:
        """Hold a WebSocket open on the poll; a new one when it was closed."""
        parts = urlsplit(self.backend.url)
        scheme, context = ("wss", _context(self.backend)) if parts.scheme == "https" else ("ws", None)
        headers = {"Host": self.backend.host} if self.backend.host else {}
        for _ in itertools.count():
            await asyncio.sleep(1)
            if self.poll is None:
                continue
            url = f"{scheme}://{parts.netloc}/polls/{self.poll}/live"
            try:
                async with connect(url, ssl=context, additional_headers=headers, proxy=None) as socket:
                    self.seen.statuses["101 WebSocket"] += 1
                    async for _message in socket:
                        pass
            except (OSError, WebSocketException) as error:
                self.seen.failures.append(f"WebSocket: {type(error).__name__}")

    async def _read_pages(self, frontend: Target) -> None:
        async with frontend.client() as client:
            for path in itertools.cycle(("/", "/", "/health", "/nothing-here")):
                try:
                    answer = await client.get(path)
                    self.seen.statuses[f"{answer.status_code} page {path}"] += 1
                except httpx.HTTPError as error:
                    self.seen.failures.append(f"page {path}: {type(error).__name__}")
                await asyncio.sleep(1 / self.rate)


def _context(target: Target) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if target.insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def main(argv: Sequence[str]) -> int:
    """Drive a backend and tell what came back. Returns 0, 1 when nothing answered, 2 when called wrongly."""
    parser = argparse.ArgumentParser(prog="python -m demo drive", description="Send traffic to the demo workload.")
    parser.add_argument("--backend", required=True, metavar="URL")
    parser.add_argument("--frontend", metavar="URL")
    parser.add_argument("--host", help="Host header, where URL is a proxy's")
    parser.add_argument("--insecure", action="store_true", help="take any certificate")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--rate", type=float, default=8.0, help="requests a second of the busiest kind of user")
    parser.add_argument("--sockets", type=int, default=3, help="WebSocket connections")
    given = parser.parse_args(argv)
    if not 0 < given.seconds <= LONGEST_SECONDS or not 0 < given.rate <= 100 or not 0 <= given.sockets <= 1000:
        parser.error(f"expected up to {LONGEST_SECONDS:g} seconds, a rate of up to 100, up to 1000 sockets")
    backend = Target(given.backend, given.host, given.insecure)
    frontend = Target(given.frontend, None, given.insecure) if given.frontend else None
    seen = asyncio.run(Driver(backend, frontend, given.seconds, given.rate, given.sockets).run())
    sys.stdout.write(f"{seen}\n")
    return 0 if seen.statuses else 1
