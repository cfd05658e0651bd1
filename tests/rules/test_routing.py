"""Who is told of what: every alert at every severity in every environment, by Alertmanager, against a table."""

import itertools
import subprocess
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from components.alerting.alertmanager import alertmanager_config
from components.alerting.templates import message_files
from program.rules import log_rules, rules
from settings.alerts import Alerts, Environment
from settings.loader import Configuration, Settings, load, read_stack_file
from settings.problems import LOADER
from tests.promtools import promtools
from tests.rules.rendered import RECEIVERS
from tests.support.alertmanager import Alertmanager
from tests.support.shipped_rules import ALERTS

ROOT = Path(__file__).resolve().parents[2]
PRODUCTS = sorted(path.stem for path in (ROOT / "products").glob("*.yaml"))
STACKS = sorted(path.name.split(".")[1] for path in ROOT.glob("Pulumi.*.yaml"))
ENVIRONMENTS: tuple[Environment, ...] = ("development", "staging", "production")
SEVERITIES = ("critical", "warning", "info")

TOLD = {
    "tumulte": {"critical": ["alertes-critiques"], "warning": ["monitoring"], "info": ["monitoring"]},
    "love-parser": {
        **{"critical": ["email-critical", "pagerduty"], "warning": ["slack-notifications"]},
        "info": ["slack-notifications"],
    },
    "dating-app": {"critical": ["slack", "email"], "warning": ["slack"], "info": ["slack"]},
}
"""Product → severity → who is told, in staging and in production. Development tells nobody, and the Watchdog is no
person's."""

BY_SMS = {"BroadcastQueueStuck", "BroadcastsFailing", "PaymentCallbackFailures", "PaymentSuccessRateLow"}
"""Love Parser's alerts that go to its receiver sms-escalation besides."""

EVERY_KIND: dict[str, Any] = {
    **RECEIVERS,
    "discord": {"webhook": "a", "quiet": {"hours": "22:00-07:00", "days": ["saturday", "sunday"]}},
    "slack": {"webhook": "a", "channel": "#ops"},
    "email": {**RECEIVERS["email"], "to": ["a@b.net", "c@b.net"], "username": "c", "password": "a", "ca": "a"},
    "webhook": {"url": "a", "token": "a", "labels": {"team": 'the "first" \\ one'}},
    "sms": {"url": "a", "token": "a", "fields": {"to": "+33612345678"}},
    "opsgenie": {"api_key": "a", "region": "eu"},
    "telegram": {"bot_token": "a", "chat_id": -100, "thread": 7},
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
    own = [rule for text in texts for group in yaml.load(text, LOADER)["groups"] for rule in group["rules"]]  # noqa: S506 - a safe one
    found = {**ALERTS, **{rule["alert"]: rule for rule in own if "alert" in rule}}
    stack = {"product": product, "environment": environment}
    return {name: {**rule["labels"], **stack, "alertname": name} for name, rule in found.items()}


class Routing:
    """An Alertmanager with a stack's configuration, which is asked whom it routes an alert to."""

    def __init__(self, folder: Path, alerts: Alerts, product: str, environment: Environment) -> None:
        folder.mkdir()
        secrets = dict.fromkeys(alerts.secrets_in(environment), "http://127.0.0.1:9")
        self.alertmanager = Alertmanager(folder, alerts, secrets, environment, product)
        self.alertmanager.start()
        self._numbers = itertools.count()

    def ask(self, alerts: Iterable[Mapping[str, str]]) -> list[list[str]]:
        asked = {str(next(self._numbers)): labels for labels in alerts}
        # a rule's templates are no labels of an alert; `number` is of no route's interest.
        labels = [
            {"number": number, **{name: value for name, value in own.items() if "{{" not in value}}
            for number, own in asked.items()
        ]
        self.alertmanager.post([{"labels": one} for one in labels])
        answers = {one["labels"]["number"]: one["receivers"] for one in self.alertmanager.get("alerts")}
        return [[receiver["name"] for receiver in answers[number]] for number in asked]


@pytest.fixture(scope="module")
def routing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Start the Alertmanager of a product in an environment, once for all tests here."""
    folder = tmp_path_factory.mktemp("routing")
    running: dict[tuple[str, Environment], Routing] = {}

    def start(product: str, environment: Environment, alerts: Alerts | None = None) -> Routing:
        if (product, environment) not in running:
            alerts = alerts or settings_of(product, environment).product.alerts
            running[product, environment] = Routing(folder / f"{product}-{environment}", alerts, product, environment)
        return running[product, environment]

    yield start
    for started in running.values():
        started.alertmanager.kill()


def expected(product: str, environment: Environment, labels: Mapping[str, str]) -> list[str]:
    name = labels["alertname"]
    if environment == "development" or name == "Watchdog":
        return ["nobody"]
    by_sms = ["sms-escalation"] if product == "love-parser" and name in BY_SMS else []
    order = {"email-critical": 0, "sms-escalation": 1, "pagerduty": 2}
    return sorted(TOLD[product][labels["severity"]] + by_sms, key=lambda receiver: order.get(receiver, 0))


def wrong(routing: Routing, product: str, environment: Environment, alerts: Sequence[Mapping[str, str]]) -> list[str]:
    return [
        f"{alert['alertname']} ({alert['severity']}): {receivers}"
        for alert, receivers in zip(alerts, routing.ask(alerts), strict=True)
        if receivers != expected(product, environment, alert)
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
def test_nobody_hears_of_another_product_or_another_environment(routing: Any, product: str) -> None:
    own = labels_in(product, "production")["RedisDown"]
    others = [{**own, **other} for other in ({"product": "another"}, {"environment": "staging"}, {"environment": "x"})]
    without = {name: value for name, value in own.items() if name not in ("product", "environment")}
    assert routing(product, "production").ask([*others, without]) == [["nobody"]] * 4


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


def test_a_receiver_of_every_kind_is_taken_and_told_of_what_it_takes(tmp_path: Path, routing: Any) -> None:
    receivers = {kind: {"type": kind, **settings} for kind, settings in EVERY_KIND.items()}
    alerts = Alerts.model_validate({"receivers": receivers, "heartbeat": "beat", "timezone": "Europe/Paris"})
    check_config(tmp_path, alerts, "every-kind", "production")
    labels = {"product": "every-kind", "environment": "production", "severity": "critical", "alertname": "RedisDown"}
    asked = routing("every-kind", "production", alerts)
    disk, redis, by_sms = asked.ask([{**labels, "alertname": "DiskSpaceLow"}, labels, {**labels, "notify_sms": "true"}])
    always = [kind for kind in EVERY_KIND if kind not in ("webhook", "sms", "ntfy")]
    assert (disk, redis) == (always, [*always, "ntfy"])
    assert set(by_sms) == {*always, "sms", "ntfy"}
