"""Prometheus and Grafana where their settings are no shipped stack's."""

import yaml

from components.monitoring.prometheus import prometheus_config
from runtime.context import ScrapeTarget
from settings.monitoring import Monitoring
from tests.support.recording import record


def config_of(world) -> dict:
    return yaml.safe_load(world["m-prometheus-config-writer"].files["/dockyard/files/prometheus.yml"])


def test_interval_and_retention_are_settings(monitoring):
    world = monitoring(prometheus={"retention": "12h", "scrape_interval": "30s"})
    assert "--storage.tsdb.retention.time=12h" in world["m-prometheus"].inputs["command"]
    assert config_of(world)["global"]["scrape_interval"] == "30s"


def test_the_samples_take_no_more_disk_than_the_settings_say(monitoring):
    command = monitoring(prometheus={"retention_size": "1536MB"})["m-prometheus"].inputs["command"]
    assert "--storage.tsdb.retention.size=1536MB" in command


def test_blocks_stay_as_thanos_wants_them_where_somebody_says_so(monitoring):
    flags = {"--storage.tsdb.min-block-duration=2h", "--storage.tsdb.max-block-duration=2h"}
    assert not flags & {*monitoring()["m-prometheus"].inputs["command"]}
    assert flags <= {*monitoring(prometheus={"compaction": False})["m-prometheus"].inputs["command"]}


def test_rules_are_evaluated_as_often_as_services_are_scraped_unless_rule_interval_is_set(monitoring):
    every_minute = config_of(monitoring(prometheus={"scrape_interval": "1m"}))["global"]
    assert every_minute["evaluation_interval"] == "1m"
    faster = config_of(monitoring(prometheus={"rule_interval": "2s"}))["global"]
    assert (faster["evaluation_interval"], faster["scrape_interval"]) == ("2s", "15s")


def rendered(*targets: ScrapeTarget, **options) -> dict:
    found = []
    inputs = {"monitoring": Monitoring(), "alertmanagers": ["a:1"], "labels": {"product": "shop"}, **options}
    text = prometheus_config(targets, **inputs)
    record(lambda: text.apply(found.append))
    return yaml.safe_load(found[0])


def test_a_scrape_ends_before_the_next_begins():
    assert rendered(monitoring=Monitoring(prometheus={"scrape_interval": "5s"}))["global"]["scrape_timeout"] == "5s"


def test_every_alertmanager_is_told():
    alerting = rendered(alertmanagers=["a:1", "b:1"])["alerting"]
    assert alerting == {"alertmanagers": [{"static_configs": [{"targets": ["a:1", "b:1"]}]}]}


def test_replicas_are_instances_of_one_job_whose_names_outlive_a_release():
    addresses = {"api:80": "shop-api-1a2b3c4:80", "api-2:80": "shop-api-2-5d6e7f8:80"}
    targets = [ScrapeTarget("api", address, instance=instance) for instance, address in addresses.items()]
    (job,) = rendered(*targets)["scrape_configs"]
    scraped = {group["labels"]["instance"]: group["targets"] for group in job["static_configs"]}
    assert scraped == {instance: [address] for instance, address in addresses.items()}


def test_grafanas_password_is_generated_unless_it_is_given(monitoring):
    def written(world):
        return world["m-grafana-provisioning-writer"].files["/dockyard/files/secrets/admin-password"]

    assert written(monitoring()) == "generated-m-grafana-password"
    given = monitoring(secrets={"grafana-admin-password": "given"})
    assert written(given) == "given"
    assert "m-grafana-password" not in given
