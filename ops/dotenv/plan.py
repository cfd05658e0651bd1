"""The plan of a dotenv import: what becomes of each variable. It is written only when all of it is valid."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from ops.dotenv.stack_file import ABSENT, SettingPath
from settings.environment import SettingsFiles
from settings.placeholders import is_placeholder
from settings.product import Product
from settings.stack import Stack


class Verdict(StrEnum):
    """The outcome of one variable."""

    SET = "set"
    SECRET = "secret set"  # noqa: S105 - a word for people
    ALREADY = "unchanged"
    DIFFERS = "differs"
    SKIPPED = "skipped"
    UNKNOWN = "unknown"


@dataclass
class PlanRow:
    """One line of the printed plan. It never holds a secret's value."""

    variable: str
    verdict: Verdict
    text: str
    secret: str | None = None
    """Name of the secret that the line is about."""


@dataclass(frozen=True)
class SecretValue:
    """A secret from the dotenv file, and the variable that holds it."""

    value: str = field(repr=False)
    variable: str = ""


@dataclass
class ImportPlan:
    """The current stack, the variables, and the edits and secrets that they lead to."""

    stack_name: str
    stack: Stack
    product: Product
    """As the product file declares it, disabled workloads included."""

    effective: Product
    """The product merged with the stack's settings."""

    files: SettingsFiles
    variables: Mapping[str, str]
    rows: list[PlanRow] = field(default_factory=list)
    edits: dict[SettingPath, Any] = field(default_factory=dict)
    edited_by: dict[SettingPath, str] = field(default_factory=dict)
    """Path → the variable that sets it."""

    secrets: dict[str, SecretValue] = field(default_factory=dict)

    @property
    def stack_file(self) -> str:
        """The stack file's name."""
        return f"Pulumi.{self.stack_name}.yaml"

    @property
    def environment(self) -> str:
        """The environment after the import."""
        return str(self.edits.get(("environment",), self.stack.environment))

    def skip_empty_and_placeholders(self) -> None:
        """Skip variables that are empty or still hold a placeholder."""
        for name, value in self.variables.items():
            if not value.strip():
                self.add_row(name, Verdict.SKIPPED, "it is empty")
            elif is_placeholder(value):
                self.add_row(name, Verdict.SKIPPED, "a placeholder: replace it with the real value")

    def value(self, name: str) -> str | None:
        """Return the value of a variable without an outcome yet, None if it has one or is not in the file."""
        return None if any(row.variable == name for row in self.rows) else self.variables.get(name)

    def real_value(self, name: str) -> str | None:
        """Return a variable's value unless it is empty or a placeholder, whether or not it has an outcome already."""
        value = self.variables.get(name, "").strip()
        return value if value and not is_placeholder(value) else None

    def add_row(self, variable: str, verdict: Verdict, text: str) -> None:
        """Add a line to the printed plan."""
        self.rows.append(PlanRow(variable, verdict, text))

    def compare(self, variable: str, same: bool, already: str, differs: str) -> None:
        """Add the line of a variable whose value is the `same` as another, or is not used because of it."""
        verdict, text = (Verdict.ALREADY, already) if same else (Verdict.DIFFERS, f"not used: {differs}")
        self.add_row(variable, verdict, text)

    def setting(self, variable: str, path: SettingPath, value: Any, current: Any) -> None:
        """Set a value in the stack file, unless it is in effect already (`current`)."""
        text = ".".join(path)
        if value == current:
            self.add_row(variable, Verdict.ALREADY, f"{text}: {_format_value(value)}, from {self.source_of(path)}")
            return
        self.edit(variable, path, value)
        self.add_row(variable, Verdict.SET, f"{text}: {_format_value(value)}")

    def override(self, variable: str, path: SettingPath, value: Any, declared: Any, overridden: Any) -> None:
        """Set a value in the stack file, or remove it there if the product file declares the same.

        `overridden` is the current value in the stack file, None if there is none.
        """
        if declared == value and overridden not in (None, value):
            self.edit(variable, path, ABSENT)
            self.add_row(variable, Verdict.SET, f"{'.'.join(path)}: removed, the product file's value applies")
        else:
            self.setting(variable, path, value, declared if overridden is None else overridden)

    def edit(self, variable: str, path: SettingPath, value: Any) -> None:
        """Set a value in the stack file, or remove it with ABSENT, without adding a line to the printed plan."""
        self.edits[path] = value
        self.edited_by[path] = variable

    def secret(self, variable: str, name: str, value: str, note: str = "") -> None:
        """Set a secret. Two variables may hold the same secret, if their values are equal."""
        earlier = self.secrets.get(name)
        if earlier is None:
            self.secrets[name] = SecretValue(value, variable)
            self.rows.append(PlanRow(variable, Verdict.SECRET, f"dockyard:{name}{note}", name))
        else:
            already = f"the same dockyard:{name} as {earlier.variable}"
            self.compare(variable, earlier.value == value, already, f"{earlier.variable} sets another dockyard:{name}")

    def named_secret(self, variable: str, path: SettingPath, name: str, value: str, current: str | None) -> None:
        """Set a secret that the stack file names at `path`; `current` is the name that it holds there so far."""
        if name != current:
            self.edit(variable, path, name)
        self.secret(variable, name, value, f", named by {'.'.join(path)}")

    def drop_unchanged_secrets(self, current: Mapping[str, str]) -> None:
        """Drop the secrets that have their planned value already. `current`: name → value."""
        for name, value in current.items():
            if name in self.secrets and self.secrets[name].value == value:
                self._answer_secret(name, Verdict.ALREADY, f"dockyard:{name} already has this value")

    def drop_unused_secrets(self, used: frozenset[str]) -> None:
        """Drop the secrets that nothing in the stack uses: the settings would reject them."""
        for name in self.secrets.keys() - used:
            self._answer_secret(name, Verdict.SKIPPED, f"this stack uses no secret {name}")

    def _answer_secret(self, name: str, verdict: Verdict, text: str) -> None:
        del self.secrets[name]
        for row in self.rows:
            if row.secret == name:
                row.verdict, row.text, row.secret = verdict, text, None

    def source_of(self, path: SettingPath) -> str:
        """Return the name of the file that sets a setting, or `default`."""
        if self.files.stack.contains(path):
            return self.stack_file
        job_path = ("jobs", *path[1:]) if path[0] == "services" else path
        declared = self.files.product.contains(path) or self.files.product.contains(job_path)
        return self.stack.product if declared else "default"

    def sorted_rows(self) -> list[PlanRow]:
        """Return the lines of the printed plan in the order of the dotenv file."""
        order = {name: number for number, name in enumerate(self.variables)}
        return sorted(self.rows, key=lambda row: order.get(row.variable, len(order)))


def _format_value(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
