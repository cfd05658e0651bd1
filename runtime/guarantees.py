"""What a runtime can promise of the containers that it runs; hardening and policy check the rest of it elsewhere."""

from __future__ import annotations

from enum import Enum


class Guarantee(Enum):
    """A protection that a spec asks for and that a runtime may be unable to apply; the value describes its absence."""

    NO_NEW_PRIVILEGES = "may gain new privileges"
    SWAP_LIMIT = "swap is not limited"
    LOOPBACK_PORTS = "ports cannot be bound to the loopback address"


DOCKER = frozenset(Guarantee)
"""Guarantees of containers on a Docker host."""
