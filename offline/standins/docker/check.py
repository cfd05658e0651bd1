"""Check: fill in defaults and names, and validate the inputs. Pure: needs no Docker."""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
import re
import secrets
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from offline.standins.docker.durations import parse_duration
from offline.standins.docker.schema import Field, ResourceSchema, mark_secrets
from offline.standins.provider import Checked, Request
from offline.standins.values import UNKNOWN, Properties, has_unknown, without_secrets

DEFAULTS = "__defaults"
"""Key under which the bridge lists the inputs that were filled in by default."""

SUFFIX_DIGITS = 7
LONGEST_NAME = 255


class _ProblemError(Exception):
    """One input is invalid; the message says why."""


def check_inputs(schema: ResourceSchema, request: Request) -> Checked:
    """Return the inputs with defaults and generated name, and all failures."""
    failures: list[tuple[str, str]] = []
    news = without_secrets(request.inputs)
    fields = dict(schema.fields)
    if schema.auto_name:
        fields["name"] = replace(fields["name"], default=_generated_name(request))
    inputs = _check_object(fields, without_secrets(request.old_inputs), news, "", failures)
    for name, entry in fields.items():
        if entry.conflicts and name in news and entry.conflicts in news:
            failures.append((name, f"conflicts with {entry.conflicts}: give one of them"))
    if schema.auto_name and request.naming == "DISABLE" and "name" not in news:
        failures.append(("name", "automatic naming is off: give a name"))
    return Checked(mark_secrets(fields, inputs), failures)


def _generated_name(request: Request) -> str:
    if request.proposed_name:
        return request.proposed_name
    random = hashlib.sha256(request.seed).hexdigest() if request.seed else secrets.token_hex(SUFFIX_DIGITS)
    return f"{request.name[: LONGEST_NAME - SUFFIX_DIGITS - 1]}-{random[:SUFFIX_DIGITS]}"


def _check_object(
    fields: Mapping[str, Field],
    olds: Mapping[str, Any],
    news: Mapping[str, Any],
    path: str,
    failures: list[tuple[str, str]],
) -> Properties:
    """Check one object. `olds` are its earlier inputs: a default that was filled in then keeps its value."""
    result: Properties = {}
    for name, value in news.items():
        if value is None or name == DEFAULTS:
            continue
        where = f"{path}{name}"
        entry = fields.get(name)
        if entry is None or entry.output:
            failures.append((where, f"{where} is no input of this resource"))
            continue
        if entry.unsupported:
            failures.append((where, f"{where} is not supported by this stand-in plugin; {entry.unsupported}"))
            continue
        try:
            result[name] = _check_value(entry, olds.get(name), value, where, failures)
        except _ProblemError as problem:
            failures.append((where, f"{where}: {problem}"))
    known_defaults = olds.get(DEFAULTS)
    defaults = []
    for name, entry in fields.items():
        if name in result or entry.output or any(where == f"{path}{name}" for where, _ in failures):
            continue
        default = os.environ.get(entry.env) if entry.env else entry.default
        if not default:
            if entry.required:
                failures.append((f"{path}{name}", f"missing required property '{path}{name}'"))
            continue
        if name in olds and (known_defaults is None or name in known_defaults):
            default = olds[name]
        result[name] = default
        defaults.append(name)
    result[DEFAULTS] = sorted(defaults)
    return result


def _check_value(entry: Field, old: Any, value: Any, where: str, failures: list[tuple[str, str]]) -> Any:
    if value == UNKNOWN:
        return value
    if entry.scalar:
        coerced = _coerce(entry.type, value)
        _validate(entry, coerced)
        return coerced
    if entry.type == "map":
        if not isinstance(value, dict):
            raise _ProblemError(f"expected a map of strings, found {value!r}")
        return {key: _coerce("string", item) for key, item in value.items()}
    if entry.single:
        if not isinstance(value, dict):
            raise _ProblemError(f"expected an object, found {value!r}")
        return _check_object(entry.fields, old if isinstance(old, dict) else {}, value, f"{where}.", failures)
    if not isinstance(value, list):
        raise _ProblemError(f"expected a list, found {value!r}")
    if isinstance(entry.of, str):
        return [_coerce(entry.of, item) for item in value]
    olds = old if isinstance(old, list) else []
    checked = []
    for index, item in enumerate(value):
        if item == UNKNOWN:
            checked.append(item)
            continue
        if not isinstance(item, dict):
            raise _ProblemError(f"expected objects in the list, found {item!r}")
        before = olds[index] if index < len(olds) and isinstance(olds[index], dict) else {}
        checked.append(_check_object(entry.of, before, item, f"{where}[{index}].", failures))
    return checked


def _coerce(kind: str, value: Any) -> Any:
    """Convert as Terraform does: accept a number or a bool in a string, and a number for a string."""
    if value == UNKNOWN or value is None:
        return value
    if kind == "string" and not isinstance(value, dict | list):
        return str(value).lower() if isinstance(value, bool) else str(value)
    if kind == "bool" and (isinstance(value, bool) or value in ("true", "false")):
        return value in (True, "true")
    if kind == "int" and not isinstance(value, bool | float) and re.fullmatch(r"-?\d+", str(value)):
        return int(value)
    raise _ProblemError(f"expected {'a whole number' if kind == 'int' else kind}, found {value!r}")


def _validate(entry: Field, value: Any) -> None:
    if not entry.check or has_unknown(value):
        return
    pattern = entry.check.get("pattern")
    if pattern is not None and not re.search(pattern, value):
        raise _ProblemError(f"{value!r} does not match {pattern}")
    least = entry.check.get("min")
    if least is not None and value < least:
        raise _ProblemError(f"{value} is less than {least}")
    if form := entry.check.get("form"):
        _validate_form(form, value)


def _validate_form(form: str, value: str) -> None:
    if form == "duration":
        try:
            if parse_duration(value) < 0:
                raise _ProblemError(f"{value!r} is negative")
        except ValueError as error:
            raise _ProblemError(str(error)) from error
    elif form == "base64":
        try:
            base64.b64decode(value, validate=True)
        except binascii.Error as error:
            raise _ProblemError("is not base64") from error
    elif form == "path" and not re.match(r"^(/|[a-zA-Z]:[\\/]|\\\\)", value):
        raise _ProblemError(f"{value!r} is not an absolute path")
    elif form == "ratio":
        try:
            share = float(value)
        except ValueError as error:
            raise _ProblemError(f"{value!r} is not a number") from error
        if not 0 <= share <= 1:
            raise _ProblemError(f"{value!r} is not between 0 and 1")
