"""Reads docs/seeds.md: which figure of which seed stands where, and how it shows in a container."""

import importlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

CHECKOUT = Path(__file__).resolve().parents[2]
FILE = CHECKOUT / "docs/seeds.md"


@dataclass(frozen=True)
class Row:
    """One figure."""

    stack: str
    figure: str
    value: str
    file: str
    path: str
    container: str
    checks: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.stack}: {self.figure}"

    @property
    def carried(self) -> Any:
        """What stands at its path. Raises KeyError or AttributeError where nothing does."""
        if self.file.endswith(".py"):
            module, (name, *rest) = self.file.removesuffix(".py").replace("/", "."), self.path.split(".")
            found = getattr(importlib.import_module(module), name)
        else:
            found, rest = _read(self.file), self.path.split(".")
            if rest[0].startswith("dockyard:"):
                found = found["config"]
        for key in rest:
            found = found[key]
        return found


@cache
def _read(file: str) -> Any:
    return yaml.safe_load((CHECKOUT / file).read_text())


def rows() -> list[Row]:
    """Return every row of the file. Raises ValueError for a row that cannot be read."""
    return list(_rows(FILE.read_text()))


def _rows(text: str) -> Iterator[Row]:
    stack = ""
    for number, line in enumerate(text.splitlines(), start=1):
        if line.startswith("## "):
            stack = ""
        elif found := re.match(r"Stack `([a-z-]+)`", line):
            stack = found[1]
        elif line.startswith("|") and not line.startswith(("| figure |", "|---")):
            yield _row(line, number, stack)


def _row(line: str, number: int, stack: str) -> Row:
    cells = [cell.strip() for cell in line.strip("|").split(" | ")]
    carrier = re.fullmatch(r"`([\w./-]+): ([\w.:-]+)`", cells[2]) if len(cells) == 5 else None
    checks = tuple(re.findall(r"`([^`]+)`", cells[4])) if carrier else ()
    if not (stack and carrier and checks):
        raise ValueError(f"docs/seeds.md:{number}: not a row that can be read: {line}")
    return Row(stack, cells[0], cells[1], carrier[1], carrier[2], cells[3], checks)
