"""The base class of every settings model, and references to secrets."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Annotated, Any, ClassVar, Self, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, StringConstraints, model_validator
from pydantic.fields import FieldInfo


class Model(BaseModel):
    """Frozen, and unknown keys are refused: a mistyped key must not silently leave a default in effect."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True, use_attribute_docstrings=True)


class ExactlyOne(Model):
    """A model of which exactly one of some fields must be set; the schemas require it, too."""

    alternatives: ClassVar[tuple[str, ...]]

    @model_validator(mode="after")
    def _has_exactly_one(self) -> Self:
        if sum(getattr(self, field) not in (None, False) for field in self.alternatives) != 1:
            *fields, last = self.alternatives
            raise ValueError(f"exactly one of {', '.join(fields)} and {last}")
        return self


Name = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]{0,39}$")]
"""A name in a network: lower-case letters, digits and dashes."""


def _compiles(pattern: str) -> str:
    try:
        re.compile(pattern)
    except re.error as error:
        raise ValueError(f"a regular expression ({error})") from error
    return pattern


Regex = Annotated[str, AfterValidator(_compiles)]

_MARK = "a reference to a secret"

SecretRef = Annotated[Name, _MARK]
"""The name of a secret, never its value: `pulumi config set --secret dockyard:<name>`."""

SecretPath = tuple[str | int, ...]
"""Settings path of a reference to a secret."""


def secret_refs(settings: Any, path: SecretPath = ()) -> Iterator[tuple[str, SecretPath]]:
    """Yield the name of every secret that settings refer to, and the path of the reference below `path`."""
    if isinstance(settings, BaseModel):
        for name, field in type(settings).model_fields.items():
            value = getattr(settings, name)
            if _is_secret_ref(field) and value is not None:
                yield value, (*path, name)
            else:
                yield from secret_refs(value, (*path, name))
    elif isinstance(settings, Mapping | list):
        for key, item in settings.items() if isinstance(settings, Mapping) else enumerate(settings):
            yield from secret_refs(item, (*path, key))


def _is_secret_ref(field: FieldInfo) -> bool:
    """Whether a field's type is SecretRef or `SecretRef | None`."""
    members = (field, *get_args(field.annotation))
    return any(_MARK in getattr(member, "metadata", getattr(member, "__metadata__", ())) for member in members)


def duplicates(values: Iterable[str]) -> list[str]:
    """Return the values that occur more than once, sorted."""
    return sorted(value for value, count in Counter(values).items() if count > 1)
