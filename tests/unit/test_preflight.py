"""Production is not deployed where nobody would be told of its critical alerts."""

import pulumi
import pytest

from program import preflight
from program.preflight import check_receiver_secrets
from settings.alerts import Alerts
from settings.checks import critical_coverage_problems
from settings.loader import Configuration, load
from settings.placeholders import is_placeholder_address, is_placeholder_word
from settings.problems import SettingsError
from tests.unit.checkouts import make

ALL = {"type": "discord", "webhook": "ops"}
SLACK = {"type": "slack", "webhook": "ops"}
MAIL = {"type": "email", "to": ["oncall@shop.net"], "from": "alerts@shop.net", "smarthost": "mail.shop.net:587"}
KEY = "b7ddd4e4a7ea3e7b5f5c8a9d0e1f2a3b"


def found_in(receivers, environment="production"):
    alerts = Alerts.model_validate({"receivers": receivers})
    return [(".".join(map(str, path)), found) for path, found, _, _ in critical_coverage_problems(alerts, environment)]


class TestSettings:
    def test_a_receiver_of_every_critical_alert_is_enough(self):
        assert found_in({"all": ALL}) == []
        assert found_in({"critical": {**ALL, "severities": ["critical"]}}) == []

    @pytest.mark.parametrize(
        ("receivers", "found"),
        [
            ({}, "no receiver"),
            ({"chat": {**ALL, "severities": ["warning", "info"]}}, "chat receives warning and info"),
            ({"chat": {**ALL, "environments": ["staging"]}}, "chat does not receive alerts of production"),
            ({"chat": {**ALL, "alerts": ["HostDown"]}}, "chat receives only HostDown"),
            ({"chat": {**ALL, "labels": {"team": "a"}}}, 'chat receives only team="a"'),
            ({"sms": {"type": "sms", "url": "ops"}}, 'sms receives only notify_sms="true"'),
        ],
    )
    def test_without_one_it_is_told_why_none_is(self, receivers, found):
        ((path, text),) = found_in(receivers)
        assert path == "alerts.receivers"
        assert found in text

    @pytest.mark.parametrize(
        ("receiver", "path", "found"),
        [
            ({**MAIL, "to": ["oncall@shop.net", "PLACEHOLDER@shop.net"]}, "to.1", '"PLACEHOLDER@shop.net"'),
            ({**MAIL, "from": "dockyard@example.org"}, "from", '"dockyard@example.org"'),
            ({**MAIL, "smarthost": "smtp.love-parser.example:587"}, "smarthost", '"smtp.love-parser.example:587"'),
            ({**MAIL, "smarthost": "CHANGEME:587"}, "smarthost", '"CHANGEME:587"'),
            ({"type": "slack", "webhook": "ops", "channel": "#your-channel-here"}, "channel", '"#your-channel-here"'),
            ({"type": "ntfy", "topic": "placeholder"}, "topic", '"placeholder"'),
            ({"type": "ntfy", "topic": "shop", "server": "https://ntfy.example.com"}, "server", '"https://ntfy.exa'),
        ],
    )
    def test_what_only_holds_a_place_is_told_where_it_stands(self, receiver, path, found):
        (one,) = found_in({"on-call": receiver})
        assert one[0] == f"alerts.receivers.on-call.{path}"
        assert one[1].startswith(found)

    def test_what_is_not_for_critical_alerts_and_development_are_left_alone(self):
        chat = {"type": "ntfy", "topic": "placeholder", "severities": ["warning"]}
        assert found_in({"all": ALL, "chat": chat}) == []
        assert found_in({}, "development") == []


@pytest.fixture
def checkout(tmp_path):
    service = "{image: demo, port: 80, health: {http: /}, limits: {memory: 64MB}}"
    return make(tmp_path, f"name: shop\nservices: {{api: {service}}}\n")


def read(checkout, environment, receivers, *, preview=False, known=True, **more):
    (checkout / "Pulumi.live.yaml").write_text(
        f"config:\n  dockyard:product: products/shop.yaml\n  dockyard:environment: {environment}\n"
        f"  dockyard:alerts: {{receivers: {receivers}}}\n  dockyard:ops: {{secure: v1:abc}}\n"
    )
    said = {"product": "products/shop.yaml", "environment": environment, "alerts": {"receivers": receivers}, **more}
    configuration = Configuration(said, frozenset({"ops"} if receivers and known else ()))
    return load(configuration, "live", checkout=checkout, preview=preview)


class TestUp:
    def test_production_is_refused_with_the_line_and_what_to_do(self, checkout):
        with pytest.raises(SettingsError) as caught:
            read(checkout, "production", {"chat": {**ALL, "severities": ["warning"]}})
        (problem,) = caught.value.problems
        assert str(problem).startswith("Pulumi.live.yaml:4: config.dockyard:alerts.receivers: found no receiver of")
        assert "expected a receiver of every critical alert of production" in str(problem)
        assert "For instance: on-call: {type: slack" in str(problem)

    def test_a_preview_without_secrets_goes_on_and_says_so(self, checkout):
        settings = read(checkout, "production", {}, preview=True, preview_without_secrets=True)
        assert [problem.path for problem in settings.missing_secrets] == ["config.dockyard:alerts.receivers"]

    def test_any_other_preview_is_refused(self, checkout):
        with pytest.raises(SettingsError, match=r"alerts\.receivers"):
            read(checkout, "production", {}, preview=True)

    def test_staging_is_warned_of_and_development_is_not(self, checkout):
        settings = read(checkout, "staging", {})
        assert settings.missing_secrets == ()
        assert [problem.path for problem in settings.warnings] == ["config.dockyard:alerts.receivers"]
        assert read(checkout, "development", {}).warnings == ()

    def test_a_stack_file_may_say_only_what_is_other_than_in_the_product_file(self, checkout):
        product = checkout / "products/shop.yaml"
        kept = product.read_text() + "alerts: {receivers: {mail: {type: email, to: [a@shop.example],"
        product.write_text(kept + " from: b@shop.net, smarthost: 'mail.shop.net:587'}}}\n")
        with pytest.raises(SettingsError) as caught:
            read(checkout, "production", {})
        assert str(caught.value.problems[0]).startswith("products/shop.yaml:3: alerts.receivers.mail.to[0]: found")
        settings = read(checkout, "production", {"mail": {"to": ["c@shop.net"]}}, known=False)
        mail = settings.product.alerts.receivers["mail"]
        assert (mail.type, mail.to, mail.sender) == ("email", ["c@shop.net"], "b@shop.net")
        with pytest.raises(SettingsError, match="an unknown key, expected one of"):
            read(checkout, "production", {"mail": {"two": "c@shop.net"}}, known=False)

    def test_an_alert_that_there_is_none_of_is_told(self, checkout):
        with pytest.raises(SettingsError) as caught:
            read(checkout, "staging", {"all": ALL, "disks": {"type": "ntfy", "topic": "a", "alerts": ["DiskSpaceLo"]}})
        (problem,) = caught.value.problems
        assert problem.path == "config.dockyard:alerts.receivers.disks.alerts[0]"
        assert problem.expected.startswith("the name of an alert in rules/: DiskSpaceLow")


class TestSecrets:
    @pytest.fixture
    def warned(self, monkeypatch):
        told = []
        monkeypatch.setattr(preflight.pulumi.log, "warn", told.append)
        return told

    def check(self, checkout, receivers, value, environment="production"):
        settings = read(checkout, environment, receivers)
        values = {} if value is None else {"dockyard:ops": value}
        check_receiver_secrets(settings, values)

    @pytest.mark.parametrize(
        ("receiver", "value", "found"),
        [
            (ALL, "", "an empty secret"),
            (ALL, "  \n", "an empty secret"),
            (ALL, "null", "a placeholder"),
            (ALL, "PLACEHOLDER", "a placeholder"),
            (ALL, "https://discord.com/api/webhooks/PLACEHOLDER", "a placeholder"),
            (ALL, "https://discord.com/api/webhooks/xxx/yyy", "a placeholder"),
            (SLACK, f"https://hooks.slack.com/services/T00/B00/{'X' * 24}", "a placeholder"),
            (ALL, "https://example.com/webhook", "a placeholder"),
            (ALL, "discord.com/api/webhooks/1/s3cret", "an invalid address"),
            (ALL, "https://", "an invalid address"),
            ({"type": "webhook", "url": "ops"}, "ftp://hooks.shop.net/s3cret", "an invalid address"),
            ({"type": "pagerduty", "routing_key": "ops"}, KEY[:-1], "an invalid value"),
            ({"type": "pagerduty", "routing_key": "ops"}, "x" * 32, "a placeholder"),
            ({"type": "opsgenie", "api_key": "ops"}, "s3cret", "an invalid value"),
            ({"type": "telegram", "bot_token": "ops", "chat_id": 1}, "s3cret-without-a-number", "an invalid value"),
            ({**MAIL, "username": "alerts", "password": "ops"}, "changeme", "a placeholder"),
            ({**MAIL, "ca": "ops"}, "s3cret", "an invalid value"),
        ],
    )
    def test_production_is_refused_where_one_cannot_be_right_and_its_value_is_not_told(
        self, checkout, receiver, value, found
    ):
        with pytest.raises(pulumi.RunError) as caught:
            self.check(checkout, {"on-call": receiver}, value)
        said = str(caught.value)
        assert f"Pulumi.live.yaml:5: config.dockyard:ops: found {found}, expected" in said
        assert "for alerts.receivers.on-call." in said
        assert "pulumi config set --secret dockyard:ops -s live" in said
        assert "s3cret" not in said

    @pytest.mark.parametrize(
        ("receiver", "value"),
        [
            (ALL, "https://discord.com/api/webhooks/1234/AbC-xxX_xxx0"),
            (ALL, "https://discord.com/api/webhooks/1234/AbC\n"),
            (ALL, "http://10.0.0.7:8080/hook?token=1"),
            (SLACK, "https://hooks.slack.com/services/T02AB/B03CD/eXXf"),
            ({"type": "pagerduty", "routing_key": "ops"}, KEY),
            ({"type": "pagerduty", "routing_key": "ops"}, "R01ABCDEFGHIJKLMNOPQRSTUVWXYZ2345"[:32]),
            ({"type": "opsgenie", "api_key": "ops"}, "f5b7ddd4-e4a7-4ea3-8b5f-5c8a9d0e1f2a"),
            ({"type": "telegram", "bot_token": "ops", "chat_id": 1}, "110201543:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw"),
            ({**MAIL, "username": "alerts", "password": "ops"}, "what... an example of xxx"),
            ({**MAIL, "ca": "ops"}, "-----BEGIN CERTIFICATE-----\nMII\n-----END CERTIFICATE-----\n"),
        ],
    )
    def test_what_can_be_right_is_taken(self, checkout, receiver, value, warned):
        self.check(checkout, {"on-call": receiver}, value)
        assert warned == []

    def test_one_that_is_not_there_is_for_the_settings_to_tell(self, checkout, warned):
        self.check(checkout, {"on-call": ALL}, None)
        assert warned == []

    @pytest.mark.parametrize(
        ("environment", "receivers"),
        [
            ("staging", {"chat": ALL}),
            ("production", {"chat": {**ALL, "severities": ["warning"]}, "all": {"type": "ntfy", "topic": "shop"}}),
        ],
    )
    def test_elsewhere_and_for_warnings_it_is_a_warning(self, checkout, environment, receivers, warned):
        self.check(checkout, receivers, "PLACEHOLDER", environment)
        (text,) = warned
        assert "config.dockyard:ops: found a placeholder" in text
        assert "alerts.receivers.chat.webhook" in text


@pytest.mark.parametrize("value", ["your-token", "TOKEN_HERE", "<token>", "...", "null", "N/A", "ChangeMe", "xxxx", ""])
def test_words_that_stand_for_another_are_known(value):
    assert is_placeholder_word(value)
    assert is_placeholder_address(value)


@pytest.mark.parametrize(
    "value", ["hunter2", "password with... dots", "nullable", "#ops", "ops@shop.net", "10.0.0.1:25"]
)
def test_what_may_be_meant_is_taken(value):
    assert not is_placeholder_word(value)
