"""The project's workflows as data."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))
ACTIONS = sorted((ROOT / ".github/actions").glob("*/action.yml"))
CHECKS = "./.github/workflows/checks.yml"


def read(file: Path) -> dict[str, Any]:
    """Read one. YAML takes its key `on` for true."""
    said = yaml.safe_load(file.read_text())
    return {"on" if key is True else key: value for key, value in said.items()}


def workflow(name: str) -> dict[str, Any]:
    return read(ROOT / f".github/workflows/{name}.yml")


def jobs() -> Iterator[tuple[str, dict[str, Any]]]:
    """Every job, by the names of its workflow and its own."""
    for file in WORKFLOWS:
        for name, job in read(file)["jobs"].items():
            yield f"{file.stem}/{name}", job


def steps() -> Iterator[tuple[str, dict[str, Any]]]:
    """Every step of every job and of every action of ours, by where it is and what it is called."""
    for where, job in jobs():
        for step in job.get("steps", ()):
            yield f"{where}/{step.get('name') or step.get('uses')}", step
    for file in ACTIONS:
        for step in read(file)["runs"]["steps"]:
            yield f"{file.parent.name}/{step.get('name') or step.get('uses')}", step


def scripts() -> dict[str, str]:
    """What each step runs in a shell, by its name."""
    return {where: step["run"] for where, step in steps() if "run" in step}
