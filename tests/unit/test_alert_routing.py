"""Alertmanager and its receivers."""

import pytest
import yaml

from components.alerting.alertmanager import AlertRouting, alertmanager_config
from settings.alerts import Alerts
from tests.support.recording import record

ALL = {"type": "discord", "webhook": "ops"}
GIVEN = {"ops": "https://discord.com/api/webhooks/1/a", "pager": "https://discord.com/api/webhooks/2/b"}


def alerts_of(receivers=None, **said):
    """Return alerts with Tumulte's two channels, unless others are given."""
    own = {
        "monitoring": {"type": "discord", "webhook": "ops", "severities": ["warning", "info"]},
        "alertes-critiques": {"type": "discord", "webhook": "pager", "severities": ["critical"]},
    }
    return Alerts.model_validate({"receivers": own if receivers is None else receivers, **said})


def config_of(alerts=None, environment="production"):
    return alertmanager_config(alerts_of() if alerts is None else alerts, "shop", environment)


def routes_to(config, receiver):
    """Return the routes of a receiver that are not for synthetic alerts."""
    found = [route for route in config["route"]["routes"] if route["receiver"] == receiver]
    return [route for route in found if "dockyard_test" not in route["matchers"][0]]


@pytest.fixture
def routing(make_context):
    def build_routing(alerts=None, secrets=GIVEN, environment="production", **context):
        def program():
            inputs = {"alerts": alerts_of() if alerts is None else alerts, "environment": environment}
            AlertRouting("a", make_context(**context), grafana="https://grafana.example.org", **inputs)

        return record(program, secrets=secrets)

    return build_routing


def test_what_the_first_of_several_keeps_is_data_and_the_others_can_go(routing):
    world = routing(alerts_of(replicas=3), protects_data=True)
    volumes = [world[name] for name in ("a-data", "a-data-2", "a-data-3")]
    assert [volume.label("dockyard.volume") for volume in volumes] == ["data", "config", "config"]
    assert [volume.protect for volume in volumes] == [True, False, False]


class TestRoutes:
    def test_a_pace_can_be_as_short_as_a_second(self):
        short = {"wait": "1s", "interval": "2s", "repeat": "1h"}
        config = config_of(alerts_of({"all": {"type": "discord", "webhook": "ops"}}, critical=short))
        critical, _ = routes_to(config, "all")
        assert (critical["group_wait"], critical["group_interval"], critical["repeat_interval"]) == ("1s", "2s", "1h")

    def test_values_of_labels_are_quoted_whatever_stands_in_them(self):
        labels = {"team": 'a"b\\c', "notify": "ja, ü"}
        config = config_of(alerts_of({"all": {"type": "discord", "webhook": "ops", "labels": labels}}))
        assert routes_to(config, "all")[0]["matchers"][-2:] == ['team="a\\"b\\\\c"', 'notify="ja, ü"']

    def test_only_named_alerts_where_some_are_named(self):
        one, two = (
            config_of(alerts_of({"all": {"type": "discord", "webhook": "ops", "alerts": names}}))
            for names in (["HostDown"], ["HostDown", "RedisDown"])
        )
        assert routes_to(one, "all")[0]["matchers"][-1] == 'alertname="HostDown"'
        assert routes_to(two, "all")[0]["matchers"][-1] == 'alertname=~"HostDown|RedisDown"'

    @pytest.mark.parametrize("kind", ["pagerduty", "opsgenie", "sms"])
    def test_who_wakes_people_never_hears_of_development(self, kind):
        secret = {"pagerduty": "routing_key", "opsgenie": "api_key", "sms": "url"}[kind]
        with pytest.raises(ValueError, match="pages people"):
            alerts_of({"all": {"type": kind, secret: "ops", "environments": ["development", "production"]}})

    def test_names_of_dockyards_own_receivers_are_taken(self):
        with pytest.raises(ValueError, match="names other than heartbeat"):
            alerts_of({"heartbeat": {"type": "discord", "webhook": "ops"}})

    def test_settings_say_what_comes_in_one_message(self):
        assert config_of(alerts_of(group_by=["alertname"]))["route"]["group_by"] == ["alertname"]


class TestQuietHours:
    def intervals(self, quiet, **said):
        receivers = {"all": {"type": "discord", "webhook": "ops", "quiet": quiet}}
        return config_of(alerts_of(receivers, **said))

    @pytest.mark.parametrize(
        ("quiet", "times", "days"),
        [
            ({"hours": "22:00-07:00"}, [("22:00", "24:00"), ("00:00", "07:00")], []),
            ({"hours": "22:00-00:00"}, [("22:00", "24:00")], []),
            ({"hours": "20:00-21:00", "days": ["saturday", "sunday"]}, [("20:00", "21:00")], ["saturday", "sunday"]),
        ],
        ids=["over midnight", "up to midnight", "with quiet days"],
    )
    def test_they_are_intervals_in_the_stacks_time_zone(self, quiet, times, days):
        (found,) = self.intervals(quiet, timezone="Europe/Paris")["time_intervals"]
        at_times = {"times": [{"start_time": start, "end_time": end} for start, end in times]}
        parts = [at_times, {"weekdays": days}] if days else [at_times]
        assert found["time_intervals"] == [{**part, "location": "Europe/Paris"} for part in parts]

    def test_they_are_refused_where_they_would_hold_nothing_back(self):
        with pytest.raises(ValueError, match="critical alerts are never delayed"):
            alerts_of({"all": {**ALL, "severities": ["critical"], "quiet": {"hours": "22:00-07:00"}}})


class TestTheWatchdog:
    def test_its_address_is_a_secret_file(self, routing):
        world = routing(alerts_of(heartbeat="pulse"), {**GIVEN, "pulse": "https://hc.example/1"})
        files = world["a-config-writer"].files
        assert files["/dockyard/files/secrets/pulse"] == "https://hc.example/1"
        receivers = yaml.safe_load(files["/dockyard/files/alertmanager.yml"])["receivers"]
        (webhook,) = next(receiver["webhook_configs"] for receiver in receivers if receiver["name"] == "heartbeat")
        assert webhook == {"url_file": "/etc/alertmanager/secrets/pulse", "send_resolved": False}

    def test_development_calls_none(self, routing):
        world = routing(alerts_of(heartbeat="pulse"), {}, environment="development")
        assert not [path for path in world["a-config-writer"].files if "/secrets/" in path]
