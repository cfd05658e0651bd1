"""Receivers of alerts, the pace of notifications and their language; in the product file, the stack file or both."""

from __future__ import annotations

from typing import Annotated, Literal
from zoneinfo import available_timezones

from pydantic import AfterValidator, Field, model_validator

from settings.alert_rules import Label
from settings.base import Model
from settings.container import Limits, Name
from settings.monitoring import limits
from settings.receivers import AnyReceiver, Environment, Receiver
from settings.secrets import SecretPath, SecretRef, secret_refs
from settings.units import Duration

NULL_RECEIVER, HEARTBEAT = "nobody", "heartbeat"
"""Names of the receivers that Dockyard defines itself: one that notifies nobody, and the dead man's switch."""


def _timezone(name: str) -> str:
    if name not in available_timezones():
        raise ValueError("a time zone like Europe/Paris or UTC")
    return name


class Pace(Model):
    """Group timing: how fast notifications about a group of alerts are sent."""

    wait: Duration
    """Time from the first alert of a group to its first notification, so that simultaneous failures come in one
    message."""

    interval: Duration
    """Time between notifications about alerts that joined or left the group."""

    repeat: Duration
    """Time after which an unchanged group is notified again."""


class Alerts(Model):
    """Receivers and timing of alerts. Without a receiver, alerts are only visible in Alertmanager and Grafana."""

    language: Literal["en", "fr"] = "en"
    """Language of messages and of the alerts' texts. Runbooks are in English."""

    timezone: Annotated[str, AfterValidator(_timezone)] = "UTC"
    """Time zone of the times in messages, and of quiet hours."""

    receivers: dict[Name, AnyReceiver] = {}
    heartbeat: SecretRef | None = None
    """Secret with the address of a dead man's switch (Healthchecks, Dead Man's Snitch, Uptime Kuma …). It is called
    every minute while rules are evaluated and alerts delivered, and raises the alarm itself when the calls stop. It is
    not called from development, which may stop at any time."""

    group_by: list[Label] = Field(default=["product", "environment", "scope"], min_length=1)
    """Alerts with equal values of these labels are grouped into one message. `scope` is the subject of an alert (host,
    store, service, probe …): however much fails at once, a channel gets some ten messages."""

    critical: Pace = Pace.model_validate({"wait": "10s", "interval": "1m", "repeat": "4h"})
    """Group timing of critical alerts."""

    rest: Pace = Pace.model_validate({"wait": "30s", "interval": "5m", "repeat": "12h"})
    """Group timing of all other alerts. Wait and interval are Alertmanager's defaults."""

    replicas: Annotated[int, Field(ge=1, le=3)] = 1
    """Instances of Alertmanager, which share silences and the notification log; two or three, so that one may fail."""

    limits: Limits = limits("128MB", 0.5)

    @model_validator(mode="after")
    def _names_are_free(self) -> Alerts:
        if reserved := sorted(self.receivers.keys() & {NULL_RECEIVER, HEARTBEAT}):
            raise ValueError(f"receivers by other names than {' and '.join(reserved)}: Dockyard has those itself")
        return self

    def has_heartbeat_in(self, environment: Environment) -> bool:
        """Whether a dead man's switch is called in this environment."""
        return self.heartbeat is not None and environment != "development"

    def receivers_in(self, environment: Environment) -> dict[str, Receiver]:
        """Return name → receiver, for those that are notified of this environment's alerts."""
        return {name: receiver for name, receiver in self.receivers.items() if environment in receiver.environments}

    def in_environment(self, environment: Environment) -> Alerts:
        """Return these settings with only the receivers, and the dead man's switch, that an environment notifies."""
        heartbeat = self.heartbeat if self.has_heartbeat_in(environment) else None
        return self.model_copy(update={"receivers": self.receivers_in(environment), "heartbeat": heartbeat})

    def secrets_in(self, environment: Environment) -> dict[str, SecretPath]:
        """Return the secrets of an environment's receivers: name → the settings path that refers to it."""
        return dict(secret_refs(self.in_environment(environment), ("alerts",)))
