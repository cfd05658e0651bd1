"""Whole programs: every shipped stack registers what its snapshot under tests/snapshots says, and nothing else."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from tests.support.recording import RecordedProgram, RecordedResource
from tests.support.shipped import CHECKOUT, record_stack, recorded_stack
from tests.support.snapshots import FLAG, ORDER, Contents, differences, shipped_snapshots, snapshots, write, written

DIFF_LINES = 60  # lines of difference that a failure prints

EDGE, WRITER = "tumulte-edge", "tumulte-edge-writer"


@pytest.fixture(scope="module")
def expected(pytestconfig: pytest.Config) -> dict[str, str]:
    """The snapshots of the repository; rewritten before where the flag says so."""
    if pytestconfig.getoption(FLAG, default=False):
        write(shipped_snapshots())
    return written()


def check(expected: dict[str, str], actual: dict[str, str]) -> None:
    """Fail with what differs, shortened, and with how the snapshots are rewritten."""
    if lines := differences(expected, actual):
        more = [f"… and {len(lines) - DIFF_LINES} more lines"] if len(lines) > DIFF_LINES else []
        rewrite = f"If this is what should be registered: pytest tests/unit/test_snapshots.py {FLAG}"
        pytest.fail("\n".join([*lines[:DIFF_LINES], *more, rewrite]), pytrace=False)


def within(texts: dict[str, str], folder: str) -> dict[str, str]:
    return {path: text for path, text in texts.items() if path.startswith(f"{folder}/")}


def rendered(program: RecordedProgram, stack: str = "dev") -> dict[str, str]:
    """Return the snapshots of one program with the contents of its files."""
    contents = Contents()
    return {**snapshots(program, stack, contents), **contents.files}


@pytest.mark.parametrize("folder", [*ORDER, *(f"files/{stack}" for stack in ORDER)])
def test_a_stack_registers_what_its_snapshot_says(folder: str, expected: dict[str, str]):
    check(within(expected, folder), within(shipped_snapshots(), folder))


def test_every_snapshot_belongs_to_a_stack(expected: dict[str, str]):
    assert expected.keys() == shipped_snapshots().keys()


@pytest.mark.parametrize("stack", ["dev", "production"])
def test_a_preview_registers_what_an_up_registers(stack: str):
    check(rendered(recorded_stack(stack), stack), rendered(record_stack(stack, preview=True), stack))


def test_a_snapshot_holds_no_secret_and_no_path_of_this_machine():
    text = "\n".join(shipped_snapshots().values())
    assert "<secret discord-critical>" in text and "<generated tumulte-app-postgres-password>" in text
    # What the recording makes up in place of secrets.
    for made_up in ("hooks.test", "generated-", "tunnel-token-value", "secret-of-", str(CHECKOUT)):
        assert made_up not in text


@pytest.fixture(scope="module")
def edge() -> RecordedProgram:
    dev = recorded_stack("dev")
    resources = [resource for resource in dev.resources if resource.name.startswith(EDGE)]
    return RecordedProgram(resources, dict(dev.outputs), dict(dev.secret_outputs))


def with_change(program: RecordedProgram, name: str, **changes: Any) -> RecordedProgram:
    resources = [replace(each, **changes) if each.name == name else each for each in program.resources]
    return replace(program, resources=resources)


def new_content(resource: RecordedResource) -> dict[str, Any]:
    (upload,) = resource.inputs["uploads"]
    return {**resource.inputs, "uploads": [{**upload, "content": upload["content"] + "# more\n"}]}


CHANGES: dict[str, Callable[[RecordedProgram], RecordedProgram]] = {
    "an input": lambda edge: with_change(edge, WRITER, inputs={**edge[WRITER].inputs, "memory": 65.0}),
    "a content of a file": lambda edge: with_change(edge, WRITER, inputs=new_content(edge[WRITER])),
    "a secret input": partial(with_change, name=WRITER, secrets=frozenset({"memory"})),
    "a parent": partial(with_change, name=WRITER, parent=""),
    "a type": partial(with_change, name=WRITER, type="docker:index/service:Service"),
    "a dependency": partial(with_change, name=WRITER, depends_on=frozenset({"tumulte-app"})),
    "an option": partial(with_change, name=WRITER, options={"protect": True}),
    "an alias": partial(with_change, name=WRITER, options={"aliases": [{"spec": {"name": "old"}}]}),
    "a resource": lambda edge: replace(edge, resources=[each for each in edge.resources if each.name != WRITER]),
    "an output of a component": lambda edge: replace(edge, outputs={**edge.outputs, EDGE: {"fronts": []}}),
    "an export": lambda edge: replace(edge, outputs={**edge.outputs, "": {**edge.outputs[""], "urls": {}}}),
    "a secret export": lambda edge: replace(edge, secret_outputs={}),
    "a call": lambda edge: replace(edge, calls=[("cloudflare:index/getZone:getZone", {"zoneId": "a"})]),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_of_anything_registered_fails_the_comparison(change: str, edge: RecordedProgram):
    check(rendered(edge), rendered(replace(edge)))
    with pytest.raises(pytest.fail.Exception, match=f"registered now(?s:.*)\n[+-].*(?s:.*){FLAG}"):
        check(rendered(edge), rendered(CHANGES[change](edge)))
