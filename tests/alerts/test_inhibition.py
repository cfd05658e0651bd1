"""What a real Alertmanager does with the table of inhibitions: each pair in a product of its own, all at once."""

import pytest

from components.alerting.inhibitions import ESCALATIONS
from tests.support.alertmanager import alertmanager, firing
from tests.support.shipped_rules import ALERTS, CASES
from tests.support.waiting import wait_until

PAIRS = [(source, target) for source, targets in ESCALATIONS.items() for target in targets]
HAPPENED = {
    "HostDown": {},
    "TumulteBackendDown": {"job": "backend", "service": "backend"},
    "ServiceDown": {"job": "backend", "service": "backend"},
    "PostgresDown": {"job": "postgres", "service": "postgres", "instance": "postgres-exporter:9187"},
    "ContainerDown": {"service": "backend", "container": "shop-backend-1", "container_id": "abc"},
    "EdgeNoServerUp": {"job": "backend"},
    "HealthProbeFailed": {"job": "probe", "service": "backend", "probe": "health", "instance": "http://backend:3333/"},
    "ContainerRestarting": {"service": "backend", "container": "shop-backend-1", "container_id": "abc"},
    "TargetDown": {"job": "postgres", "service": "postgres", "instance": "postgres-exporter:9187"},
    "HighErrorRate": {"job": "backend"},
    "DiskSpaceLow": {"job": "node", "instance": "node-exporter:9100", "mountpoint": "/"},
}
"""Alerts as a stack of ours has them, by name."""


def shipped(name, product, **labels):
    own = ALERTS[name]["labels"]
    return firing(name, severity=own["severity"], scope=own["scope"], product=product, **labels)


def usual(name):
    """Return the labels that an alert fires with in its own test."""
    return next(said["exp_labels"] for _, case in CASES for said in case["exp_alerts"] if case["alertname"] == name)


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    with alertmanager(tmp_path_factory.mktemp("inhibition"), {}, {}) as found:
        yield found


def silenced(running, product):
    """Return the alerts of a product that are inhibited, as (name, a label that tells them apart)."""
    found = running.get("alerts", filter=f'product="{product}"')
    assert found
    return {
        (one["labels"]["alertname"], one["labels"].get("which", "")) for one in found if one["status"]["inhibitedBy"]
    }


@pytest.mark.parametrize(("source", "target"), PAIRS)
def test_what_is_critical_silences_the_lesser_alert_of_the_same_thing_alone(running, source, target):
    product = f"{source}-{target}".lower()
    labels = {key: value for key, value in usual(target).items() if key not in ("severity", "scope", "product")}
    telling = next(key for key in ("instance", "job", "cn", "store") if key in labels)
    running.post(
        [
            shipped(source, product, **{**labels, "environment": "production"}),
            shipped(target, product, **{**labels, "environment": "production", "which": "same"}),
            shipped(target, product, **{**labels, "environment": "production", "which": "other", telling: "another"}),
            shipped(target, product, **{**labels, "environment": "staging", "which": "staging"}),
        ]
    )
    assert silenced(running, product) == {(target, "same")}


def test_one_alert_at_two_severities_is_told_once(running):
    own = {"job": "backend", "product": "twice"}
    running.post(
        [
            firing("HighErrorRate", severity="critical", **own),
            firing("HighErrorRate", severity="warning", which="same", **own),
            firing("HighErrorRate", severity="info", which="same", **own),
            firing("HighErrorRate", severity="warning", which="route", **own, route="/polls"),
        ]
    )
    assert silenced(running, "twice") == {("HighErrorRate", "same")}
    assert len(running.get("alerts", filter='product="twice"', inhibited="false")) == 2


def test_a_host_that_is_down_says_nothing_of_what_runs_on_it(running):
    # The exporter's target is silenced by the store. A disk is the host's own.
    running.post([shipped(name, "host", **labels) for name, labels in HAPPENED.items()])
    assert {name for name, _ in silenced(running, "host")} == HAPPENED.keys() - {"HostDown", "DiskSpaceLow"}


def test_a_backend_that_is_down_is_told_once(running):
    names = ["TumulteBackendDown", "ServiceDown", "ContainerDown", "EdgeNoServerUp", "HealthProbeFailed"]
    names += ["ContainerRestarting", "HighErrorRate", "PostgresDown"]
    running.post([shipped(name, "backend", **HAPPENED[name]) for name in names])
    told = set(names) - {name for name, _ in silenced(running, "backend")}
    assert told == {"TumulteBackendDown", "HighErrorRate", "PostgresDown"}


def test_a_container_that_is_down_alone_is_told_and_its_other_trouble_is_not(running):
    names = ["ContainerDown", "ContainerRestarting", "HealthProbeFailed", "HighErrorRate"]
    running.post([shipped(name, "container", **HAPPENED[name]) for name in names])
    assert {name for name, _ in silenced(running, "container")} == {"ContainerRestarting", "HealthProbeFailed"}


def test_a_synthetic_alert_is_not_silenced_and_silences_nobody(running):
    running.post(
        [
            shipped("HostDown", "synthetic", dockyard_test="on-call"),
            shipped("RedisDown", "synthetic", job="redis", service="redis"),
            shipped("HostDown", "real"),
            shipped("RedisDown", "real", job="redis", service="redis", dockyard_test="on-call"),
        ]
    )
    assert silenced(running, "synthetic") == set()
    assert silenced(running, "real") == set()


def test_what_was_silenced_is_told_again_once_its_cause_is_gone(running):
    labels = HAPPENED["ContainerRestarting"]
    cause = {"job": "backend", "service": "backend", "product": "over"}
    running.post([firing("ServiceDown", **cause), shipped("ContainerRestarting", "over", **labels)])
    assert silenced(running, "over") == {("ContainerRestarting", "")}
    running.post([firing("ServiceDown", ended=True, **cause)])
    wait_until(lambda: not silenced(running, "over"), "nothing is inhibited any more")
