"""Rules and their tests, cut down to what judges one rule: a mutant is then judged in milliseconds."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from program.rules import RuleRenderer

LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
DUMPER = getattr(yaml, "CSafeDumper", yaml.SafeDumper)


class _Texts(LOADER):  # type: ignore[misc,valid-type]  # chosen at run time: with libyaml or without
    """Leaves every value the text that it is: `0x20` is twenty zeros to promtool, and 32 to YAML."""

    yaml_implicit_resolvers = {"<": LOADER.yaml_implicit_resolvers["<"]}


class _Plain(DUMPER):  # type: ignore[misc,valid-type]  # likewise
    """Writes every text as it stands, without quotes that say it is none of a number."""

    yaml_implicit_resolvers: dict[str, Any] = {}


Place = tuple[Path, int, int]  # a rule: its file, and the numbers of group and rule in it


@dataclass(frozen=True)
class Rule:
    place: Place
    said: Mapping[str, Any]

    @property
    def alert(self) -> bool:
        return "alert" in self.said

    @property
    def name(self) -> str:
        return str(self.said["alert"] if self.alert else self.said["record"])

    @property
    def expr(self) -> str:
        return str(self.said["expr"])


@dataclass(frozen=True)
class TestFile:
    __test__ = False
    path: Path
    said: Mapping[str, Any]
    rule_files: tuple[Path, ...]


@dataclass
class Bench:
    """All rules of a folder, and their tests; no PromQL stands in `loki/` and `victorialogs/`, no rules in `fr/`."""

    folder: Path
    documents: dict[Path, Mapping[str, Any]] = field(init=False)
    tests: list[TestFile] = field(init=False)

    def __post_init__(self) -> None:
        paths = [
            path
            for path in sorted(self.folder.rglob("*.yml"))
            if not {"tests", "loki", "victorialogs", "fr"} & {*path.relative_to(self.folder).parts[:-1]}
        ]
        self.documents = {path.resolve(): read(path) for path in paths}
        self.tests = [
            TestFile(path, said, tuple(_rule_files(path, said)))
            for path in sorted((self.folder / "tests").rglob("*.yml"))
            if "rule_files" in (said := read(path))
        ]

    @cached_property
    def rules(self) -> list[Rule]:
        return [
            Rule((path, group, position), rule)
            for path, document in self.documents.items()
            for group, said in enumerate(document["groups"])
            for position, rule in enumerate(said["rules"])
        ]

    def read_by(self, expr: str) -> set[Place]:
        """Return the rules whose series an expression may read; too many rather than too few."""
        words = {*re.findall(r"[a-zA-Z_:][\w:]*", expr)}
        patterns = [re.compile(one) for one in re.findall(r'__name__\s*=~\s*"([^"]*)"', expr)]
        return {
            rule.place
            for rule in self.rules
            if (rule.alert and words & {"ALERTS", "ALERTS_FOR_STATE"})
            or (not rule.alert and (rule.name in words or any(one.fullmatch(rule.name) for one in patterns)))
        }

    @cached_property
    def _reads(self) -> dict[Place, set[Place]]:
        direct = {rule.place: self.read_by(rule.expr) for rule in self.rules}
        return {place: _closure(found, direct) for place, found in direct.items()}

    def reads(self, rules: Iterable[Place]) -> set[Place]:
        """Return the given rules and all that they read, directly or not."""
        return {one for place in rules for one in (place, *self._reads[place])}

    def readers(self, rule: Rule) -> set[Place]:
        """Return a rule and all that read it, directly or not."""
        return {rule.place, *(place for place, found in self._reads.items() if rule.place in found)}

    def mutable(self) -> list[Rule]:
        """Return every alert, and every recording that an alert reads."""
        needed = self.reads(rule.place for rule in self.rules if rule.alert)
        return [rule for rule in self.rules if rule.place in needed]

    def stages(self, rule: Rule) -> list[Stage]:
        """Return what judges a rule: of an alert the tests named after it, of a recording all tests of its readers."""
        found = []
        touched = self.readers(rule)
        for test in self.tests:
            if rule.place[0] not in test.rule_files:
                continue
            if rule.alert:
                groups = [one for one in test.said["tests"] if str(one.get("name", "")).startswith(f"{rule.name}:")]
            else:
                groups = test.said["tests"]
            cut = [one for group in groups if (one := self._cut(group, {rule.place} if rule.alert else touched))]
            if cut:
                found.append(self._stage(test, cut, touched if not rule.alert else {rule.place}))
        return found

    def groups(self, test: TestFile) -> list[Stage]:
        """Return each group of a test file with no rules but those whose alerts or series it asks for."""
        return [
            self._stage(test, [group], {rule.place for rule in self.rules if rule.alert and rule.name in names})
            for group in test.said["tests"]
            for names in [{case["alertname"] for case in group.get("alert_rule_test", [])}]
        ]

    def _cut(self, group: Mapping[str, Any], touched: set[Place]) -> dict[str, Any] | None:
        """Return a test group with the cases that the touched rules can change; None where there are none."""
        names = {rule.name for rule in self.rules if rule.place in touched}
        alerts = [case for case in group.get("alert_rule_test", []) if case["alertname"] in names]
        queries = [
            case for case in group.get("promql_expr_test", []) if self.reads(self.read_by(case["expr"])) & touched
        ]
        if not alerts and not queries:
            return None
        kept = {key: value for key, value in group.items() if key not in ("alert_rule_test", "promql_expr_test")}
        return {
            **kept,
            **({"alert_rule_test": alerts} if alerts else {}),
            **({"promql_expr_test": queries} if queries else {}),
        }

    def _stage(self, test: TestFile, groups: list[dict[str, Any]], touched: set[Place]) -> Stage:
        queried = {
            place
            for group in groups
            for case in group.get("promql_expr_test", [])
            for place in self.read_by(case["expr"])
        }
        needed = self.reads({*touched, *queried})
        names = {path: f"{number}.yml" for number, path in enumerate(test.rule_files)}
        said = {**test.said, "rule_files": [*names.values()], "tests": groups}
        return Stage({names[path]: self._kept(path, needed) for path in names}, said, names)

    def _kept(self, path: Path, needed: set[Place]) -> list[tuple[Mapping[str, Any], list[Rule]]]:
        rules = [rule for rule in self.rules if rule.place[0] == path and rule.place in needed]
        groups = self.documents[path]["groups"]
        return [
            (group, own)
            for number, group in enumerate(groups)
            if (own := [rule for rule in rules if rule.place[1] == number])
        ]


@dataclass(frozen=True)
class Stage:
    """A test file and rule files that hold no more than one rule's judgement needs."""

    rule_files: Mapping[str, list[tuple[Mapping[str, Any], list[Rule]]]]
    tests: Mapping[str, Any]
    names: Mapping[Path, str]

    @cached_property
    def test_text(self) -> str:
        return dumped(self.tests)

    @cached_property
    def _texts(self) -> dict[str, str]:
        return {name: dumped(_document(groups, None, ())) for name, groups in self.rule_files.items()}

    @property
    def text(self) -> str:
        return "\n".join([*self._texts.values(), self.test_text])

    @property
    def asks_alerts_alone(self) -> bool:
        """Whether it asks only which alerts fire, and its rule files hold no alert but one."""
        alerts = [rule for groups in self.rule_files.values() for _, rules in groups for rule in rules if rule.alert]
        return len(alerts) == 1 and not any(group.get("promql_expr_test") for group in self.tests["tests"])

    def write(self, folder: Path, rule: Rule | None = None, instead: Sequence[Mapping[str, Any]] = ()) -> Path:
        """Write the files, with `instead`, each of which is asked for all, in the place of a rule; return the test
        file."""
        folder.mkdir(parents=True)
        for name, groups in self.rule_files.items():
            changed = rule and self.names.get(rule.place[0]) == name
            text = dumped(_document(groups, rule.place, instead)) if rule and changed else self._texts[name]
            (folder / name).write_text(text)
        target = folder / "test.yml"
        target.write_text(self.test_text if len(instead) < 2 else dumped(self._asking(instead)))
        return target

    def _asking(self, alerts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """Return the tests with each case once for each alert."""
        groups = [
            {
                **group,
                "alert_rule_test": [
                    {**case, "alertname": alert["alert"]} for case in group["alert_rule_test"] for alert in alerts
                ],
            }
            for group in self.tests["tests"]
        ]
        return {**self.tests, "tests": groups}


def _document(
    groups: list[tuple[Mapping[str, Any], list[Rule]]], place: Place | None, instead: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    def rules_of(own: list[Rule]) -> list[Any]:
        return [said for rule in own for said in (map(dict, instead) if rule.place == place else [rule.said])]

    return {"groups": [{**group, "rules": rules_of(own)} for group, own in groups]}


def _closure(start: set[Place], direct: Mapping[Place, set[Place]]) -> set[Place]:
    found, waiting = set(start), list(start)
    while waiting:
        new = direct[waiting.pop()] - found
        found |= new
        waiting += new
    return found


def _rule_files(path: Path, said: Mapping[str, Any]) -> Iterator[Path]:
    for pattern in said["rule_files"]:
        yield from (one.resolve() for one in sorted(path.parent.glob(pattern)))


def read(path: Path) -> dict[str, Any]:
    return yaml.load(RuleRenderer().render(path.read_text()), Loader=_Texts) or {}  # noqa: S506 - a safe one


def dumped(said: object) -> str:
    return str(yaml.dump(said, Dumper=_Plain, sort_keys=False, allow_unicode=True, width=10**6))
