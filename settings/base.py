"""The one base of every settings model, and how a section that stands in two files is put together."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict


class Model(BaseModel):
    """Frozen, and an unknown key is an error: a mistyped key must never be taken for a default."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True, use_attribute_docstrings=True)


M = TypeVar("M", bound=Model)


def merged(base: M, over: Model) -> M:
    """Return `base` with every field that `over` was given, section by section; lists and single values are replaced.

    The result is checked as a whole. Raises pydantic.ValidationError where the two do not fit together.
    """
    said = _deep(base.model_dump(exclude_unset=True), over.model_dump(exclude_unset=True))
    return type(base).model_validate(said)


def _deep(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    result = dict(base)
    for key, said in over.items():
        was, value = result.get(key), said
        # What is of another type has other fields: nothing of the one can stand in the other.
        if isinstance(value, Mapping) and isinstance(was, Mapping) and value.get("type") == was.get("type"):
            value = _deep(was, value)
        result[key] = value
    return result
