"""Alertmanager's configuration: who hears of what, from the settings. Nothing here makes a resource."""

from __future__ import annotations

from typing import Any

from settings.alerts import Alerts, Pace
from settings.receivers import (
    Discord,
    Email,
    Environment,
    Ntfy,
    Opsgenie,
    PagerDuty,
    Receiver,
    Slack,
    Sms,
    Teams,
    Telegram,
    Webhook,
)
from settings.units import spell_duration

FOLDER = "/etc/alertmanager"
NOBODY, HEARTBEAT = "nobody", "heartbeat"
WATCHDOG = 'alertname="Watchdog"'
HEARTBEAT_EVERY = "1m"
TEST_LABEL = "dockyard_test"
"""The label of a synthetic alert: the one receiver that it is for, whatever else it says."""

OPSGENIE = {"us": "https://api.opsgenie.com/", "eu": "https://api.eu.opsgenie.com/"}

STACK = ["product", "environment"]
INHIBITIONS: list[dict[str, Any]] = [
    # The rules say of each alert what it is about (`scope`). A host that is down says nothing of what runs on it.
    {
        "source_matchers": ['alertname="HostDown"'],
        "target_matchers": ['scope=~"container|service|store|queue|edge"'],
        "equal": STACK,
    },
    # A service or a store that is known to be down says so by its own alert; that its target is gone, that its probe
    # fails or that one of its instances is missing adds nothing.
    {
        "source_matchers": ['severity="critical"', 'alertname=~".+Down"', 'scope=~"service|store"'],
        "target_matchers": ['alertname=~"TargetDown|ServiceDown|ServiceInstanceDown|ServiceFlapping"'],
        "equal": [*STACK, "job"],
    },
    {
        "source_matchers": ['severity="critical"', 'alertname=~".+Down"', 'scope=~"service|container|store"'],
        "target_matchers": ['scope=~"probe|container"', 'alertname!="ContainerDown"'],
        "equal": [*STACK, "service"],
    },
]
"""Which alert silences which: the source silences its targets where all labels of `equal` are the same."""


def alertmanager_config(alerts: Alerts, environment: Environment) -> dict[str, Any]:
    """Return Alertmanager's configuration; addresses that are secret stand in files beside it.

    Each receiver has a route of its own, and all of them are tried: an alert reaches everybody who takes it. Critical
    alerts have a route apart from the rest: faster, and never held back by quiet hours.
    """
    told = alerts.told_in(environment)
    receivers = [{"name": NOBODY}, *(_receiver(name, one) for name, one in told.items())]
    # The Watchdog always fires, to prove that alerts flow: of no interest to a person.
    watchdog: dict[str, Any] = {"receiver": NOBODY, "matchers": [WATCHDOG]}
    if alerts.heartbeat and environment != "development":
        receivers.append({"name": HEARTBEAT, "webhook_configs": [{"url_file": _file(alerts.heartbeat)}]})
        receivers[-1]["webhook_configs"][0]["send_resolved"] = False
        # As often as a group can be told: whoever listens misses it after a few minutes.
        pace = {"group_wait": "0s", "group_interval": HEARTBEAT_EVERY, "repeat_interval": HEARTBEAT_EVERY}
        watchdog = {"receiver": HEARTBEAT, "matchers": [WATCHDOG], **pace}
    routes = [watchdog, *_tests(told)]
    for name, receiver in told.items():
        routes += _routes(name, receiver, alerts)
    return {
        "route": {"receiver": NOBODY, "group_by": alerts.group_by, **_pace(alerts.rest), "routes": routes},
        "receivers": receivers,
        "inhibit_rules": INHIBITIONS,
    }


def _tests(told: dict[str, Receiver]) -> list[dict[str, Any]]:
    return [
        {"receiver": name, "matchers": [f'{TEST_LABEL}="{name}"'], "group_wait": "0s", "group_by": ["..."]}
        for name in told
    ]


def _routes(name: str, receiver: Receiver, alerts: Alerts) -> list[dict[str, Any]]:
    matchers = [f'environment=~"{"|".join(receiver.environments)}"']
    matchers += [f'{label}="{value}"' for label, value in receiver.labels.items()]
    if receiver.alerts:
        matchers.append(f'alertname=~"{"|".join(receiver.alerts)}"')
    routes: list[dict[str, Any]] = []
    if "critical" in receiver.severities:
        said = ['severity="critical"', *matchers]
        routes.append({"receiver": name, "matchers": said, **_pace(alerts.critical), "continue": True})
    if others := [severity for severity in receiver.severities if severity != "critical"]:
        said = [f'severity=~"{"|".join(others)}"', *matchers]
        routes.append({"receiver": name, "matchers": said, **_pace(alerts.rest), "continue": True})
    return routes


def _pace(pace: Pace) -> dict[str, str]:
    return {
        "group_wait": spell_duration(pace.wait),
        "group_interval": spell_duration(pace.interval),
        "repeat_interval": spell_duration(pace.repeat),
    }


def _file(secret: str) -> str:
    return f"{FOLDER}/secrets/{secret}"


def _receiver(name: str, receiver: Receiver) -> dict[str, Any]:
    kind, said = _integration(receiver)
    return {"name": name, f"{kind}_configs": [{**said, "send_resolved": receiver.recoveries}]}


def _integration(receiver: Receiver) -> tuple[str, dict[str, Any]]:
    """Return Alertmanager's name of a kind of receiver, and what it is configured with."""
    match receiver:
        case Discord():
            return "discord", {"webhook_url_file": _file(receiver.webhook)}
        case Slack():
            channel = {"channel": receiver.channel} if receiver.channel else {}
            return "slack", {"api_url_file": _file(receiver.webhook), **channel}
        case Email():
            return "email", _email(receiver)
        case Webhook() | Sms():
            return "webhook", {"url_file": _file(receiver.url), **_bearer(receiver.token)}
        case PagerDuty():
            return "pagerduty", {"routing_key_file": _file(receiver.routing_key), "url": receiver.url}
        case Opsgenie():
            url = receiver.url or OPSGENIE[receiver.region]
            return "opsgenie", {"api_key_file": _file(receiver.api_key), "api_url": url}
        case Telegram():
            chat = {"chat_id": receiver.chat_id, "api_url": receiver.url}
            thread = {"message_thread_id": receiver.thread} if receiver.thread else {}
            return "telegram", {"bot_token_file": _file(receiver.bot_token), **chat, **thread}
        case Teams():
            return "msteamsv2", {"webhook_url_file": _file(receiver.webhook)}
        case Ntfy():
            return "webhook", {"url": receiver.server, **_bearer(receiver.token)}
    raise TypeError(f"no kind of receiver: {type(receiver).__name__}")


def _email(receiver: Email) -> dict[str, Any]:
    said: dict[str, Any] = {
        "to": ", ".join(receiver.to),
        "from": receiver.sender,
        "smarthost": receiver.smarthost,
        "require_tls": True,
    }
    if receiver.password:
        said |= {"auth_username": receiver.username, "auth_password_file": _file(receiver.password)}
    if receiver.ca:
        said["tls_config"] = {"ca_file": _file(receiver.ca)}
    return said


def _bearer(token: str | None) -> dict[str, Any]:
    return {"http_config": {"authorization": {"credentials_file": _file(token)}}} if token else {}
