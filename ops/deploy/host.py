"""Checks that the host provides what the settings require."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import docker
from pydantic import BaseModel

from settings.container import Limits
from settings.loader import Settings
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
            expected = f"at most {cores}, the cores of this Docker host"
            yield settings.files.problem([*path, "cpus"], f"{limits.cpus:g}", expected)


def _unknown_networks(settings: Settings, network_names: set[str]) -> Iterator[Problem]:
    for network in sorted(settings.product.networks.keys() - network_names):
        yield settings.files.problem(
            ["networks", network],
            f"no network {network} on this Docker host",
            "an external network",
            f"Create it: docker network create {network}",
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
