from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.promtools import promtool

ROOT = Path(__file__).resolve().parents[2]
RULES = ROOT / "rules"
RULE_FILES = sorted(RULES.glob("*.yml"))
TEST_FILES = sorted((RULES / "tests").glob("*.yml"))

# The alerts that the Tumulte seed promises under exactly these names.
SEED_ALERTS = {
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
}
# vector(1) has no series that could keep it from firing.
ALWAYS_FIRING = {"Watchdog"}


def rules_of(path: Path) -> list[dict[str, Any]]:
    document = yaml.safe_load(path.read_text())
    return [rule for group in document["groups"] for rule in group["rules"]]


ALERTS = {rule["alert"]: rule for path in RULE_FILES for rule in rules_of(path) if "alert" in rule}


def alerts_in_tests(fires: bool) -> set[str]:
    """Return the alerts that some promtool test expects to fire, or expects to stay quiet."""
    names = set()
    for path in TEST_FILES:
        for test in yaml.safe_load(path.read_text())["tests"]:
            for case in test.get("alert_rule_test", []):
                if bool(case.get("exp_alerts")) == fires:
                    names.add(case["alertname"])
    return names


def test_promtool_takes_every_rule_file() -> None:
    assert RULE_FILES
    result = promtool(["check", "rules", "--lint=all", "--lint-fatal", *RULE_FILES], cwd=ROOT)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize("path", TEST_FILES, ids=lambda path: path.stem)
def test_the_rules_fire_when_they_should_and_only_then(path: Path) -> None:
    result = promtool(["test", "rules", path.name], cwd=path.parent)
    assert result.returncode == 0, result.stdout + result.stderr


def test_every_rule_file_has_a_test_file() -> None:
    assert {path.stem for path in TEST_FILES} == {f"{path.stem}_test" for path in RULE_FILES}


@pytest.mark.parametrize("name", sorted(ALERTS))
def test_every_alert_is_tested_to_fire_and_to_stay_quiet(name: str) -> None:
    assert name in alerts_in_tests(fires=True), f"no test in rules/tests expects {name} to fire"
    if name not in ALWAYS_FIRING:
        assert name in alerts_in_tests(fires=False), f"no test in rules/tests expects {name} to stay quiet"


def test_a_test_that_expects_an_alert_says_its_labels_and_annotations() -> None:
    for path in TEST_FILES:
        for test in yaml.safe_load(path.read_text())["tests"]:
            for case in test.get("alert_rule_test", []):
                for expected in case["exp_alerts"]:
                    assert expected["exp_labels"]["severity"], f"{path.name}: {case}"
                    assert expected["exp_annotations"].keys() == {"summary", "description", "runbook"}


def test_the_seed_s_ten_alerts_are_there_with_its_severities() -> None:
    found = {name: ALERTS[name]["labels"]["severity"] for name in SEED_ALERTS if name in ALERTS}
    assert found == SEED_ALERTS


def test_no_alert_or_recording_is_defined_twice() -> None:
    names = [rule.get("alert") or rule["record"] for path in RULE_FILES for rule in rules_of(path)]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("name", sorted(ALERTS))
def test_every_alert_says_how_bad_it_is_what_it_saw_and_what_to_do(name: str) -> None:
    alert = ALERTS[name]
    assert alert["labels"]["severity"] in {"critical", "warning", "info"}
    assert alert["annotations"].keys() == {"summary", "description", "runbook"}
    assert "$value" in alert["annotations"]["description"]
    assert alert["annotations"]["runbook"] == f"runbooks/{name}.md"


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
