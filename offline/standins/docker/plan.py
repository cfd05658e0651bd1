"""Plan: the state that results from a change of inputs, by the rules of Terraform's plugin SDK 2.

The rules in short: an omitted value that may be computed stays unchanged; null equals the type's zero value; the order
of a set does not matter; a collection that the provider has never filled in becomes unknown.
Pure: needs no Docker.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from offline.standins.docker.schema import Field
from offline.standins.values import UNKNOWN, Properties, has_unknown


def plan_object(fields: Mapping[str, Field], prior: Properties, config: Properties) -> Properties:
    """Return the state of an object after applying `config` to `prior`."""
    return {name: _plan(entry, prior.get(name), config.get(name)) for name, entry in fields.items()}


def _plan(entry: Field, prior: Any, config: Any) -> Any:
    if entry.output:
        return UNKNOWN if prior is None and not entry.scalar else prior
    if config == UNKNOWN:
        return UNKNOWN
    if entry.scalar:
        return _plan_scalar(entry, prior, config)
    if config is None:
        return _plan_omitted(entry, prior)
    if entry.type == "set" and has_unknown(config):
        return UNKNOWN
    return prior if canonical(entry, prior) == canonical(entry, config) else _plan_changed(entry, prior, config)


def _plan_omitted(entry: Field, prior: Any) -> Any:
    """Plan a collection that the config omits."""
    if entry.computed:
        return UNKNOWN if prior is None and not entry.block else prior
    return None if prior else prior


def _plan_scalar(entry: Field, prior: Any, config: Any) -> Any:
    desired = entry.default if config is None else config
    if (prior or entry.zero) == (desired or entry.zero):
        return prior
    if desired is None and entry.computed:
        return prior
    if entry.suppress == "empty" and not desired:
        return prior
    if entry.suppress == "ratio" and float(prior or 0) == float(desired or 0):
        return prior
    return desired


def _plan_changed(entry: Field, prior: Any, config: Any) -> Any:
    """Plan a collection that differs from the prior state."""
    if entry.single:
        in_place = entry.type == "list" and prior is not None
        if in_place:
            return _plan_block(entry, prior, config)
        return filled(entry.fields, config, in_set=entry.type == "set")
    if not entry.fields:
        return config
    if entry.type == "set":
        prior_items = {identity(entry, item): item for item in prior or []}
        return [prior_items.get(identity(entry, item), filled(entry.fields, item, in_set=True)) for item in config]
    if entry.suppress == "ports" and _same_ports(prior or [], config):
        return prior
    return _plan_list(entry.fields, prior or [], config)


def _plan_block(entry: Field, prior: Properties, config: Properties) -> Properties:
    planned = plan_object(entry.fields, prior, config)
    if all(planned[name] == prior.get(name) for name in planned):
        return prior
    return _rebuilt(entry.fields, planned)


def _rebuilt(fields: Mapping[str, Field], block: Properties) -> Properties:
    """Rebuild a changed block with its nested blocks, as Terraform does: null collections become empty."""
    result = dict(block)
    for name, entry in fields.items():
        value = block.get(name)
        if entry.single and isinstance(value, dict):
            result[name] = _rebuilt(entry.fields, value)
        elif value is None and not entry.scalar and not entry.single:
            result[name] = {} if entry.type == "map" else []
    return result


def _plan_list(fields: Mapping[str, Field], prior: list[Any], config: list[Any]) -> list[Any]:
    planned = []
    for index, item in enumerate(config):
        if item == UNKNOWN:
            planned.append(item)
        elif index < len(prior):
            planned.append(plan_object(fields, prior[index], item))
        else:
            planned.append(filled(fields, item))
    return planned


def _same_ports(prior: list[Properties], config: list[Properties]) -> bool:
    """Tell whether two lists of published ports are equal in any order."""

    def key(port: Properties) -> list[str]:
        return [str(port.get(name)) for name in ("internal", "external", "ip", "protocol")]

    return sorted(map(key, prior)) == sorted(map(key, config))


def filled(fields: Mapping[str, Field], config: Properties, *, in_set: bool = False) -> Properties:
    """Return a new element as stored in the state: with defaults, and in a set without null strings and lists."""
    result: Properties = {}
    for name, entry in fields.items():
        value = config.get(name)
        if value is None:
            value = entry.default
        if value is not None:
            inner_set = in_set or entry.type == "set"
            if entry.fields and entry.single and value != UNKNOWN:
                value = filled(entry.fields, value, in_set=inner_set)
            elif entry.fields and isinstance(value, list):
                value = [item if item == UNKNOWN else filled(entry.fields, item, in_set=inner_set) for item in value]
        elif entry.computed:
            value = UNKNOWN
        elif in_set and entry.type == "string":
            value = ""
        elif (in_set or entry.block) and entry.type in ("list", "set") and not entry.single:
            value = []
        result[name] = value
    return result


def canonical(entry: Field, value: Any) -> Any:
    """Return a normal form, which is equal for values that Terraform considers equal."""
    if entry.scalar:
        return (entry.default if value is None else value) or entry.zero
    if not value or value == UNKNOWN:
        return value or None
    if entry.type == "map":
        return {key: str(item) for key, item in value.items()}
    if entry.single:
        return canonical_object(entry.fields, value)
    if entry.type == "set":
        return sorted({identity(entry, item) for item in value})
    return [canonical_object(entry.fields, item) for item in value] if entry.fields else value


def identity(entry: Field, item: Any) -> str:
    """Return a text that is equal for elements of a set that Terraform considers equal."""
    return repr(canonical_object(entry.fields, item) if entry.fields else item)


def canonical_object(fields: Mapping[str, Field], value: Any) -> Any:
    """Return an object in normal form, with its fields in the schema's order."""
    if value == UNKNOWN:
        return value
    return {name: canonical(entry, value.get(name)) for name, entry in fields.items()}
