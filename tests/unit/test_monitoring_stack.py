"""Prometheus and Grafana."""

import pulumi
import pytest
import yaml

from components.context import ScrapeTarget
from components.monitoring_stack import MonitoringStack, MonitoringStackConfig
from components.prometheus_config import prometheus_config
from settings.monitoring import Monitoring
from tests.support.recording import record


@pytest.fixture
def monitoring(make_context):
    def build_stack(said=None, secrets=None, root_url="http://127.0.0.1:3001", logs=False):
        def program():
            MonitoringStack(
                "m",
                MonitoringStackConfig(
                    Monitoring.model_validate(said or {}),
                    make_context(),
                    lambda name: name,
                    targets=[ScrapeTarget("api", pulumi.Output.from_input("shop-api-1a2b3c4:8000"), own=True)],
                    alertmanagers=["alertmanager:9093"],
                    rules={"one.yml": "groups: []\n"},
                    dashboards={"overview.json": "{}"},
                    root_url=root_url,
                    logs=logs,
                ),
            )

        return record(program, secrets=secrets)

    return build_stack


def config_of(world) -> dict:
    return yaml.safe_load(world["m-prometheus-config-writer"].files["/dockyard/files/prometheus.yml"])


def test_prometheus_keeps_thirty_days_and_scrapes_every_fifteen_seconds(monitoring):
    world = monitoring()
    assert "--storage.tsdb.retention.time=30d" in world["m-prometheus"].inputs["command"]
    assert config_of(world)["global"]["scrape_interval"] == "15s"


def test_interval_and_retention_are_settings(monitoring):
    world = monitoring({"prometheus": {"retention": "12h", "scrape_interval": "30s"}})
    assert "--storage.tsdb.retention.time=12h" in world["m-prometheus"].inputs["command"]
    assert config_of(world)["global"]["scrape_interval"] == "30s"


def test_rules_are_evaluated_as_often_as_services_are_scraped_unless_rule_interval_is_set(monitoring):
    every_minute = config_of(monitoring({"prometheus": {"scrape_interval": "1m"}}))["global"]
    assert every_minute["evaluation_interval"] == "1m"
    faster = config_of(monitoring({"prometheus": {"rule_interval": "2s"}}))["global"]
    assert (faster["evaluation_interval"], faster["scrape_interval"]) == ("2s", "15s")


def test_its_data_is_on_a_data_volume(monitoring):
    world = monitoring()
    assert world["m-prometheus-data"].label("dockyard.volume") == "data"
    assert world["m-prometheus"].delete_before_replace


def test_every_target_is_scraped_and_alerts_go_to_alertmanager(monitoring):
    config = config_of(monitoring())
    jobs = {job["job_name"]: job["static_configs"][0]["targets"] for job in config["scrape_configs"]}
    assert jobs == {"api": ["shop-api-1a2b3c4:8000"], "prometheus": ["localhost:9090"], "grafana": ["grafana:3000"]}
    assert config["alerting"]["alertmanagers"][0]["static_configs"][0]["targets"] == ["alertmanager:9093"]
    assert config["rule_files"] == ["rules/*.yml"]


def rendered(*targets: ScrapeTarget, **options) -> dict:
    found = []
    text = prometheus_config(targets, **{"alertmanagers": ["a:1"], "labels": {"product": "shop"}, **options})
    record(lambda: text.apply(found.append))
    return yaml.safe_load(found[0])


def test_every_alertmanager_is_told():
    alerting = rendered(interval=15, alertmanagers=["a:1", "b:1"])["alerting"]
    assert alerting == {"alertmanagers": [{"static_configs": [{"targets": ["a:1", "b:1"]}]}]}


def test_ten_thousand_alerts_at_once_fit_in_the_queue(monitoring):
    assert "--alertmanager.notification-queue-capacity=20000" in monitoring()["m-prometheus"].inputs["command"]


def test_every_series_and_every_alert_names_product_and_environment():
    config = rendered(ScrapeTarget("api", "api:8000"), interval=5)
    assert config["global"]["external_labels"] == {"product": "shop"}
    assert config["scrape_configs"][0]["static_configs"][0]["labels"] == {"service": "api", "product": "shop"}
    assert config["global"]["scrape_timeout"] == "5s"


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


def test_infrastructure_can_be_scraped_less_often_than_the_services():
    config = rendered(
        ScrapeTarget("api", "a:1", own=True), ScrapeTarget("node", "n:1"), interval=15, infrastructure_interval=30
    )
    assert {job["job_name"]: job.get("scrape_interval") for job in config["scrape_configs"]} == {
        "api": None,
        "node": "30s",
    }


def test_rules_are_checked_with_promtool_before_they_are_loaded(monitoring):
    writer = monitoring()["m-prometheus-config-writer"]
    assert "/dockyard/files/rules/one.yml" in writer.files
    (script,) = writer.inputs["command"]
    assert script.index("promtool check config") < script.index("/-/reload")


def test_grafanas_password_is_generated_unless_it_is_given(monitoring):
    def written(world):
        return world["m-grafana-provisioning-writer"].files["/dockyard/files/secrets/admin-password"]

    assert written(monitoring()) == "generated-m-grafana-password"
    given = monitoring(secrets={"grafana-admin-password": "given"})
    assert written(given) == "given"
    assert "m-grafana-password" not in given


def test_nothing_is_published(monitoring):
    assert not any("ports" in one.inputs for one in monitoring().containers)


def test_everything_is_under_the_component(monitoring):
    world = monitoring()
    assert {one.parent for one in world.resources if one.name != "m"} == {"m"}


def test_what_a_target_tells_of_others_keeps_its_own_labels():
    found = []

    def program():
        targets = [ScrapeTarget("node", "node:9100", tells_of_others=True), ScrapeTarget("redis", "redis:9121")]
        prometheus_config(targets, alertmanagers=["a:1"], labels={}, interval=15).apply(found.append)

    record(program)
    jobs = {job["job_name"]: job for job in yaml.safe_load(found[0])["scrape_configs"]}
    assert jobs["node"]["honor_labels"]
    assert "honor_labels" not in jobs["redis"]
    assert "tier" not in jobs["redis"]["static_configs"][0]["labels"]
