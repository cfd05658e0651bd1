"""The labels by which the containers, networks and volumes of a stack are recognized."""

from __future__ import annotations

PRODUCT = "dockyard.product"
ENVIRONMENT = "dockyard.environment"
STACK = "dockyard.stack"

SERVICE = "dockyard.service"
"""Of a container: its role in the stack."""

SPEC = "dockyard.spec"
"""Of a container: the hash of its spec, see `spec_hash` in runtime/docker.py."""

CONFIG_HASH = "dockyard.content"
"""Of a container that reads its files only when it starts: their hash."""

VOLUME_KIND = "dockyard.volume"
DATA, CONFIG = "data", "config"
"""Kinds of volumes: content that cannot be recreated, and files that the program renders."""


def stack_labels(product: str, environment: str, stack: str) -> dict[str, str]:
    """Return the labels that every container, network and volume of a stack carries."""
    return {PRODUCT: product, ENVIRONMENT: environment, STACK: stack}


def stack_filter(stack: str) -> str:
    """Return the value of Docker's filter `label` for everything of a stack."""
    return f"{STACK}={stack}"
