"""What becomes of each variable of a dotenv file: collected first, written when all of it is known to fit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from ops.stack_file import ABSENT, Place, lookup
from settings.example_text import is_placeholder
from settings.product import Product
from settings.stack import Stack


class Verdict(StrEnum):
    """What became of a variable, in a word or two."""

    SET = "set"
    SECRET = "secret set"  # noqa: S105 - a word for people
    ALREADY = "already so"
    DIFFERS = "differs"
    SKIPPED = "left out"
    UNKNOWN = "not known"


@dataclass
class PlanRow:
    """One line of the answer. It never holds a secret's value."""

    variable: str
    verdict: Verdict
    text: str
    secret: str | None = None
    """Name of the secret that it tells of."""


@dataclass(frozen=True)
class SecretValue:
    """A secret of the file."""

    value: str = field(repr=False)
    variable: str = ""


@dataclass
class ImportPlan:
    """The stack as it is, the variables, and what is to be done about them."""

    stack_name: str
    stack: Stack
    product: Product
    """As its file says it, what is disabled included."""

    now: Product
    """As the stack runs it."""

    values: Mapping[str, Any]
    """What the stack file says, plain."""

    product_values: Mapping[str, Any]
    variables: Mapping[str, str]
    rows: list[PlanRow] = field(default_factory=list)
    edits: dict[Place, Any] = field(default_factory=dict)
    edited_by: dict[Place, str] = field(default_factory=dict)
    """Place → the variable that it comes from."""

    secrets: dict[str, SecretValue] = field(default_factory=dict)

    @property
    def stack_file(self) -> str:
        """The stack file's name."""
        return f"Pulumi.{self.stack_name}.yaml"

    @property
    def environment(self) -> str:
        """The environment, as this file may change it."""
        return str(self.edits.get(("environment",), self.stack.environment))

    def skip_empty_and_placeholders(self) -> None:
        """Tell of variables that are empty, or that still show where the real value goes."""
        for name, value in self.variables.items():
            if not value.strip():
                self.add_row(name, Verdict.SKIPPED, "it is empty")
            elif is_placeholder(value):
                self.add_row(name, Verdict.SKIPPED, "a placeholder: put the real value in its place")

    def value(self, name: str) -> str | None:
        """Return the value of a variable that nothing has been said of yet; None also where it is not given."""
        handled = any(row.variable == name for row in self.rows)
        return None if handled else self.variables.get(name)

    def real_value(self, name: str) -> str | None:
        """Return the value of a variable that says something, whatever has been said of it."""
        value = self.variables.get(name, "").strip()
        return value if value and not is_placeholder(value) else None

    def add_row(self, variable: str, verdict: Verdict, text: str) -> None:
        """Add a line to the answer."""
        self.rows.append(PlanRow(variable, verdict, text))

    def setting(self, variable: str, place: Place, value: Any, now: Any) -> None:
        """Have the stack file say a value, unless that is what holds now."""
        text = ".".join(place)
        if value == now:
            self.add_row(variable, Verdict.ALREADY, f"{text}: {_format_value(value)}, said by {self.source_of(place)}")
            return
        self.edit(variable, place, value)
        self.add_row(variable, Verdict.SET, f"{text}: {_format_value(value)}")

    def take_out(self, variable: str, place: Place) -> None:
        """Have the stack file no longer say something, so that the product file's own value holds again."""
        self.edit(variable, place, ABSENT)
        self.add_row(variable, Verdict.SET, f"{'.'.join(place)}: taken out, the product file's own value holds")

    def edit(self, variable: str, place: Place, value: Any) -> None:
        """Have the stack file say a value, or ABSENT, without a line of its own in the answer."""
        self.edits[place] = value
        self.edited_by[place] = variable

    def secret(self, variable: str, name: str, value: str, note: str = "") -> None:
        """Have a secret set. Two variables may give the same one, with the same value."""
        earlier = self.secrets.get(name)
        if earlier is None:
            self.secrets[name] = SecretValue(value, variable)
            self.rows.append(PlanRow(variable, Verdict.SECRET, f"dockyard:{name}{note}", name))
        elif earlier.value == value:
            self.add_row(variable, Verdict.ALREADY, f"the same dockyard:{name} as {earlier.variable} gives")
        else:
            self.add_row(variable, Verdict.DIFFERS, f"not used: {earlier.variable} gives another dockyard:{name}")

    def named_secret(self, variable: str, place: Place, name: str, value: str, now: str | None) -> None:
        """Have a secret set that the stack file names at a place; `now`: what it names there so far."""
        if name != now:
            self.edit(variable, place, name)
        self.secret(variable, name, value, f", named by {'.'.join(place)}")

    def drop_unchanged_secrets(self, current: Mapping[str, str]) -> None:
        """Drop the secrets that have the wanted value already. `there`: name → value."""
        for name, value in current.items():
            if name in self.secrets and self.secrets[name].value == value:
                self._answer_secret(name, Verdict.ALREADY, f"dockyard:{name} has this value")

    def drop_unused_secrets(self, used: frozenset[str]) -> None:
        """Drop the secrets that nothing in the stack would ask for: it would refuse them."""
        for name in self.secrets.keys() - used:
            self._answer_secret(name, Verdict.SKIPPED, f"nothing in this stack asks for the secret {name}")

    def _answer_secret(self, name: str, verdict: Verdict, text: str) -> None:
        del self.secrets[name]
        for row in self.rows:
            if row.secret == name:
                row.verdict, row.text, row.secret = verdict, text, None

    def source_of(self, place: Place) -> str:
        """Return the file that says a setting, for people."""
        if lookup(self.values, place) is not ABSENT:
            return self.stack_file
        places = [place, ("jobs", *place[1:])] if place[0] == "services" else [place]
        if any(lookup(self.product_values, candidate) is not ABSENT for candidate in places):
            return self.stack.product
        return "default"

    def answer(self) -> list[PlanRow]:
        """Return the rows in the order of the dotenv file."""
        order = {name: number for number, name in enumerate(self.variables)}
        return sorted(self.rows, key=lambda row: order.get(row.variable, len(order)))


def _format_value(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
