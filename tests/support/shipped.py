"""The shipped stacks, and the example of docs/, run as whole programs against the recording engine."""

import json
import runpy
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pulumi

from settings import loader
from settings.loader import GENERATED_SECRETS, Configuration, Settings, known_secrets, load, read_stack_file
from settings.machine import Machine
from tests.support.people import ALICE
from tests.support.recording import RecordedProgram, record

CHECKOUT = Path(__file__).resolve().parents[2]
EXAMPLES = CHECKOUT / "docs/examples"
STACKS = sorted(path.name.split(".")[1] for path in CHECKOUT.glob("Pulumi.*.yaml"))
EXAMPLE_STACKS = sorted(path.name.split(".")[1] for path in EXAMPLES.glob("Pulumi.*.yaml"))
TOOL_PEOPLE = "tool-people"
"""The name of the secret that holds the people of a tool's log-in, where a test gives a tool one."""


def configured(stack: str, changes: Mapping[str, Any] | None = None) -> Configuration:
    """Return a stack's keys with `changes`; identifiers that the shipped files leave open are filled in."""
    if stack in EXAMPLE_STACKS:
        values = dict(read_stack_file(EXAMPLES, stack).values)
        # a product file is read from the checkout, and the example's stays where it is.
        values["product"] = str((EXAMPLES / values["product"]).relative_to(CHECKOUT))
    else:
        values = dict(read_stack_file(CHECKOUT, stack).values)
    text = json.dumps(values).replace("0" * 32, "a" * 32)
    return Configuration({**json.loads(text), **(changes or {})}, frozenset())


@cache
def shipped_settings(stack: str) -> Settings:
    with patch.object(loader, "read_machine", lambda _: Machine()):
        return load(configured(stack, {"preview_without_secrets": True}), stack, preview=True)


def record_stack(stack: str, changes: Mapping[str, Any] | None = None, *, preview: bool = False) -> RecordedProgram:
    """Run the program on a stack with `changes`; a secret that a person must set is `https://hooks.test/<name>`."""
    configuration = configured(stack, {"preview_without_secrets": True, **(changes or {})})
    settings = load(configuration, stack, preview=True) if changes else shipped_settings(stack)
    names = known_secrets(settings.stack, settings.product) - {*GENERATED_SECRETS, *settings.product.secrets}
    secrets = {name: ALICE if name == TOOL_PEOPLE else f"https://hooks.test/{name}" for name in names}
    plain = {
        name: value if isinstance(value, str) else json.dumps(value) for name, value in configuration.values.items()
    }

    def program() -> None:
        values = {f"dockyard:{name}": value for name, value in {**plain, **secrets}.items()}
        pulumi.runtime.set_all_config(values, [f"dockyard:{name}" for name in secrets])
        runpy.run_path(str(CHECKOUT / "__main__.py"), run_name="__main__")

    with patch.object(loader, "read_machine", lambda _: Machine()):
        return record(program, stack=stack, preview=preview)


@cache
def recorded_stack(stack: str) -> RecordedProgram:
    """Return the recording of a shipped stack, made once a run: it takes seconds. Whoever changes it takes a copy."""
    return record_stack(stack)
