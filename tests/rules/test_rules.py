"""Every rule is valid, every alert is proved both ways, says what it saw, and leads to a page and to a panel."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from settings.alert_rules import ALERT, LOG_STORES, alert_names, thresholds
from tests.dashboards.stacks import FULL, boards, panels
from tests.promtools import promtool

ROOT = Path(__file__).resolve().parents[2]
RULES = ROOT / "rules"
RULE_FILES = sorted([*RULES.glob("*.yml"), *RULES.glob("products/*.yml")])
LOG_RULE_FILES = sorted(path for store in LOG_STORES for path in RULES.glob(f"{store}/*.yml"))
TEST_FILES = sorted((RULES / "tests").rglob("*_test.yml"))

SEED_ALERTS = {
    # Tumulte's table, under exactly these names.
    "TumulteBackendDown": "critical",
    "TumulteFrontendDown": "critical",
    "HighRequestLatency": "warning",
    "HighErrorRate": "critical",
    "HighCpuUsage": "warning",
    "LowMemoryAvailable": "critical",
    "DiskSpaceLow": "warning",
    "PostgresDown": "critical",
    "RedisDown": "critical",
    "ContainerRestarting": "warning",
    # Tumulte's scaling table: CPU 70 and 85 %, RAM 80 %, p95 0.5 and 1 s, pool 80 %, 500 WebSockets an instance.
    "ScaleCpuWarning": "warning",
    "ScaleCpuCritical": "critical",
    "ScaleMemoryWarning": "warning",
    "ScaleLatencyWarning": "warning",
    "ScaleLatencyCritical": "critical",
    "ScaleDatabasePool": "warning",
    "ScaleWebSockets": "info",
    # Love Parser's runbook.
    "BroadcastQueueStuck": "critical",
    "PaymentCallbackFailures": "critical",
    "DBPoolExhaustion": "critical",
    # The dating app's rules.
    "ContainerDown": "critical",
    "ContainerHighMemory": "warning",
    "ContainerHighCpu": "warning",
    "HighDatabaseConnections": "warning",
}
SEED_LIMITS = {
    "HighRequestLatency": 1,
    "HighErrorRate": 0.05,
    "HighCpuUsage": 0.80,
    "LowMemoryAvailable": 0.10,
    "DiskSpaceLow": 0.15,
    "ContainerRestarting": 3,
    "ScaleCpuWarning": 0.70,
    "ScaleCpuCritical": 0.85,
    "ScaleMemoryWarning": 0.80,
    "ScaleLatencyWarning": 0.5,
    "ScaleLatencyCritical": 1,
    "ScaleDatabasePool": 0.80,
    "ScaleWebSockets": 500,
    "ContainerHighMemory": 0.90,
    "ContainerHighCpu": 0.80,
    "HighDatabaseConnections": 0.80,
    # Love Parser's runbook names no figures: these are ours.
    "BroadcastQueueStuck": 0,
    "PaymentCallbackFailures": 3,
    "DBPoolExhaustion": 0.95,
}
ALWAYS_FIRING = {"Watchdog"}
"""vector(1) has no series that could keep it from firing."""

SCOPES = {"host", "container", "service", "store", "queue", "probe", "edge", "monitoring", "backup", "slo"}
ANNOTATIONS = {"summary", "description", "runbook_url", "dashboard_url"}


def rules_of(path: Path) -> list[dict[str, Any]]:
    document = yaml.safe_load(path.read_text())
    return [rule for group in document["groups"] for rule in group["rules"]]


METRIC_ALERTS = {rule["alert"]: rule for path in RULE_FILES for rule in rules_of(path) if "alert" in rule}
LOG_ALERTS = {rule["alert"]: rule for path in LOG_RULE_FILES for rule in rules_of(path) if "alert" in rule}
ALERTS = {**METRIC_ALERTS, **LOG_ALERTS}
ALL_FILES = [*RULE_FILES, *LOG_RULE_FILES]
LIMITS = {name: limit for path in ALL_FILES for name, limit in thresholds(path.read_text()).items()}
BOARDS = {
    store: {board["uid"]: board for board in boards(limits=LIMITS, log_store=store).values()} for store in LOG_STORES
}
"""Log store → uid → board."""


def cases() -> list[tuple[str, dict[str, Any]]]:
    """Return the name of the test and the case for every alert that some promtool test asks for."""
    return [
        (test["name"], case)
        for path in TEST_FILES
        for test in yaml.safe_load(path.read_text())["tests"]
        for case in test.get("alert_rule_test", [])
    ]


CASES = cases()


def test_there_are_at_least_120_alerts() -> None:
    assert len(ALERTS) >= 120


def test_promtool_takes_every_rule_file() -> None:
    assert RULE_FILES
    result = promtool(["check", "rules", "--lint=all", "--lint-fatal", *RULE_FILES], cwd=ROOT)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize("path", TEST_FILES, ids=lambda path: path.stem)
def test_the_rules_fire_when_they_should_and_only_then(path: Path) -> None:
    result = promtool(["test", "rules", path.name], cwd=path.parent)
    assert result.returncode == 0, result.stdout + result.stderr


def test_every_rule_file_has_a_test_file() -> None:
    wanted = {str(path.relative_to(RULES).with_suffix("")) for path in RULE_FILES}
    assert {str(path.relative_to(RULES / "tests"))[: -len("_test.yml")] for path in TEST_FILES} == wanted


@pytest.mark.parametrize("name", sorted(METRIC_ALERTS))
def test_every_alert_is_tested_to_fire_and_to_stay_quiet_by_tests_that_bear_its_name(name: str) -> None:
    own = [case for test, case in CASES if case["alertname"] == name and test.startswith(f"{name}:")]
    assert any(case["exp_alerts"] for case in own), f"no test in rules/tests expects {name} to fire"
    if name not in ALWAYS_FIRING:
        assert any(not case["exp_alerts"] for case in own), f"no test in rules/tests expects {name} to stay quiet"


def test_a_test_that_expects_an_alert_says_all_its_labels_and_annotations() -> None:
    for test, case in CASES:
        for expected in case["exp_alerts"]:
            assert {"severity", "scope", "product", "environment"} <= expected["exp_labels"].keys(), test
            assert expected["exp_annotations"].keys() == ANNOTATIONS, test


@pytest.mark.parametrize("name", sorted(SEED_ALERTS))
def test_the_seeds_alerts_are_there_with_their_severities_and_limits(name: str) -> None:
    assert ALERTS[name]["labels"]["severity"] == SEED_ALERTS[name]
    if name in SEED_LIMITS:
        assert LIMITS[name] == SEED_LIMITS[name]


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


@pytest.mark.parametrize("name", sorted(ALERTS))
def test_every_alert_says_how_bad_it_is_what_it_saw_and_what_to_do(name: str) -> None:
    alert = ALERTS[name]
    assert alert["labels"]["severity"] in {"critical", "warning", "info"}
    assert alert["labels"]["scope"] in SCOPES
    assert alert["annotations"].keys() == ANNOTATIONS
    assert "$value" in alert["annotations"]["description"]
    assert alert["annotations"]["runbook_url"] == f"runbooks/{name}.md"


@pytest.mark.parametrize("name", sorted(LIMITS))
def test_a_description_says_the_limit_in_the_form_that_a_setting_replaces(name: str) -> None:
    path = next(path for path in ALL_FILES if name in alert_names(path.read_text()))
    block = next(found["body"] for found in ALERT.finditer(path.read_text()) if found["name"] == name)
    spelled = re.findall(r"[<>]=? (-?[\d.]+(?:e-?\d+)?)[\"']?\s*\n", block.split("labels:")[0])[-1]
    assert re.search(rf"\{{\{{ {re.escape(spelled)}[ |}}]", block.split("annotations:")[1]), (
        f"{name}: its description does not say {{{{ {spelled} }}}}"
    )


@pytest.mark.parametrize("name", sorted(ALERTS))
def test_every_alert_links_a_panel_that_there_is(name: str) -> None:
    found = re.fullmatch(r"/d/([\w-]+)\?panel=(.+)", ALERTS[name]["annotations"]["dashboard_url"])
    assert found, ALERTS[name]["annotations"]["dashboard_url"]
    uid, title = found.groups()
    of_one_store = {"loki": "Loki", "victorialogs": "VictoriaLogs|Vmalert"}
    stores = [store for store, prefix in of_one_store.items() if re.match(prefix, name)] or LOG_STORES
    for store in stores:
        assert title in {panel["title"] for panel in panels(BOARDS[store][uid])}, f"{uid} has no panel {title}: {store}"


@pytest.mark.parametrize("name", sorted(ALERTS))
def test_every_alert_has_a_runbook_with_commands_a_remedy_and_a_limit(name: str) -> None:
    text = (ROOT / "runbooks" / f"{name}.md").read_text()
    headings = re.findall(r"^## (.+)$", text, flags=re.MULTILINE)
    assert text.startswith(f"# {name}\n")
    assert headings == ["Symptom", "Checks", "Remedy", "Escalate"]
    checks = text.split("## Checks")[1].split("## Remedy")[0]
    assert "```sh\n" in checks


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
