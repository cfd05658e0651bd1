"""Facts about the machine that a checkout runs on, written by the set-up and read by the program.

The file is optional: the defaults fit a laptop with an open network and free ports.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, TypeVar

import yaml
from pydantic import Field

from settings.base import Model
from settings.environment import SettingsFiles
from settings.logs import LogStore
from settings.problems import Problem, format_value
from settings.product import Product

T = TypeVar("T")


class Machine(Model):
    """Settings that differ between machines and are therefore in no stack file."""

    port_offsets: dict[str, Annotated[int, Field(ge=0, le=20000)]] = {}
    """Stack → offset added to every port that it publishes on the host, so that stacks on one machine do not clash."""

    docker_root: str = "/var/lib/docker"
    """Docker's data folder, from which the containers' logs are read."""

    images: dict[str, str] = {}
    """Image name (a key of components/images.yaml) → the reference that this machine runs, where it is not the official
    one: from a mirror, from the local registry, or built here."""

    log_store: LogStore | None = None
    """The log store that every stack on this machine runs; None for the configured one."""


def read_machine(path: Path) -> Machine:
    """Read the machine file; a missing file means all defaults.

    Raises pydantic.ValidationError when the file is not a valid machine file.
    """
    if not path.exists():
        return Machine()
    return Machine.model_validate(yaml.safe_load(path.read_text()) or {})


def write_machine(path: Path, machine: Machine) -> None:
    """Write the machine file atomically: a reader sees the old content or the new one, never half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(".new")
    draft.write_text(yaml.safe_dump(machine.model_dump(exclude_defaults=True), sort_keys=True))
    draft.replace(path)


def on_log_store(product: Product, store: LogStore) -> Product:
    """Return the product with another log store, which takes over the configured one's ports, networks and routes."""
    requested = product.monitoring.logs.store
    monitoring = product.monitoring.model_copy(update={"logs": product.monitoring.logs.on(store)})
    networks = {
        network: [store if member == requested else member for member in members]
        for network, members in product.networks.items()
    }
    edge = product.edge.model_copy(update={"tools": _renamed(product.edge.tools, requested, store)})
    publish = _renamed(product.publish, requested, store)
    return product.model_copy(update={"monitoring": monitoring, "networks": networks, "edge": edge, "publish": publish})


def other_log_store(files: SettingsFiles, configured: LogStore, store: LogStore) -> Problem:
    """Return the warning that the configured log store is replaced."""
    expected = f"a log store that is available on this machine: {store} runs instead (docs/logs.md)"
    return files.problem(["monitoring", "logs", "store"], format_value(configured), expected)


def _renamed(named: Mapping[str, T], old: str, new: str) -> dict[str, T]:
    return {new if name == old else name: value for name, value in named.items()}
