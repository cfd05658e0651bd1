"""Reads dotenv files: the NAME=value lines of the products' `.env` files."""

from __future__ import annotations

import re
from io import StringIO
from pathlib import Path

from dotenv.parser import Binding, parse_stream
from dotenv.variables import Variable, parse_variables

from settings.problems import NOTHING, Problem, SettingsError


def read_env_file(file: Path) -> dict[str, str]:
    """Return the variables in file order; the last of several values for one name wins.

    `${NAME}` refers to another variable of the same file, never to this machine's environment; single quotes turn
    this off. Raises SettingsError with every invalid line.
    """
    try:
        text = file.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise SettingsError([Problem(str(file), "(file)", NOTHING, "a file of NAME=value lines")]) from None
    except (UnicodeDecodeError, OSError) as error:
        raise SettingsError([Problem(str(file), "(file)", str(error), "a text file of NAME=value lines")]) from error
    problems: list[Problem] = []
    variables: dict[str, str] = {}
    for binding in parse_stream(StringIO(text)):
        line = binding.original.line
        if binding.error:
            # The error omits the line's text: it may be a secret.
            problems.append(Problem(str(file), "(line)", "an invalid line", "NAME=value", line=line))
        elif binding.key is not None:
            variables[binding.key] = _expand(binding, variables, str(file), problems)
    if problems:
        raise SettingsError(problems)
    return variables


def _expand(binding: Binding, earlier: dict[str, str], file: str, problems: list[Problem]) -> str:
    value = binding.value or ""
    if re.match(r"\s*(export\s+)?[^=]+=\s*'", binding.original.string):
        return value
    atoms = list(parse_variables(value))
    for atom in atoms:
        if isinstance(atom, Variable) and atom.name not in earlier and atom.default is None:
            expected = f"a variable defined above {binding.key} in this file"
            problems.append(Problem(file, str(binding.key), f"${{{atom.name}}}", expected, line=binding.original.line))
    return "".join(atom.resolve(earlier) for atom in atoms)
