"""The base class of every settings model, and the merge of a section that both settings files may contain."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict


class Model(BaseModel):
    """Frozen, and unknown keys are refused: a mistyped key must not silently leave a default in effect."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True, use_attribute_docstrings=True)


M = TypeVar("M", bound=Model)


def merged(base: M, over: Model) -> M:
    """Return `base` overridden by the fields set in `over`: sections are merged, lists and scalars are replaced.

    The result is validated as a whole. Raises pydantic.ValidationError where the two do not fit together.
    """
    values = _deep(base.model_dump(exclude_unset=True), over.model_dump(exclude_unset=True))
    return type(base).model_validate(values)


def _deep(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    result = dict(base)
    for key, value in over.items():
        current = result.get(key)
        # Mappings of different `type` are not merged: their fields are unrelated.
        if isinstance(value, Mapping) and isinstance(current, Mapping) and value.get("type") == current.get("type"):
            result[key] = _deep(current, value)
        else:
            result[key] = value
    return result
