"""The shipped rules, with their thresholds filled in, and their tests; read once for the tests of several folders.

`python -m tests.support.shipped_rules FOLDER` writes both into a folder, for promtool.
"""

import shutil
import sys
from pathlib import Path
from typing import Any

import yaml

from program.rules import RuleRenderer
from settings.alert_rules import LOG_STORES, thresholds
from settings.problems import LOADER

ROOT = Path(__file__).resolve().parents[2]
RULES = ROOT / "rules"
RULE_FILES = sorted([*RULES.glob("*.yml"), *RULES.glob("products/*.yml")])
LOG_RULE_FILES = sorted(path for store in LOG_STORES for path in RULES.glob(f"{store}/*.yml"))
ALL_FILES = [*RULE_FILES, *LOG_RULE_FILES]
TEST_FILES = sorted((RULES / "tests").rglob("*_test.yml"))


def rules_in(text: str) -> list[dict[str, Any]]:
    return [rule for group in yaml.load(text, LOADER)["groups"] for rule in group["rules"]]  # noqa: S506 - a safe one


def alerts_in(text: str) -> dict[str, dict[str, Any]]:
    return {rule["alert"]: rule for rule in rules_in(text) if "alert" in rule}


def rules_of(path: Path) -> list[dict[str, Any]]:
    return rules_in(RuleRenderer().render(path.read_text()))


def cases() -> list[tuple[str, dict[str, Any]]]:
    """Return the name of the test and the case for every alert that some promtool test asks for."""
    return [
        (test["name"], case)
        for path in TEST_FILES
        for test in yaml.load(path.read_text(), LOADER)["tests"]  # noqa: S506 - a safe one
        for case in test.get("alert_rule_test", [])
    ]


METRIC_ALERTS = {rule["alert"]: rule for path in RULE_FILES for rule in rules_of(path) if "alert" in rule}
LOG_ALERTS = {rule["alert"]: rule for path in LOG_RULE_FILES for rule in rules_of(path) if "alert" in rule}
ALERTS = {**METRIC_ALERTS, **LOG_ALERTS}
THRESHOLDS = {name: spelling for path in ALL_FILES for name, spelling in thresholds(path.read_text()).items()}
LIMITS = {name: float(spelling) for name, spelling in THRESHOLDS.items() if spelling}
CASES = cases()


def write_rendered(folder: Path) -> None:
    """Write the rule files with their thresholds filled in, and their tests, as they lie in rules/."""
    shutil.copytree(RULES, folder, dirs_exist_ok=True)
    for path in ALL_FILES:
        (folder / path.relative_to(RULES)).write_text(RuleRenderer().render(path.read_text()))


if __name__ == "__main__":
    write_rendered(Path(sys.argv[1]))
