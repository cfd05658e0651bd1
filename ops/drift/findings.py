"""What a comparison can find, and how it is spelled."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

UNSET = "not set"
LONGEST = 80
"""Characters of a value that are shown."""

SECRETIVE = re.compile(r"(?i)passw|passphrase|pwd|secret|token|key|credential|dsn|auth|cookie|webhook|salt")
"""Names of variables whose value is nobody's business, whoever set it."""

IN_ADDRESS = re.compile(r"(://[^\s:/@]*:)[^\s/]+@")
"""A password in an address."""


class Secret(str):
    """A text that the state keeps encrypted: compared, and never shown."""

    __slots__ = ()


class Repair(Enum):
    """What puts a finding right; each value says it in words."""

    UPDATE = "a targeted up"
    REPLACE = "replaced by a targeted up"
    UNPAUSE = "unpause"
    RECONNECT = "networks joined and left as declared"
    RENAME = "renamed"
    REWRITE = "files written anew"
    RECREATE = "removed and made again"
    MANUAL = "nothing that --fix does"


@dataclass(frozen=True)
class Finding:
    """One thing that is not as declared."""

    resource: str
    """Its kind and its name in the program: `container shop-app-web`; of what nobody declared, Docker's name."""

    field: str
    declared: str
    actual: str
    repair: Repair
    urn: str = ""
    """Empty where the state knows no such resource."""

    advice: str = ""
    """What a person does about it, where --fix does nothing."""

    real: str = ""
    """Id of the container that it was found on."""

    also: tuple[str, ...] = ()
    """URNs of resources that have to be replaced with it: what may have taken a wrong file in."""

    @property
    def remedy(self) -> str:
        """Return what repairs it, in words."""
        return self.advice or f"--fix: {self.repair.value}"


def label(urn: str) -> str:
    """Return the kind and the name of a resource: `container shop-app-web`."""
    *_, chain, name = urn.split("::")
    return f"{chain.rsplit('$', 1)[-1].rsplit(':', 1)[-1].lower()} {name}"


def format_value(value: Any, name: str = "") -> str:
    """Return a value for the eye, on one line and not too long; secrets are hidden, also those of a secretive name."""
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
