"""The resource types of the official Docker provider, with the facts that the bridge needs, read from `schema.json`.

The facts (names, types, defaults, what forces a replacement) come from the official plugin's own schema and from the
Terraform provider that it bridges, kreuzwerker/docker 4.5.0.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from offline.standins.values import Properties, secret


@dataclass(frozen=True)
class Field:
    """One property.

    `type` is string, int, bool, list, set or map. `of` is the element type of a list or set: the name of a scalar
    type, or the fields of an object. `single` is a list or set of at most one, which Pulumi shows as the element
    itself. `tf` is the Terraform name where it is not the name in snake_case. `computed` means that the provider may
    fill it in, `output` that only the provider may.

    The last facts map it to the Docker API (`conversion`). `api` is its path in the enclosing API object, by default
    its name with a capital, empty for a property without an equivalent; `convert` names the converter of its value.
    `pointer`: the API distinguishes an empty value from an absent one. `fallback` is the property to send in its place
    when it is empty. `mount_type` is the type of mount that has it. `read` is always, declared (only if the state has a
    value) or never.
    """

    name: str
    type: str
    of: str | Mapping[str, Field] = "string"
    single: bool = False
    tf: str = ""
    required: bool = False
    output: bool = False
    computed: bool = False
    replace: bool = False
    secret: bool = False
    default: Any = None
    env: str = ""
    suppress: str = ""
    conflicts: str = ""
    unsupported: str = ""
    check: Mapping[str, Any] = field(default_factory=dict)
    api: str = ""
    convert: str = ""
    pointer: bool = False
    fallback: str = ""
    mount_type: str = ""
    read: str = "always"

    @property
    def scalar(self) -> bool:
        """Whether the value is one string, number or bool."""
        return self.type not in ("list", "set", "map")

    @property
    def fields(self) -> Mapping[str, Field]:
        """The fields of the elements; empty where the elements are scalars."""
        return {} if isinstance(self.of, str) else self.of

    @property
    def element(self) -> Field:
        """An element of a list or set, as a property of its own."""
        return Field("", "list", self.of, single=True) if self.fields else Field("", str(self.of))

    @property
    def block(self) -> bool:
        """Whether Terraform stores it as blocks, which are empty rather than null when there are none."""
        return self.type in ("list", "set") and bool(self.fields) and not self.output

    @property
    def zero(self) -> Any:
        """The value that Terraform cannot distinguish from null."""
        return {"string": "", "int": 0, "bool": False}.get(self.type)

    @property
    def empty(self) -> Any:
        """The value of a property that the API lacks: the zero value, or an empty collection."""
        return {"map": {}, "list": [], "set": []}.get(self.type, self.zero)


@dataclass(frozen=True)
class ResourceSchema:
    """One resource type. `timed`: whether its state contains the default timeouts."""

    token: str
    fields: Mapping[str, Field]
    version: int
    auto_name: bool
    delete_before_replace: bool
    timed: bool

    def meta(self) -> str | None:
        """Return the `__meta` that the bridge stores in the state: default timeouts (20 minutes) and schema version."""
        meta: dict[str, Any] = {}
        if self.timed:
            twenty_minutes = 1_200_000_000_000
            meta["e2bfb730-ecaa-11e6-8f88-34363bc7c4c0"] = {
                "create": twenty_minutes,
                "delete": twenty_minutes,
                "update": twenty_minutes,
            }
        if self.version:
            meta["schema_version"] = str(self.version)
        return json.dumps(meta, separators=(",", ":")) if meta else None


def _fields(raw: Mapping[str, Any]) -> dict[str, Field]:
    return {name: _field(name, facts) for name, facts in raw.items()}


def _field(name: str, facts: Mapping[str, Any]) -> Field:
    of = facts.get("of", "string")
    of = of if isinstance(of, str) else _fields(of)
    return Field(name=name, **{"api": name[0].upper() + name[1:], **facts, "of": of})


@cache
def resources() -> Mapping[str, ResourceSchema]:
    """Return all known types by their token."""
    raw = json.loads(Path(__file__).with_name("schema.json").read_text())
    return {
        token: ResourceSchema(**{**facts, "token": token, "fields": _fields(facts["fields"])})
        for token, facts in raw.items()
    }


def token_of(kind: str) -> str:
    """Return the token of a type by its class name, such as `RemoteImage`."""
    return f"docker:index/{kind[0].lower()}{kind[1:]}:{kind}"


def fields_of(kind: str) -> Mapping[str, Field]:
    """Return the properties of a type by its class name."""
    return resources()[token_of(kind)].fields


def mark_secrets(fields: Mapping[str, Field], value: Properties) -> Properties:
    """Return an object with the properties that the schema calls secret marked as secret."""
    result = dict(value)
    for name, entry in fields.items():
        item = value.get(name)
        if entry.secret and item is not None:
            result[name] = secret(item)
        elif entry.single and isinstance(item, dict):
            result[name] = mark_secrets(entry.fields, item)
    return result
