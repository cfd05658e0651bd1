"""Findings of a comparison, and how values are formatted."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from runtime.pulumi_state import Secret

UNSET = "not set"
LONGEST = 80
"""Maximum length of a printed value, in characters."""

DATA_LOST = "restore it from a backup, the only copy of its data; `up` creates an empty one"
"""Advice for a data volume that is gone."""

SECRETIVE = re.compile(r"(?i)passw|passphrase|pwd|secret|token|key|credential|dsn|auth|cookie|webhook|salt")
"""Names of variables whose values are never printed, whether declared or set by hand."""

IN_ADDRESS = re.compile(r"(://[^\s:/@]*:)[^\s/]+@")
"""A password in an address."""


class Repair(Enum):
    """How `--fix` repairs a finding; each value is the printed description."""

    UPDATE = "a targeted up"
    REPLACE = "replaced by a targeted up"
    UNPAUSE = "unpause"
    RECONNECT = "networks reconnected as declared"
    RENAME = "renamed"
    REWRITE = "files rewritten"
    RECREATE = "removed and recreated"
    MANUAL = "no automatic repair"


@dataclass(frozen=True)
class Finding:
    """One difference from the declaration."""

    resource: str
    """Kind and name in the program (`container shop-app-web`); an undeclared resource has its Docker name."""

    field: str
    declared: str
    actual: str
    repair: Repair
    urn: str = ""
    """Empty where the state has no such resource."""

    advice: str = ""
    """What the user can do about it, where `--fix` does nothing."""

    container_id: str = ""
    """Id of the container that differs."""

    also_replace: tuple[str, ...] = ()
    """URNs of containers that must be replaced too: they may have loaded a wrong file."""

    @property
    def remedy(self) -> str:
        """The repair in words: the advice, or what `--fix` does."""
        return self.advice or f"--fix: {self.repair.value}"


def format_value(value: Any, name: str = "") -> str:
    """Format a value on one short line; hide secrets, and values whose `name` suggests a secret."""
    if value is None or value == "":
        return UNSET
    if isinstance(value, Secret) or (name and SECRETIVE.search(name)):
        return "(secret)"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        return _cut(", ".join(f"{key}={format_value(inner, str(key))}" for key, inner in value.items())) or UNSET
    if isinstance(value, list | tuple | frozenset | set):
        items = sorted(value, key=str) if isinstance(value, frozenset | set) else value
        return _cut(" ".join(format_value(item) for item in items)) or "none"
    return _cut(" ".join(IN_ADDRESS.sub(r"\1***@", str(value)).split()))


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"
