"""The sink: one server that is every channel, keeps what it takes, and fails on demand, receiver by receiver."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.sink.channels import CHANNELS, JSON, Answer, Refusal, Request, texts
from tests.sink.mail import Mail, MailServer
from tests.support.ports import serving
from tests.support.waiting import wait_until

PATHS = {
    "discord": "/api/webhooks/1234567890/token",
    "slack": "/services/T00000000/B00000000/XXXX",
    "pagerduty": "/v2/enqueue",
}
"""Where a channel's address goes on below its host; the others' is the host alone."""

HANGING_SECONDS = 120.0


@dataclass(frozen=True)
class Message:
    receiver: str
    kind: str
    at: float  # of time.monotonic
    body: Any  # JSON, or a mail
    request: Request | None = None

    @property
    def text(self) -> str:
        return self.body.text if isinstance(self.body, Mail) else "\n".join(texts(self.body))


@dataclass(frozen=True)
class Attempt:
    """A try to tell a receiver something, and the answer; 0 stands for none."""

    receiver: str
    at: float
    status: int
    answer: str = ""


@dataclass
class Fault:
    status: int = 500  # 0: it takes the request and never answers
    retry_after: int | None = None  # seconds
    times: float = float("inf")  # so often, then it is well again


@dataclass
class Sink:
    host: str
    port: int = 0
    messages: list[Message] = field(default_factory=list)
    attempts: list[Attempt] = field(default_factory=list)
    faults: dict[str, Fault] = field(default_factory=dict)
    tokens: dict[str, str] = field(default_factory=dict)  # receiver → the bearer token that it asks for
    mail: MailServer | None = None
    closing: threading.Event = field(default_factory=threading.Event)

    def address(self, receiver: str, kind: str) -> str:
        return f"http://{self.host}:{self.port}/{receiver}/{kind}{PATHS.get(kind, '')}"

    def told(self, receiver: str, since: float = 0.0) -> list[Message]:
        return [one for one in list(self.messages) if one.receiver == receiver and one.at >= since]

    def refused(self) -> list[Attempt]:
        """Return what channels would not take, though they were well."""
        return [one for one in list(self.attempts) if one.status >= 400 and one.receiver not in self.faults]

    def wait(
        self, receiver: str, seconds: float = 60, *, count: int = 1, has: Callable[[Message], bool] = lambda _: True
    ) -> list[Message]:
        """Return what a receiver was told as soon as so many messages are there. Raises AssertionError after that."""

        def enough() -> list[Message]:
            messages = [message for message in self.told(receiver) if has(message)]
            return messages if len(messages) >= count else []

        def details() -> str:
            texts_of = [message.text[:300] for message in self.told(receiver)]
            return f"it was told {texts_of}; attempts: {self.attempts[-20:]}"

        return wait_until(enough, f"{receiver} has {count} messages", seconds, details=details)

    def take(self, receiver: str, kind: str, request: Request) -> Answer | None:
        """Answer one request; None is no answer at all."""
        at = time.monotonic()
        fault = self.faults.get(receiver)
        if fault and fault.times > 0:
            fault.times -= 1
            self.attempts.append(Attempt(receiver, at, fault.status))
            if fault.status == 0:
                self.closing.wait(HANGING_SECONDS)
                return None
            after = {"Retry-After": str(fault.retry_after)} if fault.retry_after is not None else {}
            return Answer(fault.status, json.dumps({"message": "out of order"}), {**JSON, **after})
        try:
            if (token := self.tokens.get(receiver)) and request.headers.get("authorization") != f"Bearer {token}":
                raise Refusal(401, "unauthorized")
            answer = CHANNELS[kind](request)
        except Refusal as refusal:
            answer = refusal.answer
        else:
            self.messages.append(Message(receiver, kind, at, request.body, request))
        self.attempts.append(Attempt(receiver, at, answer.status, answer.body))
        return answer


def _handler(sink: Sink) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            raw = self.rfile.read(int(self.headers["Content-Length"]))
            _, receiver, kind, *rest = self.path.split("/", 3)
            headers = {name.lower(): value for name, value in self.headers.items()}
            try:
                body = json.loads(raw)
            except ValueError:
                answer: Answer | None = Answer(400, "no JSON")
                sink.attempts.append(Attempt(receiver, time.monotonic(), 400, f"no JSON: {raw[:200]!r}"))
            else:
                request = Request("/" + "".join(rest) if rest else "", headers, len(raw), body)
                answer = sink.take(receiver, kind, request)
            if answer is None:
                self.close_connection = True
                return
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            if answer.status != 204:
                self.send_header("Content-Length", str(len(answer.body.encode())))
            self.end_headers()
            if answer.status != 204:
                self.wfile.write(answer.body.encode())

        def log_message(self, *_: object) -> None:
            """Keep quiet: what came in is in `attempts`."""

    return Handler


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128


@contextmanager
def running_sink(host: str = "127.0.0.1", *, mail: MailServer | None = None) -> Iterator[Sink]:
    """Run a sink on a free port of an address of this machine. A mail server that is given delivers into it."""
    sink = Sink(host)
    server = _Server((host, 0), _handler(sink))
    sink.port = server.server_address[1]
    if mail:
        sink.mail = mail
        mail.start(host, lambda mail: sink.messages.append(Message(mail.receiver, "email", time.monotonic(), mail)))
    with serving(server):
        try:
            yield sink
        finally:
            sink.closing.set()
            if mail:
                mail.stop()
