"""Running an ASGI application: log lines as JSON, and an orderly end on SIGTERM."""

from __future__ import annotations

import asyncio
import json
import logging
import signal
import socket
import sys
from datetime import UTC, datetime
from types import FrameType

import uvicorn
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from demo.switches import ServerSettings

KEEP_ALIVE_SECONDS = 95
"""Longer than the 90 s after which Traefik drops an idle connection: it is never we who close one in use."""

LINGER_SECONDS = 1.0
"""How long an idle connection stays open after SIGTERM: a request that was on its way by then has come in."""


class JsonFormatter(logging.Formatter):
    """One JSON object a line; what a caller passes as `extra={"fields": {...}}` becomes keys of its own."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as one line."""
        entry: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        entry.update(getattr(record, "fields", {}))
        if record.exc_info:
            entry["exception"] = self.formatException(record.exc_info)
        return json.dumps(entry, ensure_ascii=False)


def log_as_json() -> None:
    """Send every logger's lines to standard output as JSON; libraries only from INFO on."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(JsonFormatter())
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    # httpx tells about every request that worked; ours are counted as metrics.
    logging.getLogger("httpx").setLevel(logging.WARNING)


def leave_on_sigterm() -> None:
    """Make SIGTERM end the process while it starts up.

    The first process of a container has no default handlers: without one of its own it would not hear the
    signal and be killed at the end of the grace period.
    """

    def leave(number: int, _frame: FrameType | None) -> None:
        sys.exit(128 + number)

    signal.signal(signal.SIGTERM, leave)


class _Server(uvicorn.Server):
    """uvicorn, but on SIGTERM it closes idle connections late and not at once.

    A proxy may just be sending a request over one of them: closed under its hands, that request would fail, and a
    POST is not tried again.
    """

    leaving = False

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Accept nothing new, go on answering on open connections for a while, then do what uvicorn does."""
        self.leaving = True
        for server in self.servers:
            server.close()
        loop = asyncio.get_running_loop()
        end = loop.time() + LINGER_SECONDS
        while self.server_state.connections and not self.force_exit and loop.time() < end:
            await asyncio.sleep(0.05)
        await super().shutdown(sockets)


def serve(app: ASGIApp, settings: ServerSettings) -> int:
    """Serve until SIGTERM or SIGINT, then stop accepting, let requests in flight end, return 0.

    What is answered while leaving says `Connection: close`, so that no client counts on the connection any more.
    Raises SystemExit when the port cannot be bound.
    """

    async def leaving(scope: Scope, receive: Receive, send: Send) -> None:
        async def last_answer(message: Message) -> None:
            if message["type"] == "http.response.start" and server.leaving:
                message = {**message, "headers": [*message.get("headers", []), (b"connection", b"close")]}
            await send(message)

        await app(scope, receive, last_answer if scope["type"] == "http" else send)

    # uvicorn raises the signal that ended it once more, for whoever held it before: here, nobody.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _number, _frame: None)
    server = _Server(
        uvicorn.Config(
            leaving,
            host="0.0.0.0",  # noqa: S104 - inside a container; who reaches it is the network's matter
            port=settings.port,
            log_config=None,
            access_log=False,
            server_header=False,
            headers=[("X-Release", settings.release)],
            timeout_keep_alive=KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=settings.grace,
        )
    )
    server.run()
    return 0
