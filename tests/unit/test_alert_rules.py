"""A stack's own thresholds reach the rules, and alerts lead to this stack's Grafana."""

import json

import pytest
import yaml

from program.content import dashboard_context, runbooks
from program.rules import RuleRenderer, log_rules, rules
from settings.alert_rules import AlertOverride, log_rule_files, rule_files, thresholds
from settings.problems import SettingsError

FILE = """\
groups:
  - name: g
    rules:
      - record: a:b:c
        expr: up > 3
      - alert: DiskLow
        # Lower it on large disks.
        threshold: 0.150
        expr: >-
          free{x!="1"} / size
          < $threshold
        # Two scrapes.
        for: 5m
        labels: {severity: warning, scope: host}
        annotations:
          description: "{{ $value }} is free (limit: {{ $threshold | humanizePercentage }})."

      - alert: StoreDown
        expr: up == 0
        labels: {severity: critical, scope: store}
        annotations:
          description: "{{ $value }}"
"""


def change(**said: object) -> AlertOverride:
    return AlertOverride.model_validate(said)


def render(source: str = FILE, **overrides: AlertOverride) -> str:
    return RuleRenderer(overrides).render(source)


def loaded(text: str) -> dict[str, dict]:
    return {rule["alert"]: rule for rule in yaml.safe_load(text)["groups"][0]["rules"] or [] if "alert" in rule}


def test_a_threshold_is_declared_beside_the_expression_and_a_store_that_is_down_has_none():
    assert thresholds(FILE) == {"DiskLow": "0.150", "StoreDown": None}


def test_without_overrides_only_the_declared_threshold_is_filled_in():
    rendered = FILE.replace("        threshold: 0.150\n", "").replace("$threshold", "0.150")
    assert render() == render(Other=change(threshold=1)) == render(rendered) == rendered


def test_a_threshold_a_time_and_a_severity_are_replaced_or_added():
    alert = loaded(render(DiskLow=change(threshold=0.1)))["DiskLow"]
    assert alert["expr"] == 'free{x!="1"} / size < 0.1'
    assert alert["annotations"]["description"].endswith("(limit: {{ 0.1 | humanizePercentage }}).")
    made = loaded(render(DiskLow=change(**{"for": "1h"}), StoreDown=change(**{"for": "90s"})))
    assert [made[name]["for"] for name in ("DiskLow", "StoreDown")] == ["1h", "90s"]
    assert loaded(render(DiskLow=change(severity="info")))["DiskLow"]["labels"]["severity"] == "info"


def test_labels_come_besides_the_alert_s_own_and_replace_one_of_the_same_name():
    first = render(DiskLow=change(labels={"notify_sms": "true", "team": 'l\'équipe "A"'}, severity="info"))
    own = {"severity": "info", "scope": "host"}
    assert loaded(first)["DiskLow"]["labels"] == {**own, "notify_sms": "true", "team": 'l\'équipe "A"'}
    assert loaded(first)["StoreDown"] == loaded(FILE)["StoreDown"]
    again = render(first, DiskLow=change(labels={"notify_sms": "false"}, **{"for": "1h"}))
    assert loaded(again)["DiskLow"]["labels"]["notify_sms"] == "false"
    assert loaded(again)["DiskLow"]["for"] == "1h"
    assert first.count("# ") == FILE.count("# ")


def test_labels_may_stand_one_in_a_line():
    text = FILE.replace("labels: {severity: critical, scope: store}", "labels:\n          severity: critical")
    made = loaded(render(text, StoreDown=change(labels={"notify_sms": "true"})))["StoreDown"]
    assert made["labels"] == {"severity": "critical", "notify_sms": "true"}
    assert made["annotations"] == {"description": "{{ $value }}"}


def test_every_shipped_alert_takes_labels():
    files = {**rule_files("tumulte"), **rule_files("love-parser"), **log_rule_files("victorialogs")}
    for text in files.values():
        changes = {name: change(labels={"team": "night"}) for name in thresholds(text)}
        for group in yaml.load(render(text, **changes), yaml.CSafeLoader)["groups"]:
            for rule in group["rules"]:
                assert "alert" not in rule or rule["labels"]["team"] == "night"


@pytest.mark.parametrize("name", ["severity", "scope", "product", "environment", "alertname", "__name__", "a-b", "1st"])
def test_a_label_by_which_alerts_are_told_apart_cannot_be_given(shop_settings, name: str):
    with pytest.raises(SettingsError) as caught:
        shop_settings(product={"monitoring": {"thresholds": {"RedisDown": {"labels": {name: "x"}}}}})
    told = str(caught.value)
    assert f": monitoring.thresholds.RedisDown.labels.{name}: found {json.dumps(name)}, expected " in told
    assert ("another label: alertname, dockyard_test, environment, product, scope, severity" in told) == (
        name not in ("a-b", "1st")
    )


@pytest.mark.parametrize("value", ["{{ $value }}", "", True])
def test_a_label_s_value_is_text_as_it_stands(shop_settings, value: object):
    with pytest.raises(SettingsError, match=r"monitoring\.thresholds\.RedisDown\.labels\.notify_sms: found"):
        shop_settings(product={"monitoring": {"thresholds": {"RedisDown": {"labels": {"notify_sms": value}}}}})


def test_a_stack_s_labels_come_besides_the_product_s(shop_settings):
    settings = shop_settings(
        product={"monitoring": {"thresholds": {"RedisDown": {"labels": {"team": "a"}, "for": "2m"}}}},
        stack={"monitoring": {"thresholds": {"RedisDown": {"labels": {"notify_sms": "true"}}}}},
    )
    said = settings.product.monitoring.thresholds["RedisDown"]
    assert (said.labels, said.for_) == ({"team": "a", "notify_sms": "true"}, 120)
    assert 'notify_sms: "true"' in rules(settings, "http://grafana")["redis.yml"]


def test_an_alert_that_is_switched_off_is_gone_and_nothing_else():
    text = render(DiskLow=change(enabled=False))
    assert list(loaded(text)) == ["StoreDown"]
    assert "a:b:c" in text


def groups(settings) -> list[dict]:
    files = {**rules(settings, "http://grafana"), **log_rules(settings, "http://grafana")}
    return [group for text in files.values() for group in yaml.load(text, yaml.CSafeLoader)["groups"]]


def test_rule_interval_replaces_the_interval_of_every_group_and_nothing_else(shop_settings):
    own = groups(shop_settings())
    faster = groups(shop_settings(product={"monitoring": {"prometheus": {"rule_interval": "2s"}}}))
    # A group without an interval is evaluated at the global one: see test_monitoring_stack.py.
    assert {group.get("interval") for group in own} == {None, "30s", "1m", "2m"}
    assert faster == [{**group, "interval": "2s"} if "interval" in group else group for group in own]


def test_the_dashboards_draw_a_changed_threshold_and_that_of_an_alert_that_is_switched_off(shop_settings):
    overrides = {"DiskSpaceLow": {"threshold": 0.25}, "HighErrorRate": {"enabled": False}}
    settings = shop_settings(product={"monitoring": {"thresholds": overrides}})
    assert "HighErrorRate" not in thresholds(rules(settings, "http://grafana")["http.yml"])
    assert [dashboard_context(settings).limit(name) for name in overrides] == [0.25, 0.05]


def test_runbooks_can_be_read_elsewhere(shop_settings):
    settings = shop_settings(product={"monitoring": {"runbooks_url": "https://wiki.example/runbooks/"}})
    assert '"https://wiki.example/runbooks/DiskSpaceLow.md"' in rules(settings, "http://grafana")["host.yml"]
    assert dashboard_context(settings).runbooks == {}
    assert set(dashboard_context(shop_settings()).runbooks) == set(runbooks())


def test_an_unknown_alert_and_a_threshold_for_none_are_told_with_what_was_meant(shop_settings):
    with pytest.raises(SettingsError) as caught:
        shop_settings(
            product={"monitoring": {"thresholds": {"DiskSpaceLo": {"threshold": 1}, "PostgresDown": {"threshold": 1}}}}
        )
    told = str(caught.value)
    assert "monitoring.thresholds.DiskSpaceLo" in told
    assert "DiskSpaceLow" in told
    assert "monitoring.thresholds.PostgresDown.threshold" in told


def test_objectives_need_metrics(shop_settings):
    with pytest.raises(SettingsError, match="metrics, from which its slo is measured"):
        shop_settings(service={"slo": {"availability": 99}})
