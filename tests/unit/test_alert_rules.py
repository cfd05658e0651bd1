"""A stack's own thresholds reach the rules, and alerts lead to this stack's Grafana."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from components.shipped import log_rules, objective_rules, rules, runbooks, shown
from dashboards.board import panel_id
from settings.alert_rules import AlertChange, alert_names, changed, thresholds
from settings.loader import Settings, load, read_stack_file
from settings.problems import SettingsError

FILE = """\
groups:
  - name: g
    rules:
      - record: a:b:c
        expr: up > 3
      - alert: DiskLow
        # Lower it on large disks.
        expr: >-
          free{x!="1"} / size
          < 0.15
        # Two scrapes.
        for: 5m
        labels: {severity: warning, scope: host}
        annotations:
          description: "{{ $value }} is free (limit: {{ 0.15 | humanizePercentage }})."

      - alert: StoreDown
        expr: up == 0
        labels: {severity: critical, scope: store}
        annotations:
          description: "{{ $value }}"
"""


CHECKOUT = Path(__file__).resolve().parents[2]


@pytest.fixture
def shop_settings(tmp_path: Path) -> Callable[..., Settings]:
    """Return the settings of a small shop; keywords are put over its product file and over its one service."""

    def made(product: dict | None = None, service: dict | None = None) -> Settings:
        web = {"image": "demo", "port": 3000, "health": {"http": "/ready"}, **(service or {})}
        said = {"name": "shop", "services": {"web": web}, **(product or {})}
        stack = {"config": {"dockyard:product": "products/shop.yaml", "dockyard:environment": "development"}}
        for folder in ("products", "components"):
            (tmp_path / folder).mkdir(exist_ok=True)
        (tmp_path / "components/images.yaml").write_text((CHECKOUT / "components/images.yaml").read_text())
        (tmp_path / "products/shop.yaml").write_text(yaml.safe_dump(said))
        (tmp_path / "Pulumi.dev.yaml").write_text(yaml.safe_dump(stack))
        return load(read_stack_file(tmp_path, "dev"), "dev", checkout=tmp_path)

    return made


def change(**said: object) -> AlertChange:
    return AlertChange.model_validate(said)


def loaded(text: str) -> dict[str, dict]:
    return {rule["alert"]: rule for rule in yaml.safe_load(text)["groups"][0]["rules"] or [] if "alert" in rule}


def test_a_threshold_is_what_the_expression_ends_with_and_a_store_that_is_down_has_none():
    assert thresholds(FILE) == {"DiskLow": 0.15}
    assert alert_names(FILE) == ["DiskLow", "StoreDown"]


def test_nothing_changes_where_nothing_is_said():
    assert changed(FILE, {}) == FILE
    assert changed(FILE, {"Other": change(threshold=1)}) == FILE


def test_a_threshold_is_replaced_in_the_expression_and_in_the_description():
    alert = loaded(changed(FILE, {"DiskLow": change(threshold=0.1)}))["DiskLow"]
    assert alert["expr"] == 'free{x!="1"} / size < 0.1'
    assert alert["annotations"]["description"].endswith("(limit: {{ 0.1 | humanizePercentage }}).")


def test_a_time_is_replaced_or_added_and_a_severity_too():
    made = loaded(changed(FILE, {"DiskLow": change(**{"for": "1h"}), "StoreDown": change(**{"for": "90s"})}))
    assert [made[name]["for"] for name in ("DiskLow", "StoreDown")] == ["1h", "90s"]
    assert loaded(changed(FILE, {"DiskLow": change(severity="info")}))["DiskLow"]["labels"]["severity"] == "info"


def test_an_alert_that_is_switched_off_is_gone_and_nothing_else():
    text = changed(FILE, {"DiskLow": change(enabled=False)})
    assert list(loaded(text)) == ["StoreDown"]
    assert "a:b:c" in text


def test_what_is_shipped_is_changed_by_the_settings_and_shown_on_the_dashboards(shop_settings):
    settings = shop_settings(product={"monitoring": {"thresholds": {"DiskSpaceLow": {"threshold": 0.25}}}})
    alert = {
        rule["alert"]: rule
        for group in yaml.safe_load(rules(settings, "http://grafana")["host.yml"])["groups"]
        for rule in group["rules"]
        if "alert" in rule
    }["DiskSpaceLow"]
    assert alert["expr"].endswith("< 0.25")
    assert shown(settings).limit("DiskSpaceLow") == 0.25


def test_the_line_of_an_alert_that_is_switched_off_is_drawn_all_the_same(shop_settings):
    settings = shop_settings(product={"monitoring": {"thresholds": {"HighErrorRate": {"enabled": False}}}})
    assert "HighErrorRate" not in alert_names(rules(settings, "http://grafana")["http.yml"])
    assert shown(settings).limit("HighErrorRate") == 0.05


def test_every_alert_of_a_stack_links_its_page_and_its_panel_in_that_stack_s_grafana(shop_settings):
    settings = shop_settings()
    found = 0
    for text in [*rules(settings, "https://g.example").values(), *log_rules(settings, "https://g.example").values()]:
        for group in yaml.safe_load(text)["groups"]:
            for rule in group["rules"]:
                if "alert" not in rule:
                    continue
                page = f"https://g.example/d/dockyard-runbooks/runbooks?viewPanel=panel-{panel_id(rule['alert'])}"
                assert rule["annotations"]["runbook_url"].startswith(page)
                assert rule["annotations"]["dashboard_url"].startswith("https://g.example/d/dockyard-")
                assert "?panel=" not in rule["annotations"]["dashboard_url"]
                found += 1
    assert found > 100


def test_runbooks_can_be_read_elsewhere(shop_settings):
    settings = shop_settings(product={"monitoring": {"runbooks_url": "https://wiki.example/runbooks/"}})
    assert '"https://wiki.example/runbooks/DiskSpaceLow.md"' in rules(settings, "http://grafana")["host.yml"]
    assert shown(settings).runbooks == {}
    assert set(shown(shop_settings()).runbooks) == set(runbooks())


def test_a_product_s_own_rules_are_its_own(shop_settings):
    assert "product-tumulte.yml" not in rules(shop_settings(), "http://grafana")


def test_objectives_become_series(shop_settings):
    slo = {"availability": 99.9, "latency": {"threshold": 1, "target": 95}}
    settings = shop_settings(service={"metrics": "/metrics", "slo": slo})
    text = objective_rules(settings)
    assert text is not None
    assert text in rules(settings, "http://grafana").values()
    first, second = yaml.safe_load(text)["groups"][0]["rules"]
    own = {"product": "shop", "environment": "development", "tier": "app", "job": "web"}
    assert first == {"record": "slo:objective:ratio", "expr": "vector(0.999)", "labels": {**own, "slo": "availability"}}
    assert second["expr"] == "vector(0.95)"
    assert second["labels"] == {**own, "slo": "latency", "le": "1.0"}


def test_without_objectives_there_is_no_such_file(shop_settings):
    assert objective_rules(shop_settings()) is None


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
    with pytest.raises(SettingsError, match="metrics, by which its slo is measured"):
        shop_settings(service={"slo": {"availability": 99}})
