"""Convert names between Pulumi (camelCase) and Cloudflare's API (snake_case), and compare nested values."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from itertools import zip_longest
from typing import Any

from offline.standins.provider import Kind
from offline.standins.values import UNKNOWN

WORD_START = re.compile(r"(?<!^)(?=[A-Z])")


def rename_keys(value: Any, rename: Callable[[str], str]) -> Any:
    """Return the value with every key of its objects renamed, at any depth."""
    if isinstance(value, dict):
        return {rename(key): rename_keys(item, rename) for key, item in value.items()}
    if isinstance(value, list):
        return [rename_keys(item, rename) for item in value]
    return value


def to_snake(value: Any) -> Any:
    """Return the value with every key of its objects in snake_case: `zoneId` → `zone_id`, `ipv4Only` → `ipv4_only`."""
    return rename_keys(value, lambda key: WORD_START.sub("_", key).lower())


def to_camel(value: Any) -> Any:
    """Return the value with every key of its objects in camelCase: `created_on` → `createdOn`."""
    return rename_keys(value, lambda key: re.sub(r"_(\w)", lambda match: match[1].upper(), key))


def renamed(value: Any, names: Mapping[str, str], *, back: bool = False) -> Any:
    """Return the value with the keys of its objects replaced where `names` has them; `back` reverses `names`."""
    if back:
        names = {new: old for old, new in names.items()}
    return rename_keys(value, lambda key: names.get(key, key))


def differences(old: Any, new: Any, path: str = "") -> dict[str, Kind]:
    """Return the changes between two values, by property path (`config.ingresses[0].service`).

    A null input counts as omitted. A new value that is not known yet counts as changed.
    """
    pairs: list[tuple[str, Any, Any]]
    if isinstance(old, dict) and isinstance(new, dict):
        prefix = path and f"{path}."
        pairs = [(f"{prefix}{key}", old.get(key), new.get(key)) for key in old.keys() | new.keys()]
    elif isinstance(old, list) and isinstance(new, list):
        pairs = [(f"{path}[{index}]", *elements) for index, elements in enumerate(zip_longest(old, new))]
    else:
        return {path: Kind.of(old, new)} if new == UNKNOWN or old != new else {}
    changes = [differences(before, after, below) for below, before, after in pairs]
    return {where: kind for change in changes for where, kind in change.items()}


def restrict_to_inputs(inputs: Any, real: Any, *, strict: bool = False) -> Any:
    """Reduce the API's answer to the fields that the inputs set.

    Other fields, such as defaults, are no drift, unless `strict` is set and they have a value (see `has_value`). A list
    of another length is drift.
    """
    if isinstance(inputs, dict) and isinstance(real, dict):
        shaped = {
            key: restrict_to_inputs(value, real[key], strict=strict)
            for key, value in inputs.items()
            if real.get(key) is not None
        }
        return shaped | {key: real[key] for key in real.keys() - inputs.keys() if strict and has_value(real[key])}
    if isinstance(inputs, list) and isinstance(real, list) and len(inputs) == len(real):
        return [restrict_to_inputs(value, item, strict=strict) for value, item in zip(inputs, real, strict=True)]
    return real


def has_value(value: Any) -> bool:
    """Tell whether a value is more than False, zero, empty, or an object of only such values."""
    return any(map(has_value, value.values())) if isinstance(value, dict) else bool(value)


def sorted_like(inputs: Any, real: Any) -> Any:
    """Return the real elements of a set in the order of the inputs; elements that the inputs lack come last."""
    if not isinstance(inputs, list) or not isinstance(real, list):
        return real
    return sorted(real, key=lambda item: inputs.index(item) if item in inputs else len(inputs))
