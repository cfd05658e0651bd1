"""Runs the project's tests, several parts at a time, and reports each part's seconds and the slowest tests."""

from __future__ import annotations

import re
import secrets
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree

from machine.progress import Progress, SetupError, format_seconds
from machine.workdir import WorkDir
from toolchain.dev_packages import ensure_dev_packages

PYTHON = sys.executable

FOLDERS = {
    **{
        part: (part,)
        for part in ("live", "products", "images", "backups", "contract", "setup", "alerts", "rules", "lint")
    },
    "unit": ("unit", "demo", "dashboards", "kit_grafana", "kit_cloudflared"),
}
"""Part → folders of tests/ that pytest runs."""

PARTS = ("live", "products", "images", "unit", "contract", "backups", "rules", "setup", "alerts", "mutants", "lint")
"""All parts in the order in which they start: the longest first, so that no long part runs alone at the end."""

LANES = 3
"""Parts that run side by side on 2 cores: the live parts spend half of their time waiting for scrapes and health
checks."""

SOAK = "soak"
"""The word that asks for the full form of the parts, tests marked `soak` included."""

HEARTBEAT_SECONDS = 30.0
SLOWEST = 10


class TimedTest(NamedTuple):
    """How long one test took, its fixtures included."""

    seconds: float
    part: str
    name: str


@dataclass
class PartResult:
    """The result of one part."""

    part: str
    passed: bool
    seconds: float
    tests: list[TimedTest] = field(default_factory=list)
    failures: int = 0


@dataclass
class PartRunner:
    """One run of some parts: what is fixed for the whole run, and which processes are running."""

    work: WorkDir
    progress: Progress
    seed: int
    """Seeds the order of the tests and the sample of mutants."""

    soak: bool
    side_by_side: bool
    """Whether the output of a part goes to its log until the part ends."""

    running: dict[str, tuple[float, subprocess.Popen[bytes]]] = field(default_factory=dict)
    """Part → when it started, by time.monotonic, and its process."""

    @property
    def logs(self) -> Path:
        """The folder of logs and reports, one of each for a part."""
        return self.work.logs / "tests"

    def commands(self, part: str) -> list[list[str]]:
        """Return the commands of a part."""
        if part == "mutants":
            return [[PYTHON, "-m", "tests.rules.mutants", *(["--all"] if self.soak else ["--seed", str(self.seed)])]]
        options = [f"--junitxml={self.report(part)}", f"--randomly-seed={self.seed}", "-p", "no:cacheprovider"]
        if self.soak:
            options += ["-m", ""]
        folders = [f"tests/{folder}" for folder in FOLDERS[part]]
        if part == "lint":
            packages = sorted({file.parent.name for file in self.work.checkout.glob("*/*.py")} - {"docs", "tests"})
            return [
                # Without its cache, which does not notice that a module it sorts imports by has come or gone.
                [PYTHON, "-m", "ruff", "check", "--no-cache", "."],
                [PYTHON, "-m", "ruff", "format", "--check", "."],
                [PYTHON, "-m", "mypy", *(f"--package={package}" for package in packages)],
                # Names and imports, which the linters above have no rules for.
                [PYTHON, "-m", "pytest", *options, *folders],
            ]
        return [[PYTHON, "-m", "pytest", *options, *folders]]

    def report(self, part: str) -> Path:
        """The file to which pytest writes the times of a part's tests."""
        return self.logs / f"{part}.xml"


def run(work: WorkDir, words: Sequence[str], progress: Progress, *, seed: int | None = None) -> int:
    """Run the named parts, or all; with `soak` among the words in their full form. Return the exit code.

    Every part runs even where an earlier one failed. Tests run in a random order; `seed` repeats the order of an
    earlier run. Raises SetupError for an unknown part.
    """
    parts = [word for word in words if word != SOAK]
    if unknown := [part for part in parts if part not in PARTS]:
        raise SetupError(f"unknown part of the tests: {', '.join(unknown)}", f"Parts: {', '.join(PARTS)}, and {SOAK}")
    ensure_dev_packages(work, progress)
    chosen = [part for part in PARTS if part in parts or not parts]
    started = time.monotonic()
    seed = secrets.randbelow(2**32) if seed is None else seed
    runner = PartRunner(work, progress, seed, soak=SOAK in words, side_by_side=len(chosen) > 1)
    runner.logs.mkdir(parents=True, exist_ok=True)
    progress.line(f"order of the tests: --seed {seed}", "bold")
    if runner.side_by_side:
        progress.line(
            f"{LANES} parts run side by side; each prints its output when it ends (until then: {runner.logs})"
        )
    # A shell starts what runs in the background with SIGINT ignored, and the parts would inherit that.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    results = _run_all(runner, chosen)
    for line in summary(results, time.monotonic() - started, seed):
        progress.line(line)
    failed = [result.part for result in results if not result.passed]
    if failed:
        progress.line(f"failed: {', '.join(failed)}", "bold red")
    return 1 if failed else 0


def _run_all(runner: PartRunner, parts: Sequence[str]) -> list[PartResult]:
    """Run the parts in lanes. An interruption reaches every running part, whose fixtures then clean up."""
    with ThreadPoolExecutor(LANES) as lanes:
        futures: list[Future[PartResult]] = []
        try:
            for part in parts:
                futures.append(lanes.submit(_run_part, runner, part))
            while wait(futures, timeout=HEARTBEAT_SECONDS).not_done:
                _print_progress(runner)
        except KeyboardInterrupt:
            for future in futures:
                future.cancel()
            for _, process in [*runner.running.values()]:
                process.send_signal(signal.SIGINT)
            raise
    return [future.result() for future in futures]


def _print_progress(runner: PartRunner) -> None:
    """Print how far each running part has got, by the last percentage in its log."""
    states = []
    for part, (started, _) in [*runner.running.items()]:
        percentages = re.findall(r"\[ *(\d+)%\]", (runner.logs / f"{part}.log").read_text(errors="replace"))
        progress = f", {percentages[-1]} %" if percentages else ""
        states.append(f"{part} ({format_seconds(time.monotonic() - started)}{progress})")
    if states and runner.side_by_side:
        runner.progress.line(f"  · running: {', '.join(states)}", "dim")


_printing = threading.Lock()


def _run_part(runner: PartRunner, part: str) -> PartResult:
    """Run the commands of one part, print their output and the result."""
    runner.report(part).unlink(missing_ok=True)
    started = time.monotonic()
    codes = []
    with (runner.logs / f"{part}.log").open("wb") as log:
        output, errors = (log, subprocess.STDOUT) if runner.side_by_side else (None, None)
        for command in runner.commands(part):
            process = subprocess.Popen(command, cwd=runner.work.checkout, stdout=output, stderr=errors)
            runner.running[part] = (started, process)
            codes.append(process.wait())
            del runner.running[part]
    result = PartResult(part, not any(codes), time.monotonic() - started)
    _read_report(runner.report(part), result)
    with _printing:
        if runner.side_by_side:
            runner.progress.line(f"── {part} ──", "bold")
            sys.stdout.write((runner.logs / f"{part}.log").read_text(errors="replace"))
            sys.stdout.flush()
        mark, style = ("✓", "green") if result.passed else ("✗", "bold red")
        runner.progress.line(f"{mark} {part} ({format_seconds(result.seconds)})", style)
    return result


def _read_report(report: Path, result: PartResult) -> None:
    """Add the tests of a JUnit report to a result. A part without pytest has none."""
    if not report.exists():
        return
    for case in ElementTree.parse(report).iter("testcase"):  # noqa: S314 - pytest wrote it
        file = case.get("classname", "").replace(".", "/")
        result.tests.append(TimedTest(float(case.get("time", 0)), result.part, f"{file}::{case.get('name')}"))
        result.failures += any(case.find(kind) is not None for kind in ("failure", "error"))


def summary(results: Sequence[PartResult], seconds: float, seed: int) -> list[str]:
    """Return the lines that end a run: the seconds of each part, the slowest tests and the totals."""
    lines = ["", "part            time    tests"]
    for result in sorted(results, key=lambda result: -result.seconds):
        mark = "" if result.passed else "  FAILED"
        lines.append(f"{result.part:<10} {format_seconds(result.seconds):>9} {len(result.tests) or '-':>8}{mark}")
    tests = sorted((test for result in results for test in result.tests), reverse=True)
    if tests:
        lines += ["", f"the {min(SLOWEST, len(tests))} slowest tests, including the fixtures that they set up"]
        lines += [f"{format_seconds(test.seconds):>9}  {test.part}: {test.name}" for test in tests[:SLOWEST]]
    failures = sum(result.failures or not result.passed for result in results)
    untested = sum(not result.tests and result.passed for result in results)
    passed = len(tests) + untested - sum(result.failures for result in results)
    return [*lines, "", f"all parts: {format_seconds(seconds)}, --seed {seed}", f"{passed} passed, {failures} failed"]
