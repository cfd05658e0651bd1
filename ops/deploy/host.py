"""Checks that the host provides what the settings require."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import docker
from pydantic import BaseModel

from settings.container import Limits
from settings.loader import NAMESPACE, Settings
from settings.problems import Problem, SettingsError


def check_host(settings: Settings, client: docker.DockerClient) -> None:
    """Check that the host has the required cores and networks, so that Docker does not refuse them during a deployment.

    Raises SettingsError with every CPU limit above the host's cores, and every network that does not exist.
    """
    network_names = {str(network.name) for network in client.networks.list()}
    problems = [*_too_many_cores(settings, int(client.info()["NCPU"])), *_unknown_networks(settings, network_names)]
    if problems:
        raise SettingsError(problems)


def _too_many_cores(settings: Settings, cores: int) -> Iterator[Problem]:
    for path, limits in (*limits_in(settings.product), *limits_in(settings.stack.tunnel, ("tunnel",))):
        if limits.cpus > cores:
            file, where = _place(settings, path)
            yield Problem(file, f"{where}.cpus", f"{limits.cpus:g}", f"at most {cores}, the cores of this Docker host")


def _unknown_networks(settings: Settings, network_names: set[str]) -> Iterator[Problem]:
    for network in sorted(settings.product.networks.keys() - network_names):
        file, where = _place(settings, ("networks", network))
        yield Problem(
            file,
            where,
            f"no network {network} on this Docker host",
            "a network that somebody else made",
            f"Make it: docker network create {network}",
        )


def limits_in(value: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Limits]]:
    """Yield every `Limits` in a model with its path."""
    if isinstance(value, Limits):
        yield path, value
    elif isinstance(value, BaseModel):
        for name in type(value).model_fields:
            yield from limits_in(getattr(value, name), (*path, name))
    elif isinstance(value, Mapping):
        for name, inner in value.items():
            yield from limits_in(inner, (*path, str(name)))


def _place(settings: Settings, path: Sequence[str]) -> tuple[str, str]:
    """Return the file that sets a value, and the path in it. For a default that is the stack file."""
    head, *rest = path
    stack = (f"Pulumi.{settings.stack_name}.yaml", ".".join(["config", f"{NAMESPACE}{head}", *rest]))
    overridden = "services" if head == "jobs" else head
    if _is_set(settings.release.stack, [overridden, *rest]):
        return stack[0], ".".join(["config", f"{NAMESPACE}{overridden}", *rest])
    in_product = head in ("services", "jobs") or _is_set(settings.release.product, path)
    return (settings.stack.product, ".".join(path)) if in_product else stack


def _is_set(values: Any, path: Sequence[str]) -> bool:
    for part in path:
        if not isinstance(values, Mapping) or part not in values:
            return False
        values = values[part]
    return True
