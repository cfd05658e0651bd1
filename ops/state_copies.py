"""Copies of a stack's state in a file: made, checked and taken in again."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from datetime import UTC, datetime
from pathlib import Path

from ops.engine import Engine
from toolchain.progress import SetupError

CHECKSUM = ".sha256"


def backup(engine: Engine, file: Path | None) -> Path:
    """Write what the state says into a file, secrets as encrypted as they are there, and return the file.

    It is what `pulumi stack export` gives, with mode 0600, and beside it its checksum as `sha256sum -c` reads it.
    Default: `.dockyard/backups/STACK-<time, UTC>.json`. Raises SetupError where the file is there already.
    """
    if file is None:
        file = engine.work.root / "backups" / f"{engine.stack}-{datetime.now(UTC):%Y%m%dT%H%M%SZ}.json"
    if file.exists():
        raise SetupError(f"{file} is there already", "name another file")
    file.parent.mkdir(parents=True, exist_ok=True)
    content = json.dumps(engine.read("stack export"), indent=1).encode()
    # The checksum first: a copy that is there can always be checked.
    _write(file.with_name(file.name + CHECKSUM), f"{hashlib.sha256(content).hexdigest()}  {file.name}\n".encode())
    _write(file, content)
    read(file, engine.stack)
    return file


def read(file: Path, stack: str) -> bytes:
    """Return a copy's content. Raises SetupError where it is damaged, unchecked, or of another stack."""
    checksum = file.with_name(file.name + CHECKSUM)
    try:
        content, recorded = file.read_bytes(), checksum.read_text().split()
    except OSError as error:
        raise SetupError(
            f"{error.filename} cannot be read: {error.strerror}", "a copy and its .sha256 go together"
        ) from (error)
    digest = hashlib.sha256(content).hexdigest()
    if [digest] != recorded[:1]:
        raise SetupError(f"{file} is damaged: its checksum is {digest[:12]}…, {checksum.name} says otherwise")
    urns = [resource["urn"] for resource in (json.loads(content).get("deployment") or {}).get("resources") or ()]
    if other_stacks := {urn.split(":")[2] for urn in urns} - {stack}:
        raise SetupError(f"{file} is a copy of the stack {', '.join(sorted(other_stacks))}, not of {stack}")
    return content


def restore(engine: Engine, file: Path) -> Path:
    """Make a copy the stack's state; return a copy of what it was before. Raises SetupError, and nothing is changed."""
    content = read(file, engine.stack)
    before = backup(engine, None)
    engine.import_state(content.decode())
    return before


def _write(file: Path, content: bytes) -> None:
    """Write a file (mode 0600), whole or not at all."""
    handle, draft = tempfile.mkstemp(prefix=f".{file.name}-", dir=file.parent)
    with os.fdopen(handle, "wb") as opened:
        opened.write(content)
        opened.flush()
        os.fsync(opened.fileno())
    Path(draft).replace(file)
