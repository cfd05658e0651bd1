"""Diff: the properties that a plan changes, with the same paths and kinds as from the official bridge.

Pure: needs no Docker.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from itertools import zip_longest
from typing import Any

from offline.standins.docker.check import DEFAULTS
from offline.standins.docker.plan import identity, plan_object
from offline.standins.docker.schema import Field, ResourceSchema
from offline.standins.provider import Changes, Kind, top_level
from offline.standins.values import UNKNOWN, Properties, without_secrets

Detail = dict[str, Kind]


def diff_state(schema: ResourceSchema, prior: Properties, news: Properties, ignore: Sequence[str]) -> Changes:
    """Compare a state with new inputs."""
    prior, news = without_secrets(prior), without_secrets(news)
    planned = plan_object(schema.fields, prior, news)
    for path in ignore:
        planned[top_level(path)] = prior.get(top_level(path))
    detailed: Detail = {}
    for name, entry in schema.fields.items():
        detailed.update(_property(entry, name, prior.get(name), planned.get(name), news.get(name), forced=False))
    replaces = Changes(detailed).replaces
    named = schema.auto_name and "name" in news and "name" not in news.get(DEFAULTS, ["name"])
    return Changes(
        detailed,
        stables=sorted(name for name, entry in schema.fields.items() if entry.replace and name not in replaces),
        delete_before_replace=bool(replaces) and (schema.delete_before_replace or named),
    )


def _property(entry: Field, path: str, old: Any, new: Any, config: Any, *, forced: bool) -> Detail:
    """Compare one property. `config` is its input; `forced` means that an enclosing property forces a replacement."""
    forced = forced or entry.replace
    old, new = _present(old), _present(new)
    if entry.scalar or old is None or new is None or new == UNKNOWN:
        inside = old if new in (None, UNKNOWN) else new
        return _change(path, old, new, forced=new != {} and (forced or _holds_replacing(entry, inside)))
    if entry.type == "map":
        return _map(path, old, new, forced=forced)
    if entry.single:
        return _object(entry.fields, path, old, new, config, forced=forced)
    if entry.type == "set":
        return _set(entry, path, old, new, config if isinstance(config, list) else [], forced=forced)
    if not entry.fields:
        return _scalar_list(path, old, new, forced=forced)
    return _object_list(entry, path, old, new, config if isinstance(config, list) else [], forced=forced)


def _change(path: str, old: Any, new: Any, *, forced: bool) -> Detail:
    return {} if old == new else {path: Kind.of(old, new, replaces=forced)}


def _present(value: Any) -> Any:
    """Return None for an empty list, which counts as no value; an empty map counts as a value."""
    return None if isinstance(value, list) and not value else value


def _holds_replacing(entry: Field, value: Any) -> bool:
    """Tell whether an added or removed value contains a property that forces a replacement."""
    items = value if isinstance(value, list) else [value]
    return any(
        field.replace or _holds_replacing(field, item[name])
        for item in items
        if isinstance(item, dict)
        for name, field in entry.fields.items()
        if item.get(name) is not None
    )


def _map(path: str, old: Properties, new: Properties, *, forced: bool) -> Detail:
    detail: Detail = {}
    for key in sorted({*old, *new}):
        where = f"{path}.{key}" if re.fullmatch(r"[A-Za-z_]\w*", key) else f'{path}["{key}"]'
        detail.update(_change(where, old.get(key), new.get(key), forced=forced))
    return detail


def _object(
    fields: Mapping[str, Field], path: str, old: Properties, new: Properties, config: Any, *, forced: bool
) -> Detail:
    inputs = config if isinstance(config, dict) else {}
    detail: Detail = {}
    for name, entry in fields.items():
        where = f"{path}.{name}"
        detail.update(_property(entry, where, old.get(name), new.get(name), inputs.get(name), forced=forced))
    return detail


def _scalar_list(path: str, old: list[Any], new: list[Any], *, forced: bool) -> Detail:
    """Compare lists of scalars: a removal at the old index, an addition at the new one, both at one index an update."""
    removed: set[int] = set()
    added: set[int] = set()
    matcher = difflib.SequenceMatcher(a=list(map(repr, old)), b=list(map(repr, new)), autojunk=False)
    for tag, old_start, old_end, new_start, new_end in matcher.get_opcodes():
        if tag != "equal":
            removed.update(range(old_start, old_end))
            added.update(range(new_start, new_end))
    kinds = dict.fromkeys(removed - added, Kind.DELETE)
    kinds |= dict.fromkeys(added - removed, Kind.ADD)
    kinds |= dict.fromkeys(added & removed, Kind.UPDATE)
    return {f"{path}[{index}]": Kind(kind + forced) for index, kind in kinds.items()}


def _object_list(entry: Field, path: str, old: list[Any], new: list[Any], config: list[Any], *, forced: bool) -> Detail:
    detail: Detail = {}
    for index, (before, after) in enumerate(zip_longest(old, new)):
        inputs = config[index] if index < len(config) else None
        detail.update(_property(entry.element, f"{path}[{index}]", before, after, inputs, forced=forced))
    return detail


def _set(entry: Field, path: str, old: list[Any], new: list[Any], config: list[Any], *, forced: bool) -> Detail:
    """Report changed elements by their index among the inputs, or the whole set when the index is ambiguous."""
    old_identities, new_identities = ([identity(entry, item) for item in items] for items in (old, new))
    removed = [index for index, item in enumerate(old_identities) if item not in new_identities]
    added = [index for index, item in enumerate(new_identities) if item not in old_identities]
    if not removed and not added:
        return {}
    matched = _match_inputs(entry.fields, added, new, config)
    if matched is None:
        return {path: Kind(Kind.UPDATE + entry.replace)}
    detail: Detail = {}
    for index in sorted({*removed, *matched}):
        before = old[index] if index in removed else None
        after = new[matched[index]] if index in matched else None
        inputs = config[index] if index < len(config) else None
        detail.update(_property(entry.element, f"{path}[{index}]", before, after, inputs, forced=forced))
    return detail


def _match_inputs(
    fields: Mapping[str, Field], added: list[int], new: list[Any], config: list[Any]
) -> dict[int, int] | None:
    """Return index among the inputs → index in the plan, for each added element; None when one has no match."""
    if len(config) < len(new):
        return None
    matched: dict[int, int] = {}
    for place in added:
        for index, item in enumerate(config):
            if index not in matched and _could_come_from(fields, item, new[place]):
                matched[index] = place
                break
        else:
            return None
    return matched


def _could_come_from(fields: Mapping[str, Field], config: Any, planned: Any) -> bool:
    """Tell whether a planned element can result from an input; an omitted string does not match an empty one."""
    if not fields:
        return bool(config == planned)
    for name, entry in fields.items():
        value, plan = config.get(name), planned.get(name)
        if entry.computed and value is None:
            continue
        if entry.scalar or (entry.single and None in (value, plan)):
            if value != plan:
                return False
        elif entry.single:
            if not _could_come_from(entry.fields, value, plan):
                return False
        elif value is None and plan:
            return False
    return True
