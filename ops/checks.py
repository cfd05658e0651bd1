"""Runs the project's tests, part by part."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Sequence

from toolchain.progress import Progress, SetupError, spell_seconds
from toolchain.pyenv import ensure_dev_packages
from toolchain.workdir import WorkDir

PYTHON = sys.executable
PACKAGES = ("settings", "components", "dashboards", "ops", "toolchain", "demo")

PARTS: dict[str, list[list[str]]] = {
    "lint": [
        # Without its cache, which does not notice that a module it sorts imports by has come or gone.
        [PYTHON, "-m", "ruff", "check", "--no-cache", "."],
        [PYTHON, "-m", "ruff", "format", "--check", "."],
        [PYTHON, "-m", "mypy", *(f"--package={package}" for package in PACKAGES)],
    ],
    **{
        part: [[PYTHON, "-m", "pytest", *(f"tests/{folder}" for folder in folders)]]
        for part, folders in {
            "unit": ("unit", "demo", "dashboards", "kit_grafana", "kit_cloudflared"),
            "rules": ("rules",),
            "alerts": ("alerts",),
            "setup": ("setup",),
            "contract": ("contract",),
            "images": ("images",),
            "live": ("live",),
        }.items()
    },
    "mutants": [[PYTHON, "-m", "tests.rules.mutants"]],
}
"""Quick parts first. `live` starts a private Docker engine and brings the dev stack up on it."""


def run(work: WorkDir, parts: Sequence[str], progress: Progress) -> int:
    """Run the named parts, or all; every part is run even where an earlier one failed. Return the exit code."""
    if unknown := [part for part in parts if part not in PARTS]:
        raise SetupError(f"no such part of the tests: {', '.join(unknown)}", f"Parts: {', '.join(PARTS)}")
    ensure_dev_packages(work, progress)
    failed = []
    for part in parts or PARTS:
        progress.line(f"── {part} ──", "bold")
        began = time.monotonic()
        codes = [subprocess.run(command, cwd=work.checkout, check=False).returncode for command in PARTS[part]]
        good = not any(codes)
        progress.line(
            f"{'✓' if good else '✗'} {part} ({spell_seconds(time.monotonic() - began)})",
            "green" if good else "bold red",
        )
        if not good:
            failed.append(part)
    if failed:
        progress.line(f"failed: {', '.join(failed)}", "bold red")
    return 1 if failed else 0
