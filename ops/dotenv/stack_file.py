"""Edits Pulumi.<stack>.yaml, and preserves the comments, order and style of the file."""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping
from copy import deepcopy
from io import StringIO
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError
from ruamel.yaml.scalarstring import DoubleQuotedScalarString
from ruamel.yaml.util import load_yaml_guess_indent

SettingPath = tuple[str, ...]
"""Path of a setting: ("monitoring", "grafana", "admin_user")."""


ABSENT: Any = object()
"""Marks a missing value: as the value of an edit it removes the setting."""


def edited(values: Mapping[str, Any], edits: Mapping[SettingPath, Any]) -> dict[str, Any]:
    """Return the values with all edits applied; a section that an edit empties is removed too."""
    result = deepcopy(dict(values))
    for path, value in edits.items():
        _edit(result, path, value)
    return result


def edited_text(text: str, namespace: str, edits: Mapping[SettingPath, Any]) -> str:
    """Return a stack file's text with all edits applied to the keys of one namespace below `config`."""
    _, indent, sequence_indent = load_yaml_guess_indent(StringIO(text))
    yaml = YAML()
    yaml.preserve_quotes = True
    yaml.width = 1000
    yaml.brace_single_entry_mapping_in_flow_sequence = True
    yaml.indent(mapping=indent or 2, sequence=(indent or 2) + (sequence_indent or 0), offset=sequence_indent or 0)
    document = yaml.load(StringIO(text))
    for (section, *rest), value in edits.items():
        _edit(document, ("config", f"{namespace}{section}", *rest), _quoted(value))
    written = StringIO()
    yaml.dump(document, written)
    return written.getvalue()


def _edit(values: MutableMapping[str, Any], path: SettingPath, value: Any) -> None:
    key, *rest = path
    if rest:
        if not isinstance(values.get(key), MutableMapping):
            if value is ABSENT:
                return
            values[key] = {}
        _edit(values[key], tuple(rest), value)
        if value is ABSENT and not values[key]:
            del values[key]
    elif value is ABSENT:
        values.pop(key, None)
    else:
        values[key] = value


def _quoted(value: Any) -> Any:
    """Double-quote a string that YAML would read as another type, in the style of the stack files."""
    if not isinstance(value, str):
        return value
    try:
        plain = YAML(typ="safe", pure=True).load(value)
    except YAMLError:
        plain = None
    return value if plain == value else DoubleQuotedScalarString(value)
