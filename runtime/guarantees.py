"""The protections that a runtime guarantees; hardening and policy report those that it does not."""

from __future__ import annotations

from enum import Enum


class Guarantee(Enum):
    """A protection that a spec asks for and that a runtime may be unable to apply; the value describes its absence."""

    NO_NEW_PRIVILEGES = "may gain new privileges"
    SWAP_LIMIT = "swap is not limited"
    LOOPBACK_PORTS = "ports cannot be bound to the loopback address"


DOCKER = frozenset(Guarantee)
"""Guarantees of containers on a Docker host."""
