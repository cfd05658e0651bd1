"""Mutants of rules, and promtool's judgement of them: which ones the rules' tests notice."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from rich.console import Console

from tests.promtools import MEMORY, promtools
from tests.rules.bench import Bench, Rule, Stage
from tests.rules.promql import changes, seconds

BATCH = 6  # suites for one run of promtool, which starts in 50 ms

_MARK = re.compile(r"__mutant(\d+)\b")
_BROKEN_OFF = re.compile(r"^\s*rule: \S+, time: \S+, err: ")


@dataclass(eq=False)
class Mutant:
    rule: Rule
    what: str
    said: Mapping[str, Any]
    stages: int = 0  # how many test files judge it
    failures: list[str] = field(default_factory=list)

    @property
    def caught(self) -> bool:
        return bool(self.failures)

    @property
    def shown(self) -> str:
        """What was changed, in one line."""
        if self.what.startswith("for "):
            return self.what
        return f"{self.what}   in   {' '.join(str(self.said['expr']).split())}"


@dataclass(frozen=True)
class Outcome:
    mutants: Sequence[Mutant]
    equivalent: Mapping[tuple[str, str], str]  # (rule, change) → why no test can tell it from the rule
    broken: Mapping[str, str]  # rules that their own tests refuse unchanged, and what promtool says
    elapsed: float

    def is_equivalent(self, mutant: Mutant) -> bool:
        return (mutant.rule.name, mutant.what) in self.equivalent

    @property
    def survivors(self) -> list[Mutant]:
        """Mutants that no test catches, and that are not listed."""
        return [one for one in self.mutants if not one.caught and not self.is_equivalent(one)]

    @property
    def stale(self) -> list[Mutant]:
        """Mutants that are listed as equivalent, but are caught."""
        return [one for one in self.mutants if one.caught and self.is_equivalent(one)]

    def share(self) -> float:
        """Return the share that is caught, 0..1; listed ones do not count."""
        counted = [one for one in self.mutants if not self.is_equivalent(one)]
        return sum(one.caught for one in counted) / len(counted) if counted else 1.0

    def reaches(self, bar: float) -> bool:
        """Whether the share is caught, the tests hold without a mutant, and the list is true."""
        return self.share() >= bar and not self.broken and not self.stale


def mutants_of(rule: Rule) -> list[Mutant]:
    """Return a rule's mutants: of its expression, and of an alert's `for`."""
    # a recording's comparison with 0 keeps a division from being by zero: where it lies does not matter.
    possible = [change for change in changes(rule.expr) if rule.alert or not change.what.startswith("0 →")]
    mutants = [Mutant(rule, change.what, {**rule.said, "expr": change.expr}) for change in possible]
    lasting = str(rule.said.get("for", "0s"))
    if rule.alert and (milliseconds := round(seconds(lasting) * 1000)):
        without = {key: value for key, value in rule.said.items() if key != "for"}
        mutants += [
            Mutant(rule, f"for {lasting} → none", without),
            Mutant(rule, f"for {lasting} → half", {**rule.said, "for": f"{milliseconds // 2}ms"}),
            Mutant(rule, f"for {lasting} → double", {**rule.said, "for": f"{milliseconds * 2}ms"}),
        ]
    return mutants


@dataclass(eq=False)
class Suite:
    """Mutants of one rule, and one test file that judges them in a single run: those of an alert stand beside it under
    names of their own, so that promtool loads the series once. What others read keeps its name, and is alone."""

    unchanged: Mutant
    mutants: list[Mutant]
    stage: Stage

    @property
    def together(self) -> bool:
        return self.unchanged.rule.alert and self.stage.asks_alerts_alone

    def write(self, folder: Path) -> Path:
        rule = self.unchanged.rule
        if not self.together:
            return self.stage.write(folder, rule, [one.said for one in self.mutants])
        named = [{**one.said, "alert": f"{rule.name}__mutant{at}"} for at, one in enumerate(self.mutants)]
        return self.stage.write(folder, rule, [rule.said, *named])

    def note(self, failures: Iterable[str]) -> Suite | None:
        """Note what promtool says; return what is to be judged again, because a rule failed and ended the run."""
        broken_off = False
        for text in failures:
            mark = _MARK.search(text)
            if not self.together:
                self.mutants[0].failures.append(text)
            elif mark:
                self.mutants[int(mark[1])].failures.append(text)
                broken_off |= bool(_BROKEN_OFF.match(text))
            else:
                self.unchanged.failures.append(text)
        left = [one for one in self.mutants if not one.caught]
        return Suite(self.unchanged, left, self.stage) if broken_off and left else None


def examine(
    bench: Bench, mutants: Sequence[Mutant], equivalent: Mapping[tuple[str, str], str], console: Console
) -> Outcome:
    """Judge the mutants. What stands unchanged must pass, or every mutant would seem to be caught."""
    began = time.monotonic()
    by_rule: dict[Any, list[Mutant]] = {}
    for mutant in mutants:
        by_rule.setdefault(mutant.rule.place, []).append(mutant)
    unchanged = {place: Mutant(own[0].rule, "unchanged", own[0].rule.said) for place, own in by_rule.items()}
    # promtool makes a database for each test: on a disk it waits for it.
    memory = MEMORY if os.access(MEMORY, os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="mutants-", dir=memory) as name:
        suites = [suite for place, own in by_rule.items() for suite in _suites(bench, unchanged[place], own)]
        while suites:
            suites = _judge_all(suites, Path(tempfile.mkdtemp(dir=name)), console)
    broken = {one.rule.name: one.failures[0] for one in unchanged.values() if one.failures}
    for mutant in mutants:
        if mutant.rule.name in broken:
            # Tests that fail anyway catch nothing.
            mutant.failures.clear()
    return Outcome(mutants, equivalent, broken, time.monotonic() - began)


def _suites(bench: Bench, unchanged: Mutant, mutants: list[Mutant]) -> Iterator[Suite]:
    for stage in bench.stages(unchanged.rule):
        for mutant in mutants:
            mutant.stages += 1
        suite = Suite(unchanged, mutants, stage)
        yield from [suite] if suite.together else [Suite(unchanged, [one], stage) for one in (unchanged, *mutants)]


def _judge_all(suites: Sequence[Suite], work: Path, console: Console) -> list[Suite]:
    """Judge suites on all cores; return those to be judged again."""
    again: list[Suite] = []
    batches = [suites[start : start + BATCH] for start in range(0, len(suites), BATCH)]
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        jobs = [pool.submit(_judge, batch, work / str(number)) for number, batch in enumerate(batches)]
        for done, job in enumerate(as_completed(jobs), start=1):
            again += job.result()
            if console.is_terminal or done * 4 // len(jobs) > (done - 1) * 4 // len(jobs):
                text = f"{done / len(jobs):.0%} of {len(suites)} suites of tests judged"
                console.print(text, end="\r" if console.is_terminal else "\n")
    return again


def _judge(batch: Sequence[Suite], work: Path) -> list[Suite]:
    """Run promtool on a batch and note what fails; return those to be judged again."""
    by_file = {str(suite.write(work / str(number)).relative_to(work)): suite for number, suite in enumerate(batch)}
    report, storage = work / "report.xml", work / "storage"
    storage.mkdir()
    result = subprocess.run(
        [str(promtools() / "promtool"), "test", "rules", f"--junit={report}", *by_file],
        cwd=work,
        # Its tests run one after another: our own threads fill the cores. It frees memory when it ends.
        env={**os.environ, "TMPDIR": str(storage), "GOMAXPROCS": "1", "GOGC": "400"},
        capture_output=True,
        text=True,
        check=False,
    )
    again: list[Suite] = []
    reported = list(ElementTree.parse(report).getroot())  # noqa: S314 - promtool's own
    for element in reported:
        suite = by_file[element.attrib["name"]]
        texts = [said.text or "" for kind in ("failure", "error") for said in element.iter(kind)]
        if unread := next((text for text in texts if "could not parse expression" in text), None):
            raise AssertionError(f"{suite.unchanged.rule.name}: {unread}")
        again += [left] if (left := suite.note(texts)) else []
    if len(reported) != len(batch):
        raise AssertionError(f"promtool judged {len(reported)} of {len(batch)}: {result.stdout}{result.stderr}")
    shutil.rmtree(work)
    return again
