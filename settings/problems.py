"""Problems in settings files: reported all at once, each with its location, the value found and what was expected."""

from __future__ import annotations

import difflib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, get_args, get_origin

import yaml
from pydantic import BaseModel, Tag, ValidationError

NOTHING = "nothing"
YamlPath = Sequence[str | int]
"""Keys of mappings and positions in lists, from the top of a file's settings."""

FoundProblem = tuple[YamlPath, str, str]
"""The path of an invalid value, what was found there, and what was expected."""

LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""A loader of plain YAML only. libyaml's is ten times as fast, and every preview waits for it."""


@dataclass(frozen=True)
class Problem:
    """One error in a settings file."""

    file: str
    path: str
    actual: str
    expected: str
    remedy: str = ""
    line: int | None = None

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else self.file
        text = f"{place}: {self.path}: found {self.actual}, expected {self.expected}"
        return f"{text}. {self.remedy}" if self.remedy else text


class SettingsError(Exception):
    """The settings cannot be used; the message lists every problem."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
        lines = "\n".join(f"  - {problem}" for problem in problems)
        super().__init__(f"{count} in the settings; nothing was created or changed:\n{lines}")


class SettingsFile:
    """A YAML file with settings: the values in effect, and the line of each path, for messages."""

    def __init__(self, name: str, text: str, values: Any = None, *, namespace: str = "") -> None:
        """`namespace` marks a stack file, whose `config` holds each key as `<namespace><key>`."""
        self.name = name
        self.values = values
        self._text = text
        self._namespace = namespace

    @classmethod
    def of(cls, file: Path, name: str, values: Any = None, *, namespace: str = "") -> SettingsFile:
        """Read a file; a missing file has no lines."""
        return cls(name, file.read_text() if file.exists() else "", values, namespace=namespace)

    def problem(self, path: YamlPath, actual: str, expected: str, remedy: str = "") -> Problem:
        """Return a problem of the value at `path`, with its path and line in this file."""
        return Problem(self.name, dotted(self._in_file(path)), actual, expected, remedy, self.line(path))

    def line(self, path: YamlPath) -> int | None:
        """Return the line of the deepest part of `path` that the file contains, None if it has not even the first."""
        node, line = self._root, None
        for part in self._in_file(path):
            step = _child(node, part)
            if step is None:
                break
            line, node = step
        return line

    def contains(self, path: YamlPath) -> bool:
        """Whether the values have a key or an element at `path`."""
        values = self.values
        for part in self._in_values(path):
            in_mapping = isinstance(values, Mapping) and part in values
            if not in_mapping and not (isinstance(values, list) and isinstance(part, int) and part < len(values)):
                return False
            values = values[part]
        return True

    @cached_property
    def _root(self) -> yaml.Node | None:
        """The file's nodes, parsed when the first problem needs a line. Invalid YAML has no lines."""
        try:
            return yaml.compose(self._text, Loader=LOADER)
        except yaml.YAMLError:
            return None

    def _in_values(self, path: YamlPath) -> YamlPath:
        # A stack file overrides jobs under `services`, too.
        return ["services", *path[1:]] if self._namespace and len(path) > 1 and path[0] == "jobs" else path

    def _in_file(self, path: YamlPath) -> YamlPath:
        path = self._in_values(path)
        return ["config", f"{self._namespace}{path[0]}", *path[1:]] if self._namespace and path else path


def _child(node: yaml.Node | None, part: str | int) -> tuple[int, yaml.Node] | None:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if key.value == str(part):
                return key.start_mark.line + 1, value
    if isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
        item = node.value[part]
        return item.start_mark.line + 1, item
    return None


def format_value(value: Any) -> str:
    """Return a value as JSON on one line, at most 60 characters long."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 60 else text[:57] + "..."


def dotted(path: Iterable[str | int]) -> str:
    """Return a path as people write it: `services.backend.after[0]`."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else str(part)
    return text


def from_validation(
    error: ValidationError, model: type[BaseModel], file_of: Callable[[YamlPath, Any], SettingsFile]
) -> list[Problem]:
    """Translate pydantic's errors into problems; `file_of` maps an error's path and details to the file at fault."""
    return [_translate(detail, model, file_of) for detail in error.errors(include_url=False)]


def _translate(detail: Any, model: type[BaseModel], file_of: Callable[[YamlPath, Any], SettingsFile]) -> Problem:
    place, annotation = _strip_union_tags([part for part in detail["loc"] if part != "[key]"], model)
    file = file_of(place, detail)
    if detail["type"] == "extra_forbidden":
        known_keys = _known_keys(_strip_union_tags(detail["loc"][:-1], model)[1])
        near = difflib.get_close_matches(str(place[-1]), known_keys, n=1)
        remedy = f"Did you mean {near[0]}?" if near else ""
        return file.problem(place, "an unknown key", "one of " + ", ".join(known_keys), remedy)
    if detail["type"] == "missing":
        return file.problem(place, NOTHING, "a value (the key is required)")
    if detail["type"] in ("union_tag_invalid", "union_tag_not_found"):
        kinds = ", ".join(_members(annotation))
        key = detail["ctx"]["discriminator"].strip("'")
        actual = format_value(detail["input"][key]) if key in detail["input"] else NOTHING
        return file.problem([*place, key], actual, f"one of {kinds}")
    expected = detail["msg"].removeprefix("Value error, ").removeprefix("Input should be ")
    if detail["type"] == "string_pattern_mismatch":
        expected = f"text that matches {detail['ctx']['pattern']}"
    return file.problem(place, format_value(detail["input"]), expected)


def _strip_union_tags(place: YamlPath, model: type[BaseModel]) -> tuple[YamlPath, Any]:
    """Return an error's path as the file has it, and the annotation of the value at that path.

    Pydantic's path contains the tags of unions: its `postgres.own.limits` is `postgres.limits` in the file.
    """
    file_path: list[str | int] = []
    annotation: Any = model
    for part in place:
        is_collection = get_origin(annotation) in (dict, list)
        is_union = not is_collection and not isinstance(annotation, type)
        if is_union and (member := _members(annotation).get(str(part))):
            annotation = _model_in(member)
            continue
        file_path.append(part)
        if is_collection:
            annotation = get_args(annotation)[-1]
        elif (current := _model_in(annotation)) is not None:
            fields = current.model_fields.items()
            annotation = next((field.annotation for name, field in fields if part in (name, field.alias)), None)
    return file_path, annotation


def _known_keys(annotation: Any) -> list[str]:
    """Return the keys that a mapping of this type accepts."""
    model = _model_in(annotation)
    return sorted(field.alias or name for name, field in model.model_fields.items()) if model else []


def _members(annotation: Any) -> dict[str, Any]:
    """Return tag → member of the tagged union in an annotation, in their order. Without a Tag, it is the `type`."""
    members = {item.tag: annotation for item in getattr(annotation, "__metadata__", ()) if isinstance(item, Tag)}
    if isinstance(annotation, type) and issubclass(annotation, BaseModel) and "type" in annotation.model_fields:
        return dict.fromkeys(get_args(annotation.model_fields["type"].annotation), annotation)
    for inner in getattr(annotation, "__args__", ()):
        members |= _members(inner)
    return members


def _model_in(annotation: Any) -> Any:
    """Return the model inside an annotation: itself, or within a dict, a list or a union."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next(filter(None, map(_model_in, getattr(annotation, "__args__", ()))), None)
