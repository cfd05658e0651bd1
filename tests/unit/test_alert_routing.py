"""Alertmanager and its receivers."""

import re

import pytest
import yaml

from components.alert_routing import INHIBITIONS, AlertRouting, AlertRoutingConfig, alertmanager_config
from settings.alert_rules import alert_names, rule_files
from settings.stack import Alerts
from tests.unit.world import build

DISCORD = Alerts.model_validate({"discord": {"webhook": "ops", "critical_webhook": "pager"}})
GIVEN = {"ops": "https://discord.com/api/webhooks/1/a", "pager": "https://discord.com/api/webhooks/2/b"}


@pytest.fixture
def routing(make_context):
    def build_routing(alerts=DISCORD, secrets=GIVEN):
        def program():
            AlertRouting("a", AlertRoutingConfig(alerts, make_context(), lambda name: name))

        return build(program, secrets=secrets)

    return build_routing


def test_alertmanager_runs_with_its_configuration_and_a_data_volume(routing):
    world = routing()
    assert {mount["target"] for mount in world["a-alertmanager"].inputs["mounts"]} == {
        "/alertmanager",
        "/etc/alertmanager",
    }
    assert world["a-data"].label("dockyard.volume") == "data"
    assert "a-config-writer" in world["a-alertmanager"].waits_for
    assert world["a-alertmanager"].parent == "a"


def test_webhook_addresses_are_secret_files_and_stand_nowhere_else(routing):
    world = routing()
    writer = world["a-config-writer"]
    assert writer.files["/dockyard/files/secrets/ops"] == GIVEN["ops"]
    assert writer.files["/dockyard/files/secrets/pager"] == GIVEN["pager"]
    assert writer.secrets
    assert "discord.com" not in writer.files["/dockyard/files/alertmanager.yml"]
    assert "discord.com" not in str(world["a-alertmanager"].inputs)


def test_the_configuration_is_checked_before_it_is_loaded_and_loaded_without_a_restart(routing):
    (script,) = routing()["a-config-writer"].inputs["command"]
    assert script.index("amtool check-config") < script.index("/-/reload")


def test_warnings_go_to_the_normal_channel_and_critical_alerts_to_theirs():
    config = alertmanager_config(DISCORD)
    assert config["route"]["receiver"] == "discord-monitoring"
    assert {"receiver": "discord-critical", "matchers": ['severity="critical"']} in config["route"]["routes"]
    receivers = {one["name"]: one for one in config["receivers"]}
    assert receivers["discord-monitoring"]["discord_configs"] == [
        {"webhook_url_file": "/etc/alertmanager/secrets/ops", "send_resolved": True}
    ]
    assert receivers["discord-critical"]["discord_configs"] == [
        {"webhook_url_file": "/etc/alertmanager/secrets/pager", "send_resolved": True}
    ]


def test_without_a_receiver_nobody_is_told_and_no_secret_is_asked_for(routing):
    world = routing(Alerts(), secrets={})
    config = yaml.safe_load(world["a-config-writer"].files["/dockyard/files/alertmanager.yml"])
    assert config["route"]["receiver"] == "nobody"
    assert {one["receiver"] for one in config["route"]["routes"]} == {"nobody"}
    assert list(world["a-config-writer"].files) == ["/dockyard/files/alertmanager.yml"]


def test_it_is_not_published(routing):
    assert not any("ports" in one.inputs for one in routing().containers)


def test_the_watchdog_reaches_the_dead_man_s_switch_every_minute_and_no_person(routing):
    alerts = Alerts.model_validate({**DISCORD.model_dump(exclude_unset=True), "heartbeat": "pulse"})
    files = routing(alerts, {**GIVEN, "pulse": "https://hc.example/1"})["a-config-writer"].files
    config = yaml.safe_load(files["/dockyard/files/alertmanager.yml"])
    assert files["/dockyard/files/secrets/pulse"] == "https://hc.example/1"
    first = config["route"]["routes"][0]
    assert (first["receiver"], first["matchers"]) == ("heartbeat", ['alertname="Watchdog"'])
    assert first["repeat_interval"] == first["group_interval"] == "1m"
    (receiver,) = [one for one in config["receivers"] if one["name"] == "heartbeat"]
    assert receiver["webhook_configs"] == [{"url_file": "/etc/alertmanager/secrets/pulse", "send_resolved": False}]


def test_without_one_nobody_hears_the_watchdog():
    for alerts in (Alerts(), DISCORD):
        config = alertmanager_config(alerts)
        assert config["route"]["routes"][0] == {"receiver": "nobody", "matchers": ['alertname="Watchdog"']}
        assert "heartbeat" not in {one["name"] for one in config["receivers"]}


def test_what_silences_others_are_alerts_that_there_are_and_never_a_whole_product():
    known = {name for text in rule_files("tumulte").values() for name in alert_names(text)}
    for rule in INHIBITIONS:
        named = [matcher for matcher in rule["source_matchers"] + rule["target_matchers"] if "alertname" in matcher]
        for matcher in named:
            pattern = matcher.split('"')[1]
            assert any(re.fullmatch(pattern, name) for name in known), matcher
        assert {"product", "environment"} <= set(rule["equal"])
        assert rule["target_matchers"]
