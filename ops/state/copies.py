"""Copies of a stack's state in files: written, checked and restored."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime
from pathlib import Path

from machine.files import write_file
from machine.progress import SetupError
from ops.pulumi_cli import PulumiCli

CHECKSUM = ".sha256"


def backup(pulumi_cli: PulumiCli, file: Path | None) -> Path:
    """Write the state to a file, with its secrets encrypted as they are, and return the file.

    The content is that of `pulumi stack export`, the mode is 0600, and a checksum file for `sha256sum -c` is written
    beside it. Default: `.dockyard/backups/STACK-<time, UTC>.json`. Raises SetupError if the file exists already.
    """
    if file is None:
        file = pulumi_cli.work.root / "backups" / f"{pulumi_cli.stack}-{datetime.now(UTC):%Y%m%dT%H%M%SZ}.json"
    if file.exists():
        raise SetupError(f"{file} already exists", "choose another file")
    content = json.dumps(pulumi_cli.read("stack export"), indent=1).encode()
    # Write the checksum first, so that every existing copy can be checked.
    checksum = f"{hashlib.sha256(content).hexdigest()}  {file.name}\n"
    write_file(file.with_name(file.name + CHECKSUM), checksum, 0o600)
    write_file(file, content, 0o600)
    read(file, pulumi_cli.stack)
    return file


def read(file: Path, stack: str) -> bytes:
    """Return a copy's content. Raises SetupError if it is damaged, has no checksum, or is of another stack."""
    checksum = file.with_name(file.name + CHECKSUM)
    try:
        content, recorded = file.read_bytes(), checksum.read_text().split()
    except OSError as error:
        message = f"{error.filename} cannot be read: {error.strerror}"
        raise SetupError(message, "a copy needs its .sha256 file beside it") from error
    digest = hashlib.sha256(content).hexdigest()
    if [digest] != recorded[:1]:
        raise SetupError(f"{file} is damaged: its checksum {digest[:12]}… is not that of {checksum.name}")
    urns = [resource["urn"] for resource in (json.loads(content).get("deployment") or {}).get("resources") or ()]
    if other_stacks := {urn.split(":")[2] for urn in urns} - {stack}:
        raise SetupError(f"{file} is a copy of the stack {', '.join(sorted(other_stacks))}, not of {stack}")
    return content


def restore(pulumi_cli: PulumiCli, file: Path) -> Path:
    """Restore the state from a copy; return a copy of the state before. Raises SetupError before any change."""
    content = read(file, pulumi_cli.stack)
    before = backup(pulumi_cli, None)
    pulumi_cli.import_state(content.decode())
    return before
