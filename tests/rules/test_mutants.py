"""The tool that breaks rules on purpose: what it changes, and that it tells a caught mutant from a survivor."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent

import pytest
import yaml
from rich.console import Console

from tests.rules.bench import Bench
from tests.rules.mutants import Outcome, examine, tell
from tests.rules.promql import changes, seconds, tokens


def what(expr: str) -> list[str]:
    return [change.what for change in changes(expr)]


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
    ],
)
def test_comparisons_thresholds_and_set_operators_are_changed(expr: str, expected: list[str]):
    assert what(expr) == expected


@pytest.mark.parametrize(
    "expr",
    [
        'rate(a{code=~"5..", path!="> 5", other=\'x == 1\'}[5m])',
        "quantile_over_time(0.95, a[1h:30s] offset 5m) * 100 + 3",
        "sum by (le, job2) (rate(http2_total[5m])) # > 5 is too many",
        'label_replace(a, "b", "$1", "c", "x > 5 and (.*)")',
    ],
)
def test_ranges_matchers_strings_comments_and_arguments_are_left_alone(expr: str):
    assert changes(expr) == []


@pytest.mark.parametrize(
    ("expr", "numbers"),
    [
        ("a > (14.4 * 0.001)", {"14.4", "0.001"}),
        ("a > bool 20 and b", {"20"}),
        ("a > on (job) group_left (x2) (0.9 * b)", {"0.9"}),
        ("a > 2 * quantile_over_time(0.5, a[1d] offset 7d)", {"2"}),
        ("(a > 20) + 30", {"20"}),
        ("a > 20 and on (job) b > 30", {"20", "30"}),
        ("max(a > 20, 40) * 50", {"20"}),
        ("a > b offset 5m", set()),
    ],
)
def test_thresholds_are_the_numbers_that_a_comparison_compares_with(expr: str, numbers: set[str]):
    found = {change.what.split(" → ")[0] for change in changes(expr)}
    assert {one for one in found if one[0].isdigit()} == numbers


def test_a_change_leaves_the_rest_as_it_stands():
    assert [change.expr for change in changes('up{a="1"}  ==  0 # why')] == [
        'up{a="1"}  !=  0 # why',
        'up{a="1"}  ==  -1 # why',
        'up{a="1"}  ==  1 # why',
    ]


def test_the_same_change_in_two_places_is_two_mutants():
    assert what("a == b == c") == ["== → !=", "== → != #2"]


def test_what_is_no_promql_is_an_error():
    with pytest.raises(ValueError, match="no PromQL"):
        tokens("a ? b")
    assert seconds("1h30m") == 5400
    with pytest.raises(ValueError, match="no duration"):
        seconds("soon")


RULES = """
    groups:
      - name: shop
        rules:
          - record: job:errors:ratio
            expr: errors / (requests > 0)
          - record: job:unread:sum
            expr: sum(unread > 5)
          - alert: Errors
            expr: job:errors:ratio > 0.5
            for: 2m
            labels: {severity: critical}
          - alert: Untested
            expr: requests == 0
            labels: {severity: critical}
"""
GOOD = """
    rule_files: [../shop.yml]
    evaluation_interval: 30s
    tests:
      - name: "Errors: more than half"
        interval: 30s
        input_series:
          - {series: errors, values: 51x20}
          - {series: requests, values: 100x20}
        alert_rule_test:
          - {eval_time: 1m30s, alertname: Errors, exp_alerts: []}
          - {eval_time: 2m, alertname: Errors, exp_alerts: [{exp_labels: {severity: critical}}]}
          - {eval_time: 2m, alertname: Untested, exp_alerts: []}
      - name: "Errors: half is not enough"
        interval: 30s
        input_series:
          - {series: errors, values: 50x20}
          - {series: requests, values: 100x20}
        alert_rule_test:
          - {eval_time: 10m, alertname: Errors, exp_alerts: []}
      - name: no requests, no ratio
        interval: 30s
        input_series:
          - {series: errors, values: 0x20}
          - {series: requests, values: 0x20}
        promql_expr_test:
          - {expr: "job:errors:ratio", eval_time: 1m, exp_samples: []}
"""


@pytest.fixture
def judge(tmp_path: Path):
    def run(
        tests: str, *names: str, rules: str = RULES, equivalent: dict[tuple[str, str], str] | None = None
    ) -> Outcome:
        (tmp_path / "tests").mkdir()
        (tmp_path / "shop.yml").write_text(dedent(rules))
        (tmp_path / "tests" / "shop_test.yml").write_text(dedent(tests))
        bench = Bench(tmp_path)
        asked = [rule for rule in bench.mutable() if not names or rule.name in names]
        return examine(bench, asked, equivalent or {}, Console(quiet=True))

    return run


def test_tests_at_the_limit_and_around_for_catch_every_mutant(judge):
    outcome = judge(GOOD, "Errors", "job:errors:ratio")
    assert outcome.survivors == []
    assert len([one for one in outcome.mutants if one.rule.name == "Errors"]) == 7
    assert [one.what for one in outcome.mutants if one.rule.name == "job:errors:ratio"] == ["> → >=", "> → <"]
    assert outcome.good


def test_a_test_far_from_the_limit_lets_mutants_live(judge):
    outcome = judge(GOOD.replace("51x20", "90x20").replace("50x20", "10x20"), "Errors")
    assert {one.what for one in outcome.survivors} == {"> → >=", "0.5 → 0.45", "0.5 → 0.55"}
    assert outcome.share() == pytest.approx(4 / 7)
    assert not outcome.good


def test_a_test_that_looks_only_late_lets_every_change_of_for_live_but_those_that_never_fire(judge):
    late = GOOD.replace("          - {eval_time: 1m30s, alertname: Errors, exp_alerts: []}\n", "")
    late = late.replace("eval_time: 2m", "eval_time: 9m")
    outcome = judge(late, "Errors")
    assert {one.what for one in outcome.survivors} == {"for 2m → none", "for 2m → half", "for 2m → double"}


def test_every_mutant_of_an_alert_without_tests_of_its_own_name_lives(judge):
    outcome = judge(GOOD, "Untested")
    assert [one.stages for one in outcome.survivors] == [0, 0, 0]


def test_a_recording_that_no_alert_reads_is_left_alone(judge):
    assert {one.rule.name for one in judge(GOOD).mutants} == {"Errors", "Untested", "job:errors:ratio"}


def test_rules_that_fail_unchanged_are_told_and_never_good(judge):
    outcome = judge(GOOD.replace("severity: critical", "severity: warning"), "Errors")
    assert outcome.broken.keys() == {"Errors"}
    assert outcome.share() == 0, "what fails anyway catches nothing"
    assert not outcome.good


def test_a_listed_mutant_does_not_count_and_one_that_is_caught_must_not_be_listed(judge):
    loose = GOOD.replace("51x20", "60x20")
    outcome = judge(loose, "Errors", equivalent={("Errors", "0.5 → 0.55"): "said so", ("Errors", "> → <"): "wrong"})
    assert outcome.survivors == []
    assert outcome.share() == 1
    assert [one.what for one in outcome.stale] == ["> → <"]
    assert not outcome.good


def test_survivors_are_shown_with_the_changed_expression(judge, tmp_path):
    outcome = judge(GOOD.replace("51x20", "60x20"), "Errors")
    console = Console(record=True, quiet=False, width=200, file=(tmp_path / "said").open("w"))
    tell(outcome, console, tmp_path)
    said = console.export_text()
    assert "survives Errors: 0.5 → 0.55   in   job:errors:ratio > 0.55" in said
    assert "85.7% of 7 mutants caught" in said


def test_the_list_of_equivalent_mutants_names_rules_and_changes_that_are_there():
    from tests.rules.mutants import EQUIVALENT, RULES, listed, mutants_of  # noqa: PLC0415 - beside RULES of this file

    there = {(rule.name, mutant.what) for rule in Bench(RULES).mutable() for mutant in mutants_of(rule)}
    assert listed().keys() <= there
    assert all(one["reason"].strip() for one in yaml.safe_load(EQUIVALENT.read_text())["equivalent"])
