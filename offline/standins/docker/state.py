"""State: outputs as the official bridge stores them, and the inputs that correspond to a refreshed state. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from offline.standins.docker.check import DEFAULTS
from offline.standins.docker.plan import identity, plan_object
from offline.standins.docker.schema import Field, ResourceSchema, mark_secrets
from offline.standins.values import UNKNOWN, Properties

META = "__meta"
RAW_STATE_DELTA = "__pulumi_raw_state_delta"


def planned_state(schema: ResourceSchema, inputs: Properties) -> Properties:
    """Return the state of a resource before its creation; values that only Docker can determine are unknown."""
    planned = plan_object(schema.fields, {}, inputs)
    for name, entry in schema.fields.items():
        if planned[name] is None and entry.default not in (None, ""):
            planned[name] = entry.default
        elif planned[name] is None and entry.computed:
            planned[name] = UNKNOWN
        elif planned[name] is None and entry.block and not entry.single:
            planned[name] = []
    planned["id"] = UNKNOWN
    return planned


def resolved_state(schema: ResourceSchema, planned: Properties) -> Properties:
    """Return a planned state with unknown values left empty, for a resource that was not read back."""
    return {name: _without_unknown(schema.fields.get(name), value) for name, value in planned.items()}


def _without_unknown(entry: Field | None, value: Any) -> Any:
    if value == UNKNOWN:
        return [] if entry and not entry.single and (entry.type == "set" or entry.block) else None
    if entry and entry.fields and isinstance(value, dict):
        return {name: _without_unknown(entry.fields.get(name), item) for name, item in value.items()}
    if entry and entry.fields and isinstance(value, list):
        return [
            {name: _without_unknown(entry.fields.get(name), inner) for name, inner in item.items()} for item in value
        ]
    return value


def with_read(schema: ResourceSchema, before: Properties, read: Properties, *, refreshed: bool) -> Properties:
    """Return a state updated with the properties read from Docker.

    After a refresh, an empty collection is empty; after a create or update, one that was omitted stays null.
    """
    result = dict(before)
    for name, value in read.items():
        entry = schema.fields.get(name)
        result[name] = value if entry is None else _merged(entry, before.get(name), value, refreshed)
    return _settled(schema.fields, result) if refreshed else result


def _settled(fields: Mapping[str, Field], state: Properties) -> Properties:
    """Return a refreshed state, in which null in the elements of a collection becomes the type's zero value."""
    result = dict(state)
    for name, entry in fields.items():
        if entry.fields and not entry.single and isinstance(state.get(name), list):
            result[name] = [
                {
                    key: inner.zero if inner.scalar and item.get(key) is None else item.get(key)
                    for key, inner in entry.fields.items()
                }
                for item in state[name]
            ]
    return result


def _merged(entry: Field, before: Any, value: Any, refreshed: bool) -> Any:
    if entry.single and isinstance(value, dict):
        outer = before if isinstance(before, dict) else {}
        # Only a declared block keeps its nulls; one that Docker filled in is used as read.
        as_read = refreshed or not isinstance(before, dict)
        return {name: _merged(inner, outer.get(name), value.get(name), as_read) for name, inner in entry.fields.items()}
    empty = not entry.scalar and not entry.block and not value
    if empty and not refreshed and before is None and not entry.computed:
        return None
    return value


def stored_state(schema: ResourceSchema, outputs: Properties, *, created: bool = False) -> Properties:
    """Return a state as Pulumi stores it, with the raw-state delta from which the bridge rebuilds Terraform's state.

    Right after a create, a computed block that the provider did not fill in is null; later it is empty.
    """
    result = {name: value for name, value in outputs.items() if name not in (META, RAW_STATE_DELTA)}
    null = {name for name, entry in schema.fields.items() if created and entry.computed and entry.single}
    fields = {name: entry for name, entry in schema.fields.items() if name not in null or result.get(name) is not None}
    result[RAW_STATE_DELTA] = _object_delta(fields, result)
    if meta := schema.meta():
        result[META] = meta
    return mark_secrets(schema.fields, result)


def _object_delta(fields: Mapping[str, Field], value: Mapping[str, Any]) -> Properties:
    inner = {name: _delta(entry, value.get(name)) for name, entry in fields.items()}
    properties = {name: delta for name, delta in inner.items() if delta}
    renamed = {name: entry.tf for name, entry in fields.items() if entry.tf}
    result: Properties = {}
    if properties:
        result["ps"] = properties
    if renamed:
        result["renamed"] = renamed
    return {"obj": result}


def _delta(entry: Field, value: Any) -> Properties | None:
    if entry.single:
        return {"plu": {"i": {} if value is None else _object_delta(entry.fields, value)}}
    if entry.scalar or value is None or value == UNKNOWN:
        return None
    if entry.type == "map":
        return {"map": {}}
    elements = {str(index): _object_delta(entry.fields, item) for index, item in enumerate(value) if entry.fields}
    return {"arr": {"el": elements} if elements else {}}


def refreshed_inputs(fields: Mapping[str, Field], inputs: Properties, outputs: Properties) -> Properties:
    """Return the inputs that correspond to a refreshed state: the same properties with the actual values."""
    result: Properties = {}
    defaults = set(inputs.get(DEFAULTS, []))
    for name, value in inputs.items():
        if name == DEFAULTS or name not in outputs:
            continue
        result[name] = _refreshed(fields[name], value, outputs[name]) if name in fields else outputs[name]
        if result[name] != value:
            defaults.discard(name)
    if DEFAULTS in inputs:
        result[DEFAULTS] = sorted(defaults & result.keys())
    return result


def _refreshed(entry: Field, inputs: Any, outputs: Any) -> Any:
    if isinstance(inputs, dict) and isinstance(outputs, dict):
        if entry.fields:
            return refreshed_inputs(entry.fields, inputs, outputs)
        return {key: outputs[key] for key in inputs if key in outputs}
    if not isinstance(inputs, list) or not isinstance(outputs, list):
        return outputs
    if entry.type != "set":
        pairs = zip(inputs, outputs, strict=False)
        return [refreshed_inputs(entry.fields, old, new) if entry.fields else new for old, new in pairs]
    identities = {identity(entry, item) for item in outputs}
    return [item for item in inputs if identity(entry, item) in identities]
