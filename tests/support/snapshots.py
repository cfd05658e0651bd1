"""Snapshots: what each shipped stack registers, as text files under tests/snapshots.

A stack has a folder, with one file for each component and `stack.yaml` for the rest. A content that is a file of the
repository is named by its path. Other long contents are in `files/`, once, as the first stack in ORDER has them; that
of another stack is a diff where it differs in more than names, and whole where it differs in most.
"""

from __future__ import annotations

import base64
import bz2
import difflib
import io
import json
import re
import shutil
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from program.urls import grafana_root_url
from settings.names import PACKED, STAGE
from tests.support.recording import RecordedProgram, RecordedResource
from tests.support.shipped import CHECKOUT, EXAMPLE_STACKS, STACKS, recorded_stack, shipped_settings

FOLDER = CHECKOUT / "tests/snapshots"
FLAG = "--update-snapshots"
ORDER = [*(stack for stack in ("production", "dev") if stack in STACKS), *sorted({*STACKS} - {"production", "dev"})]
ORDER += EXAMPLE_STACKS
"""The stacks, those that have the most first: `files/` holds contents as these have them."""

MOST_CHANGES = 0.15  # a content with more lines of changes than this share of its lines is stored whole

INLINE_LINES = 6  # a content of as many lines stands where it is used

WIDTH = 110
PLAIN = re.compile(r"[\w/.<>@+(*][^\n]*")
AMBIGUOUS = re.compile(r": |:$| #|^(true|false|null|[\d.e+-]+)$|[^\S ]| $")
MASKS = (
    (re.compile(r"https://hooks\.test/([\w-]+)"), r"<secret \1>"),
    (re.compile(r"generated-([\w-]+)"), r"<generated \1>"),
    (re.compile(r"secret-of-([\w-]+)"), r"<secret of \1>"),
    (re.compile(r"tunnel-token-value"), "<tunnel token>"),
)


@dataclass(frozen=True)
class Names:
    """What the same content may say differently in two stacks."""

    grafana: str
    product: str
    environment: str
    stack: str

    def put_in_place_of(self, other: Names, text: str) -> str:
        """Return another stack's text with the names of this one."""
        text = text.replace(other.grafana, self.grafana).replace(other.product, self.product)
        return re.sub(rf"(?<=environment)(\W{{1,4}}){other.environment}\b", rf"\g<1>{self.environment}", text)


@dataclass
class Contents:
    """Contents of files, each as the first stack that had it."""

    files: dict[str, str] = field(default_factory=dict)  # path, which starts with the name of the stack → content
    paths: dict[str, str] = field(default_factory=dict)  # content → its path

    def refer(self, place: str, text: str, stack: str) -> str:
        """Return what the snapshot of a stack says of a content at a place, and take the content where it is new."""
        if text in (repository := repository_files()):
            return repository[text]
        if text in self.paths:
            return f"files/{self.paths[text]}"
        shortest: list[str] = []
        for owner in ORDER:
            if (path := f"{owner}/{place}") in self.files:
                expected = names_of(stack).put_in_place_of(names_of(owner), self.files[path])
                if expected == text:
                    return f"files/{path}, with the names of this stack"
                changes = [*difflib.unified_diff(expected.split("\n"), text.split("\n"), lineterm="", n=0)][2:]
                note = f"files/{path}, with the names of this stack and these changes"
                shortest = min(filter(None, (shortest, [note, *changes])), key=len)
        if shortest and len(shortest) < text.count("\n") * MOST_CHANGES:
            return "\n".join(shortest)
        self.files[f"{stack}/{place}"] = text
        self.paths[text] = f"{stack}/{place}"
        return f"files/{stack}/{place}"


@cache
def repository_files() -> dict[str, str]:
    """Return content → path of the scripts and rules that a stack may get as they are in the repository."""
    files = [
        file
        for folder in ("components", "runtime", "rules")
        for file in (CHECKOUT / folder).rglob("*")
        if file.is_file()
    ]
    texts = {file: file.read_text() for file in files if file.suffix in (".sh", ".yml", ".yaml")}
    return {text: str(file.relative_to(CHECKOUT)) for file, text in texts.items()}


@cache
def names_of(stack: str) -> Names:
    settings = shipped_settings(stack)
    return Names(grafana_root_url(settings), settings.product.name, settings.stack.environment, stack)


@cache
def shipped_snapshots() -> dict[str, str]:
    """Return every snapshot of the shipped stacks: path below FOLDER → text."""
    contents, texts = Contents(), {}
    for stack in ORDER:
        texts.update(snapshots(recorded_stack(stack), stack, contents))
    return {**texts, **{f"files/{path}": f"{text}\n" for path, text in contents.files.items()}}


def snapshots(program: RecordedProgram, stack: str, contents: Contents) -> dict[str, str]:
    """Return the snapshots of one program: path → text. What is new to `contents` is added to it."""
    product = names_of(stack).product
    # a network has the name of its component.
    components = {resource.name: resource for resource in program.resources if resource.type.startswith("dockyard:")}
    sections: dict[str, list[str]] = {}
    for resource in sorted(program.resources, key=lambda each: (each.name, each.type)):
        component = _component(resource, components)
        file = component.removeprefix(f"{product}-") or "stack"
        sections.setdefault(file, []).append(_resource(resource, program, product, stack, contents))
    last = {"outputs": _marked(program.outputs.get("", {}), program.secret_outputs.get("", frozenset()))}
    if program.calls:
        last["calls"] = [
            {"function": token, "arguments": arguments} for token, arguments in sorted(program.calls, key=str)
        ]
    sections.setdefault("stack", []).append("\n".join(_lines(last)))
    return {f"{stack}/{file}.yaml": masked("\n\n".join(texts)) + "\n" for file, texts in sections.items()}


def differences(expected: Mapping[str, str], actual: Mapping[str, str]) -> list[str]:
    lines: list[str] = []
    for path in sorted({*expected, *actual}):
        before, after = expected.get(path, ""), actual.get(path, "")
        if before != after:
            old, new = before.splitlines(), after.splitlines()
            lines += difflib.unified_diff(old, new, f"tests/snapshots/{path}", "registered now", lineterm="", n=2)
    return lines


def written(folder: Path = FOLDER) -> dict[str, str]:
    return {str(file.relative_to(folder)): file.read_text() for file in sorted(folder.rglob("*")) if file.is_file()}


def write(texts: Mapping[str, str], folder: Path = FOLDER) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    for path, text in texts.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)


def masked(text: str) -> str:
    """Return a text with a name in place of each secret that the recording made up."""
    for pattern, mask in MASKS:
        text = pattern.sub(mask, text)
    return text


def _component(resource: RecordedResource, components: Mapping[str, RecordedResource]) -> str:
    while resource.parent:
        resource = components[resource.parent]
    return resource.name if resource.type.startswith("dockyard:") else ""


def _resource(
    resource: RecordedResource, program: RecordedProgram, product: str, stack: str, contents: Contents
) -> str:
    inputs = dict(resource.inputs)
    if uploads := inputs.get("uploads"):
        place = resource.name.removeprefix(f"{product}-").removesuffix("-writer")
        inputs["uploads"] = [_upload(upload, place, stack, contents) for upload in uploads]
    if "__provider" in inputs:
        # The pickled class: its bytes differ from one version of Python to the next.
        inputs["__provider"] = re.findall(r"_?[A-Z]\w+Provider", str(base64.b64decode(inputs["__provider"])))
    parts = {
        "parent": resource.parent,
        "options": dict(sorted(resource.options.items())),
        "depends_on": sorted(resource.depends_on),
        "inputs": _marked(inputs, resource.secrets),
        "outputs": program.outputs.get(resource.name, {}) if resource.type.startswith("dockyard:") else {},
    }
    lines = _lines({key: value for key, value in parts.items() if value}, 1)
    return "\n".join([f"{resource.name}: {resource.type}", *lines])


def _upload(upload: Mapping[str, Any], place: str, stack: str, contents: Contents) -> dict[str, Any]:
    content = upload["content"]
    if upload["file"] == PACKED:
        with tarfile.open(fileobj=io.BytesIO(bz2.decompress(base64.b64decode(content)))) as archive:
            files = {member.name: archive.extractfile(member).read().decode() for member in archive}  # type: ignore[union-attr] # only files are in it
        packed = {path: _content(text, f"{place}/{path}", stack, contents) for path, text in sorted(files.items())}
        return {**upload, "content": packed}
    path = f"{place}/{upload['file'].removeprefix(f'{STAGE}/')}"
    return {**upload, "content": _content(content, path, stack, contents)}


def _content(text: str, path: str, stack: str, contents: Contents) -> str:
    if path.endswith(".json"):
        text = "\n".join(_lines(json.loads(text)))
    if text.count("\n") < INLINE_LINES:
        return text
    return contents.refer(path, masked(text), stack)


def _marked(value: Any, secrets: frozenset[str], path: str = "") -> Any:
    """Return a value with ` (secret)` after each key whose value is marked as secret."""
    if isinstance(value, dict):
        inner = {key: f"{path}.{key}" if path else key for key in value}
        return {
            f"{key} (secret)" if inner[key] in secrets else key: _marked(value[key], secrets, inner[key])
            for key in value
        }
    if isinstance(value, list):
        items = [_marked(item, secrets, f"{path}[{index}]") for index, item in enumerate(value)]
        return [{"(secret)": item} if f"{path}[{index}]" in secrets else item for index, item in enumerate(items)]
    return value


def _lines(value: Any, depth: int = 0) -> list[str]:
    """Return a value as lines of YAML, keys in order; what fits on a line stands on one."""
    indent = "  " * depth
    if isinstance(value, Mapping):
        return [line for key in sorted(value) for line in _entry(f"{indent}{key}:", value[key], depth)]
    if isinstance(value, list | tuple):
        return [line for item in value for line in _entry(f"{indent}-", item, depth)]
    return [f"{indent}{_scalar(value)}"]


def _entry(start: str, value: Any, depth: int) -> Iterator[str]:
    inner = "  " * (depth + 1)
    if isinstance(value, str) and "\n" in value:
        yield f"{start} |"
        yield from (f"{inner}{line}" if line else "" for line in value.split("\n"))
    elif not isinstance(value, Mapping | Sequence) or isinstance(value, str):
        yield f"{start} {_scalar(value)}"
    elif (short := _flow(value)) and len(start) + len(short) < WIDTH:
        yield f"{start} {short}"
    elif start.endswith("-"):
        first, *rest = _lines(value, depth + 1)
        yield f"{start} {first.lstrip(' ')}"
        yield from rest
    else:
        yield start
        yield from _lines(value, depth + 1)


def _flow(value: Any) -> str:
    """Return a value on one line, empty where a string of it has several."""
    if isinstance(value, Mapping):
        parts = [(f"{key}: ", _flow(value[key])) for key in sorted(value)]
        return "" if any(not text for _, text in parts) else f"{{{', '.join(key + text for key, text in parts)}}}"
    if isinstance(value, list | tuple):
        items = [_flow(item) for item in value]
        return "" if any(not text for text in items) else f"[{', '.join(items)}]"
    if isinstance(value, str) and "\n" in value:
        return ""
    text = _scalar(value)
    return json.dumps(value, ensure_ascii=False) if isinstance(value, str) and re.search(r"[,\[\]{}]", text) else text


def _scalar(value: Any) -> str:
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, str) and PLAIN.fullmatch(value) and not AMBIGUOUS.search(value):
        return value
    return json.dumps(value, ensure_ascii=False)
