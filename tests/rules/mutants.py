"""Do the tests of the rules notice when a rule is wrong?

    python -m tests.rules.mutants [FILE…] [--alert NAME]…

Changes one thing at a time in each alert, and in each recording that an alert reads: a comparison flipped, a threshold
shifted, `and`, `or` and `unless` swapped, `for` left out, halved or doubled. Each such mutant is judged by promtool:
an alert's by the tests whose names begin with `<Alert>:`, a recording's by all tests of what reads it. A mutant that
no test catches is a survivor. Exits 1 where fewer than 95 % are caught, of all or of what was asked for.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from tests.promtools import promtools
from tests.rules.bench import Bench, Rule, read
from tests.rules.promql import changes, seconds

ROOT = Path(__file__).resolve().parents[2]
RULES = ROOT / "rules"
EQUIVALENT = Path(__file__).with_name("equivalent_mutants.yaml")
BAR = 0.95
BATCH = 24
"""Mutants judged by one promtool: it starts in 50 ms, and a mutant takes as long."""


@dataclass
class Mutant:
    """A rule with one thing changed."""

    rule: Rule
    what: str
    said: Mapping[str, Any]
    stages: int = 0
    """How many test files judge it."""

    failures: list[str] = field(default_factory=list)

    @property
    def caught(self) -> bool:
        """Whether some test failed."""
        return bool(self.failures)

    @property
    def shown(self) -> str:
        """What was changed, in one line."""
        if self.what.startswith("for "):
            return self.what
        return f"{self.what}   in   {' '.join(str(self.said['expr']).split())}"


@dataclass(frozen=True)
class Outcome:
    """What became of the mutants."""

    mutants: Sequence[Mutant]
    equivalent: Mapping[tuple[str, str], str]
    """(rule, change) → why no test can tell it from the rule."""

    broken: Mapping[str, str]
    """Rules that their own tests refuse unchanged, and what promtool says."""

    elapsed: float

    def is_equivalent(self, mutant: Mutant) -> bool:
        """Whether it is listed as doing the same as the rule."""
        return (mutant.rule.name, mutant.what) in self.equivalent

    @property
    def survivors(self) -> list[Mutant]:
        """Mutants that no test catches, and that are not listed."""
        return [one for one in self.mutants if not one.caught and not self.is_equivalent(one)]

    @property
    def stale(self) -> list[Mutant]:
        """Mutants that are listed as equivalent, but are caught."""
        return [one for one in self.mutants if one.caught and self.is_equivalent(one)]

    def share(self, mutants: Iterable[Mutant] | None = None) -> float:
        """Return the share that is caught, 0..1; listed ones do not count."""
        counted = [one for one in (self.mutants if mutants is None else mutants) if not self.is_equivalent(one)]
        return sum(one.caught for one in counted) / len(counted) if counted else 1.0

    @property
    def good(self) -> bool:
        """Whether enough are caught, the tests hold without a mutant, and the list is true."""
        return self.share() >= BAR and not self.broken and not self.stale


def mutants_of(rule: Rule) -> list[Mutant]:
    """Return a rule's mutants: of its expression, and of an alert's `for`."""
    # A recording's comparison with 0 keeps a division from being by zero: where it lies does not matter.
    possible = [change for change in changes(rule.expr) if rule.alert or not change.what.startswith("0 →")]
    found = [Mutant(rule, change.what, {**rule.said, "expr": change.expr}) for change in possible]
    lasting = str(rule.said.get("for", "0s"))
    if rule.alert and (milliseconds := round(seconds(lasting) * 1000)):
        without = {key: value for key, value in rule.said.items() if key != "for"}
        found += [
            Mutant(rule, f"for {lasting} → none", without),
            Mutant(rule, f"for {lasting} → half", {**rule.said, "for": f"{milliseconds // 2}ms"}),
            Mutant(rule, f"for {lasting} → double", {**rule.said, "for": f"{milliseconds * 2}ms"}),
        ]
    return found


def examine(
    bench: Bench, rules: Sequence[Rule], equivalent: Mapping[tuple[str, str], str], console: Console
) -> Outcome:
    """Judge every mutant of the rules."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="mutants-") as name:
        work = Path(name)
        # What stands unchanged must pass, or every mutant would seem to be caught.
        unchanged = [Mutant(rule, "unchanged", rule.said) for rule in rules]
        mutants = [mutant for rule in rules for mutant in mutants_of(rule)]
        suites = list(_suites(bench, [*unchanged, *mutants], work))
        batches = [suites[start : start + BATCH] for start in range(0, len(suites), BATCH)]
        done = 0
        with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
            for number in pool.map(lambda batch: _judge(batch, work), batches):
                done += number
                if console.is_terminal:
                    console.print(f"{done} of {len(suites)} judged", end="\r")
    broken = {one.rule.name: one.failures[0] for one in unchanged if one.failures}
    for mutant in mutants:
        if mutant.rule.name in broken:
            # Tests that fail anyway catch nothing.
            mutant.failures.clear()
    return Outcome(mutants, equivalent, broken, time.monotonic() - began)


Suite = tuple[Mutant, Path]


def _suites(bench: Bench, mutants: Sequence[Mutant], work: Path) -> Iterator[Suite]:
    """Write each mutant's files, once for each test file that judges it."""
    number = 0
    stages = {mutant.rule.place: bench.stages(mutant.rule) for mutant in mutants}
    for mutant in mutants:
        for stage in stages[mutant.rule.place]:
            number += 1
            mutant.stages += 1
            yield mutant, stage.write(work / str(number), mutant.rule, mutant.said)


def _judge(batch: Sequence[Suite], work: Path) -> int:
    """Run promtool on a batch and note what fails; return how many were judged."""
    by_file = {str(path.relative_to(work)): mutant for mutant, path in batch}
    first = batch[0][1].parent
    report = first / "report.xml"
    storage = first / "storage"
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
    judged = 0
    for suite in ElementTree.parse(report).getroot():  # noqa: S314 - promtool's own
        judged += 1
        mutant = by_file[suite.attrib["name"]]
        texts = [said.text or "" for kind in ("failure", "error") for said in suite.iter(kind)]
        if unread := next((text for text in texts if "could not parse expression" in text), None):
            raise AssertionError(f"{mutant.rule.name}, {mutant.what}: {unread}")
        mutant.failures += texts
    if judged != len(batch):
        raise AssertionError(f"promtool judged {judged} of {len(batch)}: {result.stdout}{result.stderr}")
    shutil.rmtree(storage, ignore_errors=True)
    return judged


def listed(path: Path = EQUIVALENT) -> dict[tuple[str, str], str]:
    """Return the mutants that are known to do the same as the rule: (rule, change) → reason."""
    return {(one["rule"], one["mutant"]): one["reason"] for one in read(path).get("equivalent", [])}


def tell(outcome: Outcome, console: Console, root: Path = RULES) -> None:
    """Print a table by file, and each survivor."""
    table = Table("file", "rules", "mutants", "caught", "equivalent", "%", box=None)
    files = sorted({one.rule.place[0] for one in outcome.mutants})
    for path in [*files, None]:
        own = [one for one in outcome.mutants if path in (None, one.rule.place[0])]
        table.add_row(
            str(path.relative_to(root.resolve())) if path else "all",
            str(len({one.rule.place for one in own})),
            str(len(own)),
            str(sum(one.caught for one in own)),
            str(sum(outcome.is_equivalent(one) for one in own)),
            f"{outcome.share(own):.1%}",
        )
    console.print(table)
    for name, said in outcome.broken.items():
        console.print(f"[bold red]✗ {name}[/]: its own tests refuse it unchanged:\n{escape(said)}", soft_wrap=True)
    for one in (one for one in outcome.survivors if one.rule.name not in outcome.broken):
        why = "" if one.stages else f"   (no test named “{one.rule.name}: …”)"
        console.print(f"[red]survives[/] {one.rule.name}: {escape(one.shown)}{why}", soft_wrap=True)
    for one in outcome.stale:
        console.print(f"[red]listed as equivalent, but caught[/] {one.rule.name}: {one.what}", soft_wrap=True)
    for one in outcome.mutants:
        if outcome.is_equivalent(one) and not one.caught:
            reason = outcome.equivalent[one.rule.name, one.what]
            console.print(f"equivalent {one.rule.name}: {escape(one.what)} ({escape(reason)})", soft_wrap=True)
    console.print(f"{outcome.share():.1%} of {len(outcome.mutants)} mutants caught in {outcome.elapsed:.0f} s")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.rules.mutants", description=__doc__.partition("\n")[0])
    parser.add_argument("files", nargs="*", type=Path, metavar="FILE", help="rule files; all where none is given")
    parser.add_argument("--alert", action="append", default=[], metavar="NAME", help="only this alert or recording")
    asked = parser.parse_args(arguments)
    bench = Bench(RULES)
    paths = {path.resolve() for path in asked.files}
    if unknown := paths - bench.documents.keys():
        parser.error(f"no rule file: {', '.join(map(str, sorted(unknown)))}")
    rules = [rule for rule in bench.mutable() if not paths or rule.place[0] in paths]
    if asked.alert:
        rules = [rule for rule in bench.mutable() if rule.name in asked.alert]
        if unknown_names := {*asked.alert} - {rule.name for rule in rules}:
            parser.error(f"no alert, and no recording that one reads: {', '.join(sorted(unknown_names))}")
    console = Console(highlight=False, emoji=False)
    outcome = examine(bench, rules, listed(), console)
    tell(outcome, console)
    return 0 if outcome.good else 1


if __name__ == "__main__":
    sys.exit(main())
