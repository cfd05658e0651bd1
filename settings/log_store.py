"""A product on the log store that this machine can run, where that is not the configured one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

from settings.environment import SettingsFiles
from settings.logs import LogStore
from settings.problems import Problem, format_value
from settings.product import Product

T = TypeVar("T")


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
    expected = f"a log store that can be had on this machine: {store} runs in its place (docs/logs.md)"
    return files.problem(["monitoring", "logs", "store"], format_value(configured), expected)


def _renamed(named: Mapping[str, T], old: str, new: str) -> dict[str, T]:
    return {new if name == old else name: value for name, value in named.items()}
