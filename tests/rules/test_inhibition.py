"""Which alert silences which: every pair of the rules is known, and agrees in its labels."""

import re
from itertools import product

import pytest

from components.alerting.inhibitions import ESCALATIONS, SAME_THING, STACK, inhibitions
from tests.support.shipped_rules import ALERTS, CASES

NO_THING = {"severity", "scope", "notify_sms"}  # labels that say something of an alert, and not what it is about

COMPARED = re.compile(r"(?P<series>.+) (?P<how>[<>])=? (?P<limit>-?[\d.]+(?:e-?\d+)?)", re.DOTALL)


def compared(name: str) -> tuple[str, str, float] | None:
    """Return what an alert compares, how and with what; `1 - x > 0.8` is the same as `x < 0.2`."""
    found = COMPARED.fullmatch(" ".join(ALERTS[name]["expr"].split()))
    if not found:
        return None
    series, how, limit = found["series"], found["how"], float(found["limit"])
    if series.startswith("1 - ") and re.fullmatch(r"[\w:]+", series.removeprefix("1 - ")):
        return series.removeprefix("1 - "), "<" if how == ">" else ">", round(1 - limit, 10)
    return series, how, limit


def severity(name: str) -> str:
    return str(ALERTS[name]["labels"]["severity"])


def pairs() -> set[tuple[str, str]]:
    """Return (critical alert, lesser alert) of one series, the critical one being as strict or stricter."""
    seen = {name: said for name in ALERTS if (said := compared(name))}
    found = set()
    for (one, (series, how, limit)), (other, less) in product(seen.items(), seen.items()):
        stricter = limit >= less[2] if how == ">" else limit <= less[2]
        if severity(one) == "critical" != severity(other) and (series, how) == less[:2] and stricter:
            found.add((one, other))
    return found


def labels(name: str) -> set[str]:
    """Return the names of the labels that an alert fires with, as its tests have it."""
    (found,) = {
        frozenset(said["exp_labels"]) for _, case in CASES for said in case["exp_alerts"] if case["alertname"] == name
    }
    return set(found) - NO_THING


TABLE = {(source, target) for source, targets in ESCALATIONS.items() for target in targets}


def test_the_rules_have_such_pairs() -> None:
    assert {("ScaleCpuCritical", "ScaleCpuWarning"), ("LowMemoryAvailable", "ScaleMemoryWarning")} <= pairs()


@pytest.mark.parametrize("pair", sorted(pairs()), ids="-".join)
def test_every_pair_of_one_series_is_in_the_table(pair: tuple[str, str]) -> None:
    assert pair in TABLE


@pytest.mark.parametrize(("source", "target"), sorted(TABLE))
def test_a_pair_of_the_table_has_the_same_labels(source: str, target: str) -> None:
    assert labels(source) == labels(target), "Alertmanager takes a label that only one of them has for a difference"


def test_every_label_that_tells_things_apart_is_compared() -> None:
    used = {label for _, case in CASES for said in case["exp_alerts"] for label in said["exp_labels"]}
    assert used - NO_THING <= set(SAME_THING)


def test_every_alert_that_is_named_is_there() -> None:
    for rule in inhibitions():
        for matcher in rule["source_matchers"] + rule["target_matchers"]:
            if matcher.startswith("alertname=") and '"' in matcher:
                for one in matcher.split('"')[1].split("|"):
                    assert any(re.fullmatch(one, name) for name in ALERTS), matcher


def test_nothing_is_silenced_across_products_and_environments_and_nothing_without_a_target() -> None:
    for rule in inhibitions():
        assert set(STACK) <= set(rule["equal"])
        assert rule["target_matchers"]


@pytest.mark.parametrize(
    "name", ["ServiceDown", "TumulteBackendDown", "TumulteFrontendDown", "PostgresDown", "RedisDown"]
)
def test_what_is_down_has_the_labels_that_its_consequences_agree_in(name: str) -> None:
    assert {"job", "service"} <= labels(name)
