"""Do the tests of the rules notice when a rule is wrong?

    python -m tests.rules.mutants [--all | --alert NAME…] [--seed NUMBER]

Changes one thing at a time in each alert, and in each recording that an alert reads: a comparison flipped, a threshold
shifted, `and`, `or` and `unless` swapped, `for` left out, halved or doubled. Each such mutant is judged by promtool:
an alert's by the tests whose names begin with `<Alert>:`, a recording's by all tests of what reads it. A mutant that
no test catches is a survivor.

Without arguments it judges those of the rules that differ from the main branch, or are tested otherwise, and a random
sample of the rest. Exits 1 where fewer than 95 % are caught; of all of them (`--all`) 99 % must be.
"""

import argparse
import secrets
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from tests.rules.bench import Bench, read
from tests.rules.judging import Outcome, examine, mutants_of
from tests.rules.selection import daily

ROOT = Path(__file__).resolve().parents[2]
RULES = ROOT / "rules"
EQUIVALENT = Path(__file__).with_name("equivalent_mutants.yaml")
BAR = 0.95
BAR_OF_ALL = 0.99


def listed(path: Path = EQUIVALENT) -> dict[tuple[str, str], str]:
    """Return the mutants that are known to do the same as the rule: (rule, change) → reason."""
    return {(one["rule"], one["mutant"]): one["reason"] for one in read(path).get("equivalent", [])}


def tell(outcome: Outcome, console: Console, bar: float) -> None:
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
    console.print(
        f"{outcome.share():.1%} of {len(outcome.mutants)} mutants caught in {outcome.elapsed:.0f} s"
        f" (at least {bar:.0%} must be)"
    )


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.rules.mutants", description=__doc__.partition("\n")[0])
    parser.add_argument("--alert", action="append", default=[], metavar="NAME", help="only this alert or recording")
    parser.add_argument("--all", action="store_true", help="every mutant of every rule")
    parser.add_argument("--seed", type=int, metavar="NUMBER", help="of the sample; a random one where none is given")
    asked = parser.parse_args(arguments)
    console = Console(highlight=False, emoji=False)
    bench = Bench(RULES)
    rules = [rule for rule in bench.mutable() if not asked.alert or rule.name in asked.alert]
    if unknown := {*asked.alert} - {rule.name for rule in rules}:
        parser.error(f"no alert, and no recording that one reads: {', '.join(sorted(unknown))}")
    if asked.all or asked.alert:
        mutants = [mutant for rule in rules for mutant in mutants_of(rule)]
    else:
        selection = daily(ROOT, bench, secrets.randbelow(10**6) if asked.seed is None else asked.seed)
        console.print(str(selection), soft_wrap=True)
        mutants = list(selection.mutants)
    bar = BAR_OF_ALL if asked.all else BAR
    outcome = examine(bench, mutants, listed(), console)
    tell(outcome, console, bar)
    return 0 if outcome.reaches(bar) else 1


if __name__ == "__main__":
    sys.exit(main())
