"""Waivers for items of the CIS benchmark that are deliberately not met: policy/cis-waivers.yaml."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from fnmatch import fnmatch
from pathlib import Path
from typing import Annotated

import yaml
from pydantic import Field, StringConstraints, TypeAdapter, ValidationError

from settings.alerts import Environment
from settings.base import Model
from settings.problems import LOADER, Problem, SettingsError, SettingsFile, format_value, from_validation

FILE = Path("policy") / "cis-waivers.yaml"
MAX_WAIVERS = 6
"""The maximum number of waivers: with more of them, the stack no longer follows the benchmark."""


class Waiver(Model):
    """One item that some services need not meet, and why."""

    id: Annotated[str, StringConstraints(pattern=r"^\d+\.\d+$")]
    """The benchmark's own number: `5.29`."""

    services: Annotated[tuple[str, ...], Field(min_length=1)]
    """Roles, as patterns; `engine` for what is the engine's own."""

    reason: Annotated[str, StringConstraints(min_length=40)]
    """Why, and what is done instead."""

    environments: tuple[Environment, ...] = ("development", "staging", "production")


def load_waivers(checkout: Path, item_ids: Collection[str]) -> tuple[Waiver, ...]:
    """Read the waivers; `item_ids` are the items that doctor checks. Raises SettingsError with every problem."""
    text = (checkout / FILE).read_text()
    file = SettingsFile(str(FILE), text)
    try:
        waivers = TypeAdapter(tuple[Waiver, ...]).validate_python(
            tuple(yaml.load(text, Loader=LOADER) or ())  # noqa: S506 - a safe one
        )
    except ValidationError as error:
        raise SettingsError(from_validation(error, Waiver, lambda *_: file)) from error
    problems = [
        file.problem([position, "id"], format_value(waiver.id), "an item that doctor checks")
        for position, waiver in enumerate(waivers)
        if waiver.id not in item_ids
    ]
    if len(waivers) > MAX_WAIVERS:
        problems.append(Problem(str(FILE), "(file)", f"{len(waivers)} waivers", f"at most {MAX_WAIVERS}"))
    if problems:
        raise SettingsError(problems)
    return waivers


def waiver_for(waivers: Sequence[Waiver], item: str, service: str, environment: str) -> Waiver | None:
    """Return the waiver of an item for a service, or None."""
    for waiver in _waivers_of(waivers, item, environment):
        if any(fnmatch(service, pattern) for pattern in waiver.services):
            return waiver
    return None


def unneeded_services(
    waivers: Sequence[Waiver], item: str, running: Collection[str], offending: Collection[str], environment: str
) -> list[str]:
    """Return the service patterns of an item's waivers that match running services, all of which pass the item."""
    return [
        pattern
        for waiver in _waivers_of(waivers, item, environment)
        for pattern in waiver.services
        if (matching := {service for service in running if fnmatch(service, pattern)}) and not matching & {*offending}
    ]


def _waivers_of(waivers: Sequence[Waiver], item: str, environment: str) -> list[Waiver]:
    return [waiver for waiver in waivers if waiver.id == item and environment in waiver.environments]
