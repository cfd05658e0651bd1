"""Convert property values between Pulumi's protocol and plain Python values.

A value is a JSON value (`None`, bool, int, float, str, list, dict). Three kinds are encoded as in Pulumi's protocol: an
unknown value is the string `UNKNOWN`, a secret is a dict with the signature key, and so is an asset or an archive
(left as that dict).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from google.protobuf.struct_pb2 import Struct, Value

Properties = dict[str, Any]

UNKNOWN: Final = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"
"""Represents, in previews, a value that is known only after an operation."""

SIGNATURE_KEY: Final = "4dabf18193072939515e22adb298388d"
SECRET_SIGNATURE: Final = "1b47061264138c4ac30d75fd1eb44270"  # noqa: S105 - the protocol's mark, no secret


def secret(value: Any) -> Properties:
    """Mark a value as secret."""
    return {SIGNATURE_KEY: SECRET_SIGNATURE, "value": value}


def without_secrets(value: Any) -> Any:
    """Return the value with every secret, at any depth, replaced by its plain value."""
    if isinstance(value, dict):
        if value.get(SIGNATURE_KEY) == SECRET_SIGNATURE:
            return without_secrets(value.get("value"))
        return {key: without_secrets(item) for key, item in value.items()}
    if isinstance(value, list):
        return [without_secrets(item) for item in value]
    return value


def has_unknown(value: Any) -> bool:
    """Tell whether a value is unknown or contains an unknown value at any depth."""
    if isinstance(value, dict):
        return any(has_unknown(item) for item in value.values())
    if isinstance(value, list):
        return any(has_unknown(item) for item in value)
    return bool(value == UNKNOWN)


def from_struct(struct: Struct) -> Properties:
    """Return a protobuf Struct as a dict; whole numbers become ints."""
    return {key: _from_value(value) for key, value in struct.fields.items()}


def _from_value(value: Value) -> Any:
    kind = value.WhichOneof("kind")
    if kind == "struct_value":
        return from_struct(value.struct_value)
    if kind == "list_value":
        return [_from_value(item) for item in value.list_value.values]
    if kind == "number_value" and value.number_value.is_integer():
        return int(value.number_value)
    return None if kind in (None, "null_value") else getattr(value, kind)


def to_struct(properties: Mapping[str, Any]) -> Struct:
    """Return a dict as a protobuf Struct."""
    struct = Struct()
    struct.update(properties)
    return struct
