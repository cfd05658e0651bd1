"""Every rule is valid, every alert is proved both ways, says what it saw, and leads to a page and to a panel."""

import os
import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from settings.alert_rules import ALERT, LOG_STORES
from tests.dashboards.stacks import FULL, boards, panels
from tests.promtools import promtool
from tests.rules.bench import Bench
from tests.support.shipped_rules import (
    ALERTS,
    ALL_FILES,
    CASES,
    LOG_RULE_FILES,
    METRIC_ALERTS,
    ROOT,
    RULE_FILES,
    RULES,
    TEST_FILES,
    rules_of,
    write_rendered,
)

ALWAYS_FIRING = {"Watchdog"}  # vector(1) has no series that could keep it from firing

SCOPES = {"host", "container", "service", "store", "queue", "probe", "edge", "monitoring", "backup", "slo"}
ANNOTATIONS = {"summary", "description", "runbook_url", "dashboard_url"}
BOARDS = {store: {board["uid"]: board for board in boards(log_store=store).values()} for store in LOG_STORES}
"""Log store → uid → board."""


def test_promtool_takes_every_rule_file(tmp_path: Path) -> None:
    assert RULE_FILES
    write_rendered(tmp_path)
    files = [path.relative_to(RULES) for path in RULE_FILES]
    result = promtool(["check", "rules", "--lint=all", "--lint-fatal", *files], cwd=tmp_path)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.soak
def test_the_rules_fire_when_they_should_beside_all_others_of_their_file(tmp_path: Path) -> None:
    write_rendered(tmp_path)
    assert promtool_says([[tmp_path / path.relative_to(RULES)] for path in TEST_FILES]) == ""


def test_the_rules_fire_when_they_should_and_only_then(tmp_path: Path) -> None:
    # Each group of tests beside the rules alone that it asks for: promtool would evaluate all rules of a file for each.
    bench = Bench(RULES)
    assert {test.path for test in bench.tests} == {*TEST_FILES}
    stages = [stage for test in bench.tests for stage in bench.groups(test)]
    files = [stage.write(tmp_path / str(number)) for number, stage in enumerate(stages)]
    assert promtool_says([files[start : start + 20] for start in range(0, len(files), 20)]) == ""


def promtool_says(batches: Sequence[Sequence[Path]]) -> str:
    """Run promtool on each batch of test files, on all cores; return what it says where tests fail."""

    def run(batch: Sequence[Path]) -> str:
        result = promtool(["test", "rules", *batch], cwd=ROOT)
        return "" if result.returncode == 0 else result.stdout + result.stderr

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return "".join(pool.map(run, batches))


def test_every_rule_file_has_a_test_file() -> None:
    wanted = {str(path.relative_to(RULES).with_suffix("")) for path in RULE_FILES}
    assert {str(path.relative_to(RULES / "tests"))[: -len("_test.yml")] for path in TEST_FILES} == wanted


def test_every_alert_is_tested_to_fire_and_to_stay_quiet_by_tests_that_bear_its_name() -> None:
    own = [case for test, case in CASES if test.startswith(f"{case['alertname']}:")]
    assert METRIC_ALERTS.keys() - {case["alertname"] for case in own if case["exp_alerts"]} == set()
    quiet = {case["alertname"] for case in own if not case["exp_alerts"]}
    assert METRIC_ALERTS.keys() - quiet == ALWAYS_FIRING


def test_a_test_that_expects_an_alert_says_all_its_labels_and_annotations() -> None:
    for test, case in CASES:
        for expected in case["exp_alerts"]:
            assert {"severity", "scope", "product", "environment"} <= expected["exp_labels"].keys(), test
            assert expected["exp_annotations"].keys() == ANNOTATIONS, test


def test_no_alert_or_recording_is_defined_twice() -> None:
    for store in LOG_STORES:
        files = [*RULE_FILES, *(path for path in LOG_RULE_FILES if path.parent.name == store)]
        names = [rule.get("alert") or rule["record"] for path in files for rule in rules_of(path)]
        twice = {name for name in names if names.count(name) > 1}
        # One series for both kinds of objective: their labels tell them apart.
        assert {name for name in twice if not name.startswith("slo:")} == set()


def test_log_stores_have_the_same_alerts_and_differ_in_their_queries_alone() -> None:
    alerts = {
        store: [
            {key: value for key, value in rule.items() if key != "expr"}
            for path in LOG_RULE_FILES
            if path.parent.name == store
            for rule in rules_of(path)
        ]
        for store in LOG_STORES
    }
    assert alerts["victorialogs"] == alerts["loki"]


def test_every_alert_says_how_bad_it_is_what_it_saw_and_what_to_do() -> None:
    for name, alert in ALERTS.items():
        assert alert["labels"]["severity"] in {"critical", "warning", "info"}, name
        assert alert["labels"]["scope"] in SCOPES, name
        assert alert["annotations"].keys() == ANNOTATIONS, name
        assert "$value" in alert["annotations"]["description"], name
        assert alert["annotations"]["runbook_url"] == f"runbooks/{name}.md"


def test_every_number_that_an_alert_ends_with_is_a_declared_threshold_which_its_description_says() -> None:
    for alert in [alert for path in ALL_FILES for alert in ALERT.finditer(path.read_text())]:
        (rule,) = yaml.safe_load(alert[0])
        assert not re.search(r"[<>]=? -?[\d.]+(?:e-?\d+)?$", rule["expr"].strip()), rule["alert"]
        reads = "$threshold" in rule["expr"], "{{ $threshold " in rule["annotations"]["description"]
        assert reads == ("threshold" in rule, "threshold" in rule), rule["alert"]


def test_every_alert_links_a_panel_that_exists() -> None:
    titles = {
        store: {uid: {panel["title"] for panel in panels(board)} for uid, board in found.items()}
        for store, found in BOARDS.items()
    }
    of_one_store = {"loki": "Loki", "victorialogs": "VictoriaLogs|Vmalert"}
    for name, alert in ALERTS.items():
        link = re.fullmatch(r"/d/([\w-]+)\?panel=(.+)", alert["annotations"]["dashboard_url"])
        assert link, (name, alert["annotations"]["dashboard_url"])
        stores = [store for store, prefix in of_one_store.items() if re.match(prefix, name)] or LOG_STORES
        for store in stores:
            assert link[2] in titles[store][link[1]], f"{name}: {link[1]} has no panel {link[2]} with {store}"


def test_every_alert_has_a_runbook_with_commands_a_remedy_and_a_limit() -> None:
    for name in ALERTS:
        text = (ROOT / "runbooks" / f"{name}.md").read_text()
        assert text.startswith(f"# {name}\n")
        headings = re.findall(r"^## (.+)$", text, flags=re.MULTILINE)
        assert headings == ["Symptom", "Checks", "Remedy", "Escalate"], name
        assert "```sh\n" in text.split("## Checks")[1].split("## Remedy")[0], name


def test_no_runbook_is_left_of_an_alert_that_is_gone() -> None:
    pages = {path.stem for path in (ROOT / "runbooks").glob("*.md")} - {"README"}
    assert pages == ALERTS.keys()


def test_no_shared_rule_names_a_product() -> None:
    products = {path.stem for path in (ROOT / "products").glob("*.yaml")}
    for path in RULES.glob("*.yml"):
        exprs = " ".join(rule["expr"] for rule in rules_of(path))
        assert not [product for product in products if product.replace("-", "_") + "_" in exprs], path.name


def test_a_page_of_runbooks_shows_every_alert() -> None:
    pages = {name: f"# {name}\n" for name in ALERTS}
    (board,) = [one for one in boards(**vars(replace(FULL, runbooks=pages))).values() if "runbooks" in one["uid"]]
    assert {panel["title"] for panel in panels(board)} == set(ALERTS)
