"""The tool that breaks rules on purpose: what it changes, and that it tells a caught mutant from a survivor."""

import io
import subprocess
from dataclasses import replace
from pathlib import Path
from textwrap import dedent

import pytest
import yaml
from rich.console import Console

from tests.rules.bench import Bench
from tests.rules.judging import Outcome, examine, mutants_of
from tests.rules.mutants import EQUIVALENT, RULES, listed, tell
from tests.rules.promql import changes
from tests.rules.selection import daily


@pytest.mark.parametrize(
    ("expr", "expected"),
    [
        ("a > 0.05", ["> → >=", "> → <", "0.05 → 0.045", "0.05 → 0.055"]),
        ("a < 3", ["< → <=", "< → >", "3 → 2", "3 → 4"]),
        ("a == 0", ["== → !=", "0 → -1", "0 → 1"]),
        ("a != 1", ["!= → ==", "1 → 0", "1 → 2"]),
        ("a >= 80", [">= → >", ">= → <", "80 → 72", "80 → 88"]),
        ("a <= 1e3", ["<= → <", "<= → >", "1e3 → 900", "1e3 → 1100"]),
        ("a > 1h", ["> → >=", "> → <", "1h → 3240", "1h → 3960"]),
        ("a and b or c unless d", ["and → or", "or → and", "unless → and"]),
        ("a == b == c", ["== → !=", "== → != #2"]),
        ("a > (14.4 * 0.001)", ["> → >=", "> → <", "14.4 → 12.96", "14.4 → 15.84", "0.001 → 0.0009", "0.001 → 0.0011"]),
        ("a > bool 20 and b", ["> → >=", "> → <", "and → or", "20 → 18", "20 → 22"]),
        ("a > on (job) group_left (x2) (0.9 * b)", ["> → >=", "> → <", "0.9 → 0.81", "0.9 → 0.99"]),
        ("a > 2 * quantile_over_time(0.5, a[1d] offset 7d)", ["> → >=", "> → <", "2 → 1", "2 → 3"]),
        ("max(a > 20, 40) * 50", ["> → >=", "> → <", "20 → 18", "20 → 22"]),
        ("a > b offset 5m", ["> → >=", "> → <"]),
        ('rate(a{code=~"5..", path!="> 5", other=\'x == 1\'}[5m])', []),
        ("quantile_over_time(0.95, a[1h:30s] offset 5m) * 100 + 3", []),
        ("sum by (le, job2) (rate(http2_total[5m])) # > 5 is too many", []),
        ('label_replace(a, "b", "$1", "c", "x > 5 and (.*)")', []),
    ],
)
def test_comparisons_thresholds_and_set_operators_are_changed_and_nothing_else(expr: str, expected: list[str]):
    assert [change.what for change in changes(expr)] == expected


RULES_OF_A_SHOP = """
    groups:
      - name: shop
        rules:
          - {record: "job:errors:ratio", expr: errors / (requests > 0)}
          - {record: "job:unread:sum", expr: sum(unread > 5)}
          - {alert: Errors, expr: "job:errors:ratio > 0.5", for: 2m, labels: {severity: critical}}
          - {alert: Untested, expr: requests == 0, labels: {severity: critical}}
"""
GOOD = """
    rule_files: [../shop.yml]
    evaluation_interval: 30s
    tests:
      - name: "Errors: more than half"
        input_series:
          - {series: errors, values: 51x20}
          - {series: requests, values: 100x20}
        alert_rule_test:
          - {eval_time: 1m30s, alertname: Errors, exp_alerts: []}
          - {eval_time: 2m, alertname: Errors, exp_alerts: [{exp_labels: {severity: critical}}]}
          - {eval_time: 2m, alertname: Untested, exp_alerts: []}
      - name: "Errors: half is not enough"
        input_series:
          - {series: errors, values: 50x20}
          - {series: requests, values: 100x20}
        alert_rule_test:
          - {eval_time: 10m, alertname: Errors, exp_alerts: []}
      - name: no requests, no ratio
        input_series:
          - {series: errors, values: 0x20}
          - {series: requests, values: 0x20}
        promql_expr_test:
          - {expr: "job:errors:ratio", eval_time: 1m, exp_samples: []}
"""


@pytest.fixture
def judge(tmp_path: Path):
    def run(tests: str, *names: str, equivalent: dict[tuple[str, str], str] | None = None) -> Outcome:
        (tmp_path / "tests").mkdir()
        (tmp_path / "shop.yml").write_text(dedent(RULES_OF_A_SHOP))
        (tmp_path / "tests" / "shop_test.yml").write_text(dedent(tests))
        bench = Bench(tmp_path)
        rules = [rule for rule in bench.mutable() if not names or rule.name in names]
        mutants = [mutant for rule in rules for mutant in mutants_of(rule)]
        return examine(bench, mutants, equivalent or {}, Console(quiet=True))

    return run


def test_tests_at_the_limit_and_around_for_catch_every_mutant_of_alerts_and_of_recordings_that_they_read(judge):
    outcome = judge(GOOD, "Errors", "job:errors:ratio")
    assert outcome.survivors == []
    assert {mutant.rule.name for mutant in outcome.mutants} == {"Errors", "job:errors:ratio"}
    assert [mutant.what for mutant in outcome.mutants if not mutant.rule.alert] == ["> → >=", "> → <"]
    assert len(outcome.mutants) == 7 + 2
    assert outcome.reaches(1)


LATE = GOOD.replace("          - {eval_time: 1m30s, alertname: Errors, exp_alerts: []}\n", "")


@pytest.mark.parametrize(
    ("tests", "alert", "survivors", "stages"),
    [
        (GOOD.replace("51x20", "90x20").replace("50x20", "10x20"), "Errors", "> → >=|0.5 → 0.45|0.5 → 0.55", 1),
        (LATE.replace("eval_time: 2m", "eval_time: 9m"), "Errors", "for 2m → none|for 2m → half|for 2m → double", 1),
        (GOOD, "Untested", "== → !=|0 → -1|0 → 1", 0),
    ],
    ids=["far from the limit", "only late", "no test of its name"],
)
def test_mutants_that_no_test_tells_from_the_rule_live(judge, tests: str, alert: str, survivors: str, stages: int):
    outcome = judge(tests, alert)
    assert {mutant.what for mutant in outcome.survivors} == {*survivors.split("|")}
    assert {mutant.stages for mutant in outcome.survivors} == {stages}
    share = 1 - 3 / len(outcome.mutants)
    assert outcome.share() == pytest.approx(share)
    assert not outcome.reaches(share + 0.1) and outcome.reaches(share - 0.1)


def test_rules_that_fail_unchanged_are_told_and_never_good(judge):
    outcome = judge(GOOD.replace("severity: critical", "severity: warning"), "Errors")
    assert outcome.broken.keys() == {"Errors"}
    assert outcome.share() == 0, "what fails anyway catches nothing"
    assert not outcome.reaches(0)


def test_a_listed_mutant_does_not_count_and_one_that_is_caught_must_not_be_listed(judge):
    loose = GOOD.replace("51x20", "60x20")
    outcome = judge(loose, "Errors", equivalent={("Errors", "0.5 → 0.55"): "said so", ("Errors", "> → <"): "wrong"})
    assert outcome.survivors == []
    assert outcome.share() == 1
    assert [mutant.what for mutant in outcome.stale] == ["> → <"]
    assert not outcome.reaches(0)
    console = Console(record=True, width=200, file=io.StringIO())
    tell(replace(outcome, equivalent={}), console, 0.95)
    printed = console.export_text()
    assert "survives Errors: 0.5 → 0.55   in   job:errors:ratio > 0.55" in printed
    assert "85.7% of 7 mutants caught" in printed and "(at least 95% must be)" in printed


def test_the_list_of_equivalent_mutants_names_rules_and_changes_that_exist():
    known = {(rule.name, mutant.what) for rule in Bench(RULES).mutable() for mutant in mutants_of(rule)}
    assert listed().keys() <= known
    assert all(one["reason"].strip() for one in yaml.safe_load(EQUIVALENT.read_text())["equivalent"])


class Repository:
    """A git repository with the rules above, on its main branch."""

    def __init__(self, root: Path) -> None:
        self.root = root
        (root / "rules" / "tests").mkdir(parents=True)
        self.git("init", "-q", "-b", "main")
        self.commit(RULES_OF_A_SHOP, GOOD)

    def git(self, *arguments: str) -> str:
        identity = ["-c", "user.name=test", "-c", "user.email=test@example.com"]
        command = ["git", "-C", str(self.root), *identity, *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    def write(self, rules: str, tests: str) -> None:
        (self.root / "rules" / "shop.yml").write_text(dedent(rules))
        (self.root / "rules" / "tests" / "shop_test.yml").write_text(dedent(tests))

    def commit(self, rules: str, tests: str) -> str:
        self.write(rules, tests)
        self.git("add", "-A")
        self.git("commit", "-q", "--allow-empty", "-m", "Change")
        return self.git("rev-parse", "HEAD")

    def selected(self, seed: int = 1) -> dict[str, int]:
        selection = daily(self.root, Bench(self.root / "rules"), seed)
        names = [mutant.rule.name for mutant in selection.mutants]
        assert str(seed) in str(selection)
        return {name: names.count(name) for name in names}


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Repository(tmp_path / "repository")


def test_the_sample_of_unchanged_rules_depends_on_the_seed_alone(repository):
    repository.commit(RULES_OF_A_SHOP, GOOD)
    samples = [repository.selected(seed) for seed in (7, 7, *range(20))]
    assert {sum(sample.values()) for sample in samples} == {2}, "a tenth of twelve mutants, rounded up"
    assert samples[0] == samples[1]
    assert len({str(sorted(sample)) for sample in samples}) > 1


def test_every_mutant_of_a_rule_that_changed_or_reads_or_is_tested_otherwise_is_selected(repository):
    repository.git("checkout", "-q", "-b", "branch")
    repository.commit(RULES_OF_A_SHOP.replace("requests == 0", "requests < 1"), GOOD)
    assert repository.selected()["Untested"] == 4
    repository.write(RULES_OF_A_SHOP.replace("requests > 0", "requests > 1"), GOOD)
    selected = repository.selected()
    assert (selected["Errors"], selected["job:errors:ratio"]) == (7, 4), "also what is not committed"
    assert sum(selected.values()) == 12, "and one of Untested"
    repository.write(RULES_OF_A_SHOP, GOOD.replace("errors, values: 50x20", "errors, values: 49x20"))
    assert repository.selected()["Errors"] == 7, "its tests are others"
