"""Prometheus and Grafana where their settings are no shipped stack's."""

import pytest
import yaml

from components.context import ScrapeTarget
from components.monitoring_stack import MonitoringStack, MonitoringStackConfig
from components.prometheus_config import prometheus_config
from settings.monitoring import Monitoring
from tests.support.recording import record


@pytest.fixture
def monitoring(make_context):
    def build_stack(said=None, secrets=None):
        def program():
            config = MonitoringStackConfig(
                Monitoring.model_validate(said or {}),
                make_context(),
                lambda name: name,
                targets=[],
                alertmanagers=["alertmanager:9093"],
                rules={},
                dashboards={},
                root_url="http://127.0.0.1:3001",
            )
            MonitoringStack("m", config)

        return record(program, secrets=secrets)

    return build_stack


def config_of(world) -> dict:
    return yaml.safe_load(world["m-prometheus-config-writer"].files["/dockyard/files/prometheus.yml"])


def test_interval_and_retention_are_settings(monitoring):
    world = monitoring({"prometheus": {"retention": "12h", "scrape_interval": "30s"}})
    assert "--storage.tsdb.retention.time=12h" in world["m-prometheus"].inputs["command"]
    assert config_of(world)["global"]["scrape_interval"] == "30s"


def test_rules_are_evaluated_as_often_as_services_are_scraped_unless_rule_interval_is_set(monitoring):
    every_minute = config_of(monitoring({"prometheus": {"scrape_interval": "1m"}}))["global"]
    assert every_minute["evaluation_interval"] == "1m"
    faster = config_of(monitoring({"prometheus": {"rule_interval": "2s"}}))["global"]
    assert (faster["evaluation_interval"], faster["scrape_interval"]) == ("2s", "15s")


def rendered(*targets: ScrapeTarget, **options) -> dict:
    found = []
    text = prometheus_config(targets, **{"alertmanagers": ["a:1"], "labels": {"product": "shop"}, **options})
    record(lambda: text.apply(found.append))
    return yaml.safe_load(found[0])


def test_a_scrape_ends_before_the_next_begins():
    assert rendered(interval=5)["global"]["scrape_timeout"] == "5s"


def test_every_alertmanager_is_told():
    alerting = rendered(interval=15, alertmanagers=["a:1", "b:1"])["alerting"]
    assert alerting == {"alertmanagers": [{"static_configs": [{"targets": ["a:1", "b:1"]}]}]}


def test_replicas_are_instances_of_one_job_whose_names_outlive_a_release():
    config = rendered(
        ScrapeTarget("api", "shop-api-1a2b3c4:80", instance="api:80"),
        ScrapeTarget("api", "shop-api-2-5d6e7f8:80", instance="api-2:80"),
        interval=15,
    )
    (job,) = config["scrape_configs"]
    assert {group["labels"]["instance"]: group["targets"] for group in job["static_configs"]} == {
        "api:80": ["shop-api-1a2b3c4:80"],
        "api-2:80": ["shop-api-2-5d6e7f8:80"],
    }


def test_grafanas_password_is_generated_unless_it_is_given(monitoring):
    def written(world):
        return world["m-grafana-provisioning-writer"].files["/dockyard/files/secrets/admin-password"]

    assert written(monitoring()) == "generated-m-grafana-password"
    given = monitoring(secrets={"grafana-admin-password": "given"})
    assert written(given) == "given"
    assert "m-grafana-password" not in given
