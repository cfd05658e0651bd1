"""Running an ASGI application: log lines as JSON, and an orderly end on SIGTERM."""

from __future__ import annotations

import json
import logging
import signal
import sys
from datetime import UTC, datetime
from types import FrameType

import uvicorn
from starlette.types import ASGIApp

KEEP_ALIVE_SECONDS = 95
"""Longer than the 90 s after which Traefik drops an idle connection: it is never we who close one in use."""


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


def serve(app: ASGIApp, port: int, grace: int) -> int:
    """Serve until SIGTERM or SIGINT, then stop accepting, let requests in flight end, return 0.

    `grace` is the longest that they may take, in seconds. Raises SystemExit when the port cannot be bound.
    """
    # uvicorn raises the signal that ended it once more, for whoever held it before: here, nobody.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _number, _frame: None)
    uvicorn.run(
        app,
        host="0.0.0.0",  # noqa: S104 - inside a container; who reaches it is the network's matter
        port=port,
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=grace,
    )
    return 0
