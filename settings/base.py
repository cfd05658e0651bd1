"""The base class of every settings model, and the merge of a section that both settings files may contain."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict


class Model(BaseModel):
    """Frozen, and unknown keys are refused: a mistyped key must not silently leave a default in effect."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True, use_attribute_docstrings=True)


M = TypeVar("M", bound=Model)


def merge_settings(base: M, overrides: Model) -> M:
    """Return `base` overridden by the fields set in `over`: sections are merged, lists and scalars are replaced.

    The result is validated as a whole. Raises pydantic.ValidationError where the two do not fit together.
    """
    values = _merge_mappings(base.model_dump(exclude_unset=True), overrides.model_dump(exclude_unset=True))
    return type(base).model_validate(values)


def _merge_mappings(base: Mapping[str, Any], overrides: Mapping[str, Any]) -> dict[str, Any]:
    result = dict(base)
    for key, value in overrides.items():
        current = result.get(key)
        # Mappings of different `type` are not merged: their fields are unrelated.
        if isinstance(value, Mapping) and isinstance(current, Mapping) and value.get("type") == current.get("type"):
            result[key] = _merge_mappings(current, value)
        else:
            result[key] = value
    return result
