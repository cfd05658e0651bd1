"""Who is told of what: every alert at every severity in every environment, by amtool, against a table for people."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from components.alertmanager_config import alertmanager_config
from components.messages import message_files
from components.shipped import log_rules, rules
from settings.alert_checks import takes_all_critical
from settings.alerts import Alerts
from settings.loader import Configuration, Settings, load, read_stack_file
from settings.receivers import Environment
from tests.promtools import promtools
from tests.support.shipped_rules import ALERTS

ROOT = Path(__file__).resolve().parents[2]
PRODUCTS = sorted(path.stem for path in (ROOT / "products").glob("*.yaml"))
STACKS = sorted(path.name.split(".")[1] for path in ROOT.glob("Pulumi.*.yaml"))
ENVIRONMENTS: tuple[Environment, ...] = ("development", "staging", "production")
SEVERITIES = ("critical", "warning", "info")

TOLD = {
    "tumulte": {"critical": ["alertes-critiques"], "warning": ["monitoring"], "info": ["monitoring"]},
    "love-parser": {
        "critical": ["email-critical", "pagerduty"],
        "warning": ["slack-notifications"],
        "info": ["slack-notifications"],
    },
    "dating-app": {"critical": ["slack", "email"], "warning": ["slack"], "info": ["slack"]},
}
"""Product → severity → who is told, in staging and in production. Development tells nobody, and the Watchdog is no
person's."""

BY_SMS = {"BroadcastQueueStuck", "BroadcastsFailing", "PaymentCallbackFailures", "PaymentSuccessRateLow"}
"""Love Parser's alerts that go to its receiver sms-escalation besides."""

EVERY_KIND: dict[str, Any] = {
    "discord": {"webhook": "a", "quiet": {"hours": "22:00-07:00", "days": ["saturday", "sunday"]}},
    "slack": {"webhook": "a", "channel": "#ops"},
    "email": {
        "to": ["a@shop.net", "b@shop.net"],
        "from": "c@shop.net",
        "smarthost": "mail.shop.net:587",
        "username": "c",
        "password": "a",
        "ca": "a",
    },
    "webhook": {"url": "a", "token": "a", "labels": {"team": 'the "first" \\ one'}},
    "sms": {"url": "a", "token": "a", "fields": {"to": "+33612345678"}},
    "pagerduty": {"routing_key": "a"},
    "opsgenie": {"api_key": "a", "region": "eu"},
    "telegram": {"bot_token": "a", "chat_id": -100, "thread": 7},
    "teams": {"webhook": "a"},
    "ntfy": {"topic": "shop", "token": "a", "alerts": ["HostDown", "RedisDown"]},
}


@cache
def settings_of(product: str, environment: Environment) -> Settings:
    said = {"product": f"products/{product}.yaml", "environment": environment, "preview_without_secrets": True}
    return load(Configuration(said, frozenset()), environment, preview=True)


@cache
def labels_in(product: str, environment: Environment) -> dict[str, dict[str, str]]:
    """Return the labels that each alert has by its rule: those of the product as it gets them, the others as they
    stand."""
    settings = settings_of(product, environment)
    texts = [*rules(settings, "https://grafana.test").values(), *log_rules(settings, "https://grafana.test").values()]
    own = [rule for text in texts for group in yaml.safe_load(text)["groups"] for rule in group["rules"]]
    found = {**ALERTS, **{rule["alert"]: rule for rule in own if "alert" in rule}}
    stack = {"product": product, "environment": environment}
    return {name: {**rule["labels"], **stack, "alertname": name} for name, rule in found.items()}


class Routing:
    """A stack's configuration of Alertmanager, as amtool reads it."""

    def __init__(self, file: Path, alerts: Alerts, product: str, environment: Environment) -> None:
        self._file = file
        config = alertmanager_config(alerts, product, environment)
        file.write_text(yaml.safe_dump(config, sort_keys=False))
        matchers = [one for route in config["route"]["routes"] for one in route["matchers"]]
        self._looked_at = {re.split(r"[=!~]", one)[0] for one in matchers}
        self._named = {name for one in matchers if one.startswith("alertname") for name in re.findall(r"\w+", one)}
        self._known: dict[tuple[tuple[str, str], ...], list[str]] = {}

    def ask(self, labels: Mapping[str, str]) -> list[str]:
        """Return who is told of an alert with these labels."""
        said = [f'{name}="{value}"' for name, value in labels.items() if "{{" not in value]
        command = [promtools() / "amtool", "config", "routes", "test", f"--config.file={self._file}", *said]
        result = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)
        return result.stdout.strip().split(",")

    def told(self, labels: Mapping[str, str]) -> list[str]:
        """Return likewise, asking once for alerts that differ only in what no route looks at."""
        seen = {name: value for name, value in labels.items() if name in self._looked_at}
        if seen["alertname"] not in self._named:
            seen["alertname"] = "Another"
        key = tuple(sorted(seen.items()))
        if key not in self._known:
            self._known[key] = self.ask(seen)
        return self._known[key]


@pytest.fixture(scope="module")
def routing(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("routing")

    @cache
    def made(product: str, environment: Environment) -> Routing:
        alerts = settings_of(product, environment).product.alerts
        return Routing(folder / f"{product}-{environment}.yml", alerts, product, environment)

    return made


def expected(product: str, environment: Environment, labels: Mapping[str, str]) -> list[str]:
    name = labels["alertname"]
    if environment == "development" or name == "Watchdog":
        return ["nobody"]
    by_sms = ["sms-escalation"] if product == "love-parser" and name in BY_SMS else []
    order = {"email-critical": 0, "sms-escalation": 1, "pagerduty": 2}
    return sorted(TOLD[product][labels["severity"]] + by_sms, key=lambda receiver: order.get(receiver, 0))


def wrong(routing: Routing, product: str, environment: Environment, alerts: Sequence[Mapping[str, str]]) -> list[str]:
    return [
        f"{one['alertname']} ({one['severity']}): {told}"
        for one in alerts
        if (told := routing.told(one)) != expected(product, environment, one)
    ]


def test_every_product_with_receivers_is_in_the_table() -> None:
    assert {name for name in PRODUCTS if settings_of(name, "production").product.alerts.receivers} == TOLD.keys()


def test_all_alerts_are_asked_about() -> None:
    for product in TOLD:
        assert labels_in(product, "production").keys() == ALERTS.keys()
    assert len(ALERTS) >= 238


@pytest.mark.parametrize("environment", ENVIRONMENTS)
@pytest.mark.parametrize("product", TOLD)
def test_every_alert_reaches_exactly_whom_it_should_at_every_severity(
    routing: Any, product: str, environment: Environment
) -> None:
    own = labels_in(product, environment).values()
    changed = [{**one, "severity": severity} for one in own for severity in SEVERITIES]
    assert wrong(routing(product, environment), product, environment, [*own, *changed]) == []


@pytest.mark.parametrize("product", TOLD)
def test_in_production_every_alert_does_with_all_of_its_own_labels(routing: Any, product: str) -> None:
    alerts = list(labels_in(product, "production").values())
    with ThreadPoolExecutor(4) as pool:
        told = list(pool.map(routing(product, "production").ask, alerts))
    assert told == [expected(product, "production", one) for one in alerts]


@pytest.mark.parametrize("environment", ["staging", "production"])
@pytest.mark.parametrize("product", TOLD)
def test_no_critical_alert_reaches_nobody(routing: Any, product: str, environment: Environment) -> None:
    receivers = settings_of(product, environment).product.alerts.told_in(environment)
    of_all = {name for name, one in receivers.items() if takes_all_critical(one)}
    critical = [one for one in labels_in(product, environment).values() if one["severity"] == "critical"]
    assert len(critical) > 50
    assert [one for one in critical if not of_all & set(routing(product, environment).told(one))] == []


@pytest.mark.parametrize("product", TOLD)
def test_nobody_hears_of_another_product_or_another_environment(routing: Any, product: str) -> None:
    one = labels_in(product, "production")["RedisDown"]
    for other in ({"product": "another"}, {"environment": "staging"}, {"environment": "development"}):
        assert routing(product, "production").ask({**one, **other}) == ["nobody"]
    without = {name: value for name, value in one.items() if name not in ("product", "environment")}
    assert routing(product, "production").ask(without) == ["nobody"]


@pytest.mark.parametrize("product", TOLD)
def test_a_synthetic_alert_reaches_its_one_receiver_whatever_else_it_says(routing: Any, product: str) -> None:
    asked = routing(product, "production")
    for receiver in settings_of(product, "production").product.alerts.told_in("production"):
        for labels in ({}, {"severity": "info"}, {"alertname": "Watchdog", "product": product, "severity": "critical"}):
            assert asked.ask({"alertname": "Test", **labels, "dockyard_test": receiver}) == [receiver]


def test_the_watchdog_reaches_the_heartbeat_and_no_person_whatever_its_severity(tmp_path: Path) -> None:
    receivers = {"all": {"type": "discord", "webhook": "a", "environments": ["development", "staging", "production"]}}
    alerts = Alerts.model_validate({"heartbeat": "beat", "receivers": receivers})
    for environment, told in {"production": "heartbeat", "staging": "heartbeat", "development": "nobody"}.items():
        asked = Routing(tmp_path / "config.yml", alerts, "shop", environment)  # type: ignore[arg-type] # one of those
        for severity in SEVERITIES:
            labels = {"alertname": "Watchdog", "product": "shop", "environment": environment, "severity": severity}
            assert asked.ask(labels) == [told]
            assert asked.ask({**labels, "alertname": "RedisDown"}) == ["all"]


def check_config(folder: Path, alerts: Alerts, product: str, environment: Environment) -> None:
    (folder / "templates").mkdir()
    for name, text in message_files(alerts, environment, "https://grafana.test").items():
        (folder / name).write_text(text)
    file = folder / "alertmanager.yml"
    file.write_text(yaml.safe_dump(alertmanager_config(alerts, product, environment), sort_keys=False))
    result = subprocess.run(
        [promtools() / "amtool", "check-config", file], capture_output=True, text=True, timeout=30, check=False
    )
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize("stack", STACKS)
def test_amtool_takes_the_configuration_of_every_shipped_stack(stack: str, tmp_path: Path) -> None:
    given = read_stack_file(ROOT, stack)
    settings = load(
        Configuration({**given.values, "preview_without_secrets": True}, given.secrets), stack, preview=True
    )
    check_config(tmp_path, settings.product.alerts, settings.product.name, settings.stack.environment)


@pytest.mark.parametrize("environment", ENVIRONMENTS)
@pytest.mark.parametrize("product", PRODUCTS)
def test_amtool_takes_the_configuration_of_every_product_in_every_environment(
    product: str, environment: Environment, tmp_path: Path
) -> None:
    check_config(tmp_path, settings_of(product, environment).product.alerts, product, environment)


def test_amtool_takes_a_receiver_of_every_kind(tmp_path: Path) -> None:
    receivers = {kind: {"type": kind, **said} for kind, said in EVERY_KIND.items()}
    alerts = Alerts.model_validate({"receivers": receivers, "heartbeat": "beat", "timezone": "Europe/Paris"})
    check_config(tmp_path, alerts, "shop", "production")
    asked = Routing(tmp_path / "routes.yml", alerts, "shop", "production")
    labels = {"product": "shop", "environment": "production", "severity": "critical", "alertname": "RedisDown"}
    always = [kind for kind in EVERY_KIND if kind not in ("webhook", "sms", "ntfy")]
    assert asked.ask({**labels, "alertname": "DiskSpaceLow"}) == always
    assert asked.ask(labels) == [*always, "ntfy"]
    assert set(asked.ask({**labels, "notify_sms": "true"})) == {*always, "sms", "ntfy"}
