"""Convert names between Pulumi (camelCase) and Cloudflare's API (snake_case), and compare nested values."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from offline.standins.provider import Kind
from offline.standins.values import UNKNOWN

WORD_START = re.compile(r"(?<!^)(?=[A-Z])")


def to_snake(value: Any) -> Any:
    """Return the value with every key of its objects in snake_case: `zoneId` → `zone_id`, `ipv4Only` → `ipv4_only`."""
    if isinstance(value, dict):
        return {WORD_START.sub("_", key).lower(): to_snake(item) for key, item in value.items()}
    if isinstance(value, list):
        return [to_snake(item) for item in value]
    return value


def to_camel(value: Any) -> Any:
    """Return the value with every key of its objects in camelCase: `created_on` → `createdOn`."""
    if isinstance(value, dict):
        return {re.sub(r"_(\w)", lambda m: m[1].upper(), key): to_camel(item) for key, item in value.items()}
    if isinstance(value, list):
        return [to_camel(item) for item in value]
    return value


def renamed(value: Any, names: Mapping[str, str]) -> Any:
    """Return the value with the keys of its objects replaced where `names` has them."""
    if isinstance(value, dict):
        return {names.get(key, key): renamed(item, names) for key, item in value.items()}
    if isinstance(value, list):
        return [renamed(item, names) for item in value]
    return value


def differences(old: Any, new: Any, path: str = "") -> dict[str, Kind]:
    """Return the changes between two values, by property path (`config.ingresses[0].service`).

    A new value that is not known yet counts as changed.
    """
    if isinstance(old, dict) and isinstance(new, dict):
        changes: dict[str, Kind] = {}
        for key in old.keys() | new.keys():
            below = f"{path}.{key}" if path else key
            changes |= _compared(old.get(key), new.get(key), below)
        return changes
    if isinstance(old, list) and isinstance(new, list):
        changes = {}
        for index in range(max(len(old), len(new))):
            before = old[index] if index < len(old) else None
            after = new[index] if index < len(new) else None
            changes |= _compared(before, after, f"{path}[{index}]")
        return changes
    return {path: Kind.UPDATE} if new == UNKNOWN or old != new else {}


def _compared(old: Any, new: Any, path: str) -> dict[str, Kind]:
    # A null input counts as omitted.
    if old is None and new is None:
        return {}
    if old is None:
        return {path: Kind.ADD}
    if new is None:
        return {path: Kind.DELETE}
    return differences(old, new, path)


def shaped_like(inputs: Any, real: Any, *, strict: bool = False) -> Any:
    """Return the real values of the fields that the inputs contain.

    The API fills in defaults and facts that the inputs omit; those are no drift. With `strict`, every such field with a
    value (see `has_value`) is drift. A list of another length is drift.
    """
    if isinstance(inputs, dict) and isinstance(real, dict):
        shaped = {
            key: shaped_like(value, real[key], strict=strict)
            for key, value in inputs.items()
            if real.get(key) is not None
        }
        return shaped | {key: real[key] for key in real.keys() - inputs.keys() if strict and has_value(real[key])}
    if isinstance(inputs, list) and isinstance(real, list) and len(inputs) == len(real):
        return [shaped_like(value, item, strict=strict) for value, item in zip(inputs, real, strict=True)]
    return real


def has_value(value: Any) -> bool:
    """Tell whether a value is more than False, zero, empty, or an object of only such values."""
    return any(map(has_value, value.values())) if isinstance(value, dict) else bool(value)


def sorted_like(inputs: Any, real: Any) -> Any:
    """Return the real elements of a set in the order of the inputs; elements that the inputs lack come last."""
    if not isinstance(inputs, list) or not isinstance(real, list):
        return real
    return sorted(real, key=lambda item: inputs.index(item) if item in inputs else len(inputs))
