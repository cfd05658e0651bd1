"""Follows Pulumi's event log and prints one line for each change of a resource."""

from __future__ import annotations

import json
import re
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from machine.progress import Progress, format_seconds
from ops.cloudflare_errors import explain_error

VERBS = {
    "create": "created",
    "create-replacement": "created",
    "update": "updated",
    "delete": "removed",
    "delete-replaced": "removed the old",
    "import": "imported",
    "discard-replaced": "dropped the old",
}
"""Operation → the verb of its line. `same`, `read` and `refresh` change nothing; `replace` only announces the pair
`create-replacement` and `delete-replaced`."""

ENDINGS = ("update failed", "destroy failed", "refresh failed", "preview failed")
"""Pulumi's generic last message of a failed run, whatever the reason."""

COLOUR = re.compile(r"<\{%[^%]*%\}>")
"""Pulumi's colour markup."""


@dataclass
class RunOutcome:
    """The outcome of one run of Pulumi."""

    changes: Counter[str] = field(default_factory=Counter)
    operations: Counter[str] = field(default_factory=Counter)
    """Changes by Pulumi's operation: a replacement is a `create-replacement` and a `delete-replaced`."""

    errors: list[str] = field(default_factory=list)
    interrupted: bool = False
    """Whether the run was stopped by a signal."""

    def summary(self) -> str:
        """Return the changes as text: `0 changes`, `1 change: 1 removed` or `13 changes: 12 created, 1 removed`."""
        total = sum(self.changes.values())
        if not total:
            return "0 changes"
        verbs = dict.fromkeys(VERBS.values())
        parts = ", ".join(f"{self.changes[verb]} {verb}" for verb in verbs if self.changes[verb])
        return f"{total} changes: {parts}" if total > 1 else f"1 change: {parts}"


class EventFollower:
    """Reads the growing event log in a thread; a context manager around Pulumi's run."""

    def __init__(self, log: Path, progress: Progress) -> None:
        self.outcome = RunOutcome()
        self._log, self._progress = log, progress
        self._began: dict[str, float] = {}
        self._finished = threading.Event()
        self._thread = threading.Thread(target=self._follow, daemon=True)

    def __enter__(self) -> EventFollower:
        self._log.unlink(missing_ok=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._finished.set()
        self._thread.join()
        self._log.unlink(missing_ok=True)

    def _follow(self) -> None:
        rest = ""
        position = 0
        while True:
            ended = self._finished.is_set()
            if self._log.exists():
                with self._log.open() as log:
                    log.seek(position)
                    rest += log.read()
                    position = log.tell()
                *lines, rest = rest.split("\n")
                for line in lines:
                    self._handle(json.loads(line))
            if ended:
                return
            time.sleep(0.1)

    def _handle(self, event: dict[str, Any]) -> None:
        if before := event.get("resourcePreEvent"):
            self._began[before["metadata"]["urn"]] = time.monotonic()
        elif after := event.get("resOutputsEvent"):
            self._handle_change(after["metadata"])
        elif failed := event.get("resOpFailedEvent"):
            metadata = failed["metadata"]
            self._progress.line(f"  ✗ {_label(metadata['urn'])}: {metadata['op']} failed", "bold red")
        elif diagnostic := event.get("diagnosticEvent"):
            self._handle_diagnostic(diagnostic)

    def _handle_change(self, metadata: dict[str, Any]) -> None:
        verb = VERBS.get(metadata["op"])
        if verb is None or metadata["type"].startswith("pulumi:"):
            return
        self.outcome.changes[verb.split()[0]] += 1
        self.outcome.operations[metadata["op"]] += 1
        if metadata["type"].startswith("dockyard:"):
            return
        took = time.monotonic() - self._began.get(metadata["urn"], time.monotonic())
        sign = "-" if verb.startswith("removed") else "+" if verb == "created" else "~"
        self._progress.line(f"  {sign} {_label(metadata['urn'])}: {verb} ({format_seconds(took)})")

    def _handle_diagnostic(self, diagnostic: dict[str, Any]) -> None:
        text = COLOUR.sub("", diagnostic.get("message", "")).strip()
        if diagnostic.get("severity") == "error" and text and text not in ENDINGS:
            text = explain_error(text, _origin(diagnostic.get("urn", "")))
            # Pulumi reports an error twice: for the resource, and for the program that awaits it.
            if not any(f": {error}".endswith(f": {text}") for error in self.outcome.errors):
                self.outcome.errors.append(text)
        elif diagnostic.get("severity") == "warning" and text:
            self._progress.line(f"  ! {text}", "yellow")


def _origin(urn: str) -> str:
    """Return the label of the resource of an error, "" for an error of the program."""
    return "" if not urn or urn.split("::")[-2] == "pulumi:pulumi:Stack" else _label(urn)


def _label(urn: str) -> str:
    """Return `container tumulte-app-postgres` for a URN."""
    *_, chain, name = urn.split("::")
    kind = chain.rsplit("$", 1)[-1].rsplit(":", 1)[-1]
    kind = {"Resource": "secret", "RemoteImage": "image"}.get(kind, kind.removeprefix("ZeroTrust"))
    words = "".join(f" {letter.lower()}" if letter.isupper() else letter for letter in kind).strip()
    return f"{words} {name}"
