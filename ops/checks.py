"""Runs the project's tests, part by part."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from toolchain.progress import Progress, SetupError, spell_seconds
from toolchain.pyenv import ensure_dev_packages
from toolchain.workdir import WorkDir

PYTHON = sys.executable
PACKAGES = ("settings", "components", "dashboards", "ops", "policy", "toolchain", "demo")

PRODUCTS = ("test_5_monitoring.py", "test_5_products.py", "test_7_alerts.py", "test_8_tunnel.py")
"""Live tests that wait most of their time, for scrapes, rules and messages; the rest of tests/live measures times."""

BACKUPS = ("test_backups.py", "test_restores.py")
"""Tests of tests/images that wait for restic to derive keys, and for what fails to be tried again."""

PARTS: dict[str, list[list[str]]] = {
    "lint": [
        # Without its cache, which does not notice that a module it sorts imports by has come or gone.
        [PYTHON, "-m", "ruff", "check", "--no-cache", "."],
        [PYTHON, "-m", "ruff", "format", "--check", "."],
        [PYTHON, "-m", "mypy", *(f"--package={package}" for package in PACKAGES)],
    ],
    **{
        part: [[PYTHON, "-m", "pytest", *(f"tests/{told}" for told in asked)]]
        for part, asked in {
            "unit": ("unit", "demo", "dashboards", "kit_grafana", "kit_cloudflared"),
            "rules": ("rules",),
            "setup": ("setup",),
            "contract": ("contract",),
            "alerts": ("alerts",),
            "backups": [f"images/{file}" for file in BACKUPS],
            "products": [f"live/{file}" for file in PRODUCTS],
        }.items()
    },
    "images": [[PYTHON, "-m", "pytest", "tests/images", *(f"--ignore=tests/images/{file}" for file in BACKUPS)]],
    "live": [[PYTHON, "-m", "pytest", "tests/live", *(f"--ignore=tests/live/{file}" for file in PRODUCTS)]],
    "mutants": [[PYTHON, "-m", "tests.rules.mutants"]],
}
"""`live` and `products` start a private Docker engine each and bring the shipped stacks up on it."""

TOGETHER = ("products", "backups", "contract", "alerts", "unit", "rules", "mutants")
"""Parts that run side by side, as many at once as LANES, the longest first. All others measure times, or have the
machine's cores in use."""

LANES = 2


def run(work: WorkDir, parts: Sequence[str], progress: Progress) -> int:
    """Run the named parts, or all; every part is run even where an earlier one failed. Return the exit code."""
    if unknown := [part for part in parts if part not in PARTS]:
        raise SetupError(f"no such part of the tests: {', '.join(unknown)}", f"Parts: {', '.join(PARTS)}")
    ensure_dev_packages(work, progress)
    failed = []
    for group in groups(parts or [*PARTS]):
        progress.line(f"── {', '.join(group)} ──", "bold")
        if len(group) > 1:
            progress.line("side by side; what each says comes when it ends")
        with ThreadPoolExecutor(LANES) as lanes:
            running = [lanes.submit(_run_part, work, part, progress, aside=len(group) > 1) for part in group]
            failed += [part for part, lane in zip(group, running, strict=True) if not lane.result()]
    if failed:
        progress.line(f"failed: {', '.join(failed)}", "bold red")
    return 1 if failed else 0


def groups(parts: Sequence[str]) -> list[tuple[str, ...]]:
    """Return what runs one after the other; what is in one group runs side by side, and after what runs alone."""
    asked = dict.fromkeys(parts)
    aside = tuple(part for part in TOGETHER if part in asked)
    return [(part,) for part in asked if part not in aside] + ([aside] if aside else [])


def _run_part(work: WorkDir, part: str, progress: Progress, *, aside: bool) -> bool:
    """Run one part; say how it went and return whether it went well. `aside` keeps its output until it has ended."""
    began = time.monotonic()
    with tempfile.TemporaryFile("w+") as log:
        told: dict[str, Any] = {"stdout": log, "stderr": subprocess.STDOUT} if aside else {}
        codes = [subprocess.run(command, cwd=work.checkout, check=False, **told).returncode for command in PARTS[part]]
        log.seek(0)
        sys.stdout.write(log.read())
        sys.stdout.flush()
    good = not any(codes)
    progress.line(
        f"{'✓' if good else '✗'} {part} ({spell_seconds(time.monotonic() - began)})",
        "green" if good else "bold red",
    )
    return good
