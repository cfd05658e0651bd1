"""Log lines in Grafana's format: `logger=... t=... level=... msg="..." key=value`."""

from __future__ import annotations

import json
import logging
import re
import sys
from datetime import UTC, datetime

LEVELS = {"WARNING": "warn", "CRITICAL": "error"}
PLAIN = re.compile(r"[\w./:@%+-]+")


class Logfmt(logging.Formatter):
    """Formats a record as one line; the dict in `extra={"fields": {...}}` becomes key=value pairs."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        moment = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        pairs: dict[str, object] = {
            "logger": record.name,
            "t": moment,
            "level": LEVELS.get(record.levelname, record.levelname.lower()),
            "msg": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            pairs["error"] = self.formatException(record.exc_info)
        return " ".join(f"{key}={_quoted(str(value))}" for key, value in pairs.items())


def _quoted(text: str) -> str:
    return text if PLAIN.fullmatch(text) else json.dumps(text, ensure_ascii=False)


def set_up_logging() -> None:
    """Send every log line, uvicorn's too, to standard output."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(Logfmt())
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    # httpx logs every request to a data source, which would hide the other lines.
    logging.getLogger("httpx").setLevel(logging.WARNING)
