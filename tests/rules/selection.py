"""Which mutants a daily run judges: those of what differs from the main branch, and a sample of the rest."""

import io
import math
import random
import subprocess
import tarfile
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.rules.bench import Bench, Place, Rule
from tests.rules.judging import Mutant, mutants_of

MAIN_BRANCHES = ("origin/main", "main")
SHARE = 0.1  # of the mutants of rules that do not differ


@dataclass(frozen=True)
class Selection:
    mutants: Sequence[Mutant]
    base: str | None  # the commit that rules were compared with; None where there is none to compare with
    changed: int  # rules that differ from it, or are judged otherwise than there
    seed: int

    def __str__(self) -> str:
        compared = f"{self.changed} rules that differ from {self.base[:12]}" if self.base else "no rules of a change"
        return (
            f"{len(self.mutants)} mutants: of {compared}, and a sample of {SHARE:.0%} of the rest"
            f" (again with --seed {self.seed}; all with --all)"
        )


def daily(root: Path, bench: Bench, seed: int) -> Selection:
    """Return the mutants of a daily run; the same seed and the same files give the same mutants."""
    base = base_commit(root)
    rules = bench.mutable()
    changed = changed_rules(root, bench, rules, base) if base else None
    sampled = [mutant for rule in rules if rule.place not in (changed or ()) for mutant in mutants_of(rule)]
    mutants = [mutant for rule in rules if rule.place in (changed or ()) for mutant in mutants_of(rule)]
    # S311: a sample of tests is no secret.
    mutants += random.Random(seed).sample(sampled, math.ceil(SHARE * len(sampled)))  # noqa: S311 - a sample
    return Selection(mutants, base if changed is not None else None, len(changed or ()), seed)


def base_commit(root: Path) -> str | None:
    """Return where HEAD left the main branch, on that branch the commit before; None where git knows neither."""
    head = _git(root, "rev-parse", "--verify", "-q", "HEAD")
    for branch in MAIN_BRANCHES:
        base = _git(root, "merge-base", "HEAD", branch)
        if base is not None and base != head:
            return base.decode().strip()
    before = _git(root, "rev-parse", "--verify", "-q", "HEAD~")
    return before.decode().strip() if before else None


def changed_rules(root: Path, bench: Bench, rules: Sequence[Rule], base: str) -> set[Place] | None:
    """Return the rules that differ from a commit in words, reads or tests; None where the commit has no such rules."""
    folder = bench.folder.resolve().relative_to(root.resolve())
    archive = _git(root, "archive", "--format=tar", base, str(folder))
    if archive is None:
        return None
    with tempfile.TemporaryDirectory() as name:
        with tarfile.open(fileobj=io.BytesIO(archive)) as files:
            files.extractall(name, filter="data")
        old = Bench(Path(name) / folder)
        before = {_judged_as(old, rule) for rule in old.mutable()}
    return {rule.place for rule in rules if _judged_as(bench, rule) not in before}


def _judged_as(bench: Bench, rule: Rule) -> tuple[str, ...]:
    """Return all that tells how a rule is judged, whatever else stands in its file."""
    path = str(rule.place[0].relative_to(bench.folder.resolve()))
    return (path, *(stage.text for stage in bench.stages(rule)), str(rule.said))


def _git(root: Path, *arguments: str) -> bytes | None:
    """Return what git prints; None where it fails, or is not there."""
    try:
        ran = subprocess.run(["git", "-C", str(root), *arguments], capture_output=True, check=False)
    except FileNotFoundError:
        return None
    return ran.stdout if ran.returncode == 0 else None
