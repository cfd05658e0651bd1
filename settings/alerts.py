"""Receivers of alerts, the timing of notifications and their language; in the product file, the stack file or both."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal
from zoneinfo import available_timezones

from pydantic import AfterValidator, Discriminator, Field, StringConstraints, model_validator

from settings.alert_rules import AlertName, Label
from settings.base import Model, Name, SecretPath, SecretRef, secret_refs
from settings.container import Limits
from settings.units import Duration

Environment = Literal["development", "staging", "production"]
Severity = Literal["critical", "warning", "info"]
Day = Literal["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]
Text = Annotated[str, StringConstraints(min_length=1, strip_whitespace=True)]
Mail = Annotated[str, StringConstraints(pattern=r"^[^@\s,<>]+@[^@\s,<>]+$")]
Address = Annotated[str, StringConstraints(pattern=r"^https?://[^\s/]+")]
Hours = Annotated[str, StringConstraints(pattern=r"^([01]\d|2[0-3]):[0-5]\d-([01]\d|2[0-3]):[0-5]\d$")]


class Quiet(Model):
    """Quiet hours of a receiver. Critical alerts are sent anyway; others that still fire are sent when they end."""

    hours: Hours | None = None
    """`22:00-07:00`, in `alerts.timezone`; may span midnight."""

    days: list[Day] = []
    """Days that are quiet from midnight to midnight."""

    @model_validator(mode="after")
    def _something(self) -> Quiet:
        if self.hours is None and not self.days:
            raise ValueError("hours, days or both")
        if self.hours is not None and self.hours[:5] == self.hours[6:]:
            raise ValueError("hours that begin and end at different times")
        return self


class Receiver(Model):
    """Settings that all receivers share: the alerts that they are notified of."""

    pages: ClassVar[bool] = False
    """Whether it wakes people. Such receivers are refused for development."""

    severities: list[Severity] = Field(default=["critical", "warning", "info"], min_length=1)
    environments: list[Environment] = Field(default=["staging", "production"], min_length=1)
    """Environments whose alerts it receives. Development notifies only receivers that list it."""

    alerts: list[AlertName] = []
    """Notify only about these alerts. Default: all."""

    labels: dict[Label, Text] = {}
    """Notify only about alerts with these labels. Default: all."""

    recoveries: bool = True
    """Also notify when the alert resolves (`send_resolved`)."""

    quiet: Quiet | None = None

    @model_validator(mode="after")
    def _fits_together(self) -> Receiver:
        if self.pages and "development" in self.environments:
            raise ValueError(f"environments without development: {self.type} pages people")  # type: ignore[attr-defined] # each kind has its own literal
        if self.quiet and set(self.severities) == {"critical"}:
            raise ValueError("severities besides critical, or no quiet: critical alerts are never delayed")
        return self


class Discord(Receiver):
    """A Discord channel (Tumulte's #monitoring and #alertes-critiques)."""

    type: Literal["discord"]
    webhook: SecretRef
    """Secret with the channel's webhook address."""


class Slack(Receiver):
    """A Slack channel (Love Parser's #ops-love-parser)."""

    type: Literal["slack"]
    webhook: SecretRef
    """Secret with the address of the incoming webhook."""

    channel: Annotated[str, StringConstraints(pattern=r"^[#@]?\S+$")] | None = None
    """Default: the webhook's own channel. Webhooks of newer Slack apps ignore it."""


class Email(Receiver):
    """E-mail by SMTP with TLS: STARTTLS is required, and port 465 uses implicit TLS."""

    type: Literal["email"]
    to: list[Mail] = Field(min_length=1)
    sender: Mail = Field(alias="from")
    smarthost: Annotated[str, StringConstraints(pattern=r"^[^\s:/]+:\d{1,5}$")]
    """Host and port of the mail server: `smtp.example.org:587`."""

    username: Text | None = None
    password: SecretRef | None = None
    ca: SecretRef | None = None
    """Secret with the certificate, PEM, of the trusted authority. Default: the authorities in the image."""

    @model_validator(mode="after")
    def _login(self) -> Email:
        if (self.username is None) != (self.password is None):
            raise ValueError("both username and password, or neither")
        return self


class _Posted(Receiver):
    url: SecretRef
    """Secret with the address that messages are posted to."""

    token: SecretRef | None = None
    """Secret with a bearer token."""


class Webhook(_Posted):
    """Any service that accepts Alertmanager's own JSON."""

    type: Literal["webhook"]


class Sms(_Posted):
    """Text messages of at most 160 characters, through a gateway that accepts JSON over HTTP.

    By default only for alerts with the label `notify_sms="true"`, as in Love Parser's document.
    """

    pages = True
    type: Literal["sms"]
    labels: dict[Label, Text] = {"notify_sms": "true"}
    text_key: Text = "text"
    """Key of the message in the JSON object."""

    fields: dict[Text, Text] = {}
    """Further keys that the gateway requires in the object, `to` for instance."""


class PagerDuty(Receiver):
    """PagerDuty, by a service's Events API v2 integration."""

    pages = True
    type: Literal["pagerduty"]
    routing_key: SecretRef
    """Secret with the integration key."""

    url: Address = "https://events.pagerduty.com/v2/enqueue"
    """Address of the Events API. Accounts in the EU use `https://events.eu.pagerduty.com/v2/enqueue`."""


class Opsgenie(Receiver):
    """Opsgenie. Atlassian discontinues it in April 2027."""

    pages = True
    type: Literal["opsgenie"]
    api_key: SecretRef
    """Secret with the key of an API integration."""

    region: Literal["us", "eu"] = "us"
    url: Address | None = None
    """Address of the API, instead of the region's. Jira Service Management accepts the same requests at
    `https://api.atlassian.com/jsm/ops/integration`."""


class Telegram(Receiver):
    """A Telegram chat, by a bot."""

    type: Literal["telegram"]
    bot_token: SecretRef
    """Secret with the bot's token."""

    chat_id: int
    """Id of the chat; those of groups are negative."""

    thread: int | None = None
    """Id of a topic in the group."""

    url: Address = "https://api.telegram.org"
    """Address of the Bot API: Telegram's, or that of your own Bot API server."""


class Teams(Receiver):
    """A Microsoft Teams channel, by a workflow's webhook."""

    type: Literal["teams"]
    webhook: SecretRef
    """Secret with the workflow's address."""


class Ntfy(Receiver):
    """A topic of ntfy, by its JSON API."""

    type: Literal["ntfy"]
    server: Address = "https://ntfy.sh"
    topic: Annotated[str, StringConstraints(pattern=r"^[-_A-Za-z0-9]{1,64}$")]
    token: SecretRef | None = None
    """Secret with an access token. On a public server everybody can read a topic that is not reserved."""


AnyReceiver = Annotated[
    Discord | Slack | Email | Webhook | Sms | PagerDuty | Opsgenie | Telegram | Teams | Ntfy, Discriminator("type")
]

NULL_RECEIVER, HEARTBEAT = "nobody", "heartbeat"
"""Names of the receivers that Dockyard defines itself: one that notifies nobody, and the dead man's switch."""


def _timezone(name: str) -> str:
    if name not in available_timezones():
        raise ValueError("a time zone like Europe/Paris or UTC")
    return name


class GroupTiming(Model):
    """Group timing: how fast notifications about a group of alerts are sent."""

    wait: Duration
    """Time from a group's first alert to its first notification, so that simultaneous failures come in one message."""

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
    store, service, probe …), so that a channel gets some ten messages however much fails at once."""

    critical: GroupTiming = GroupTiming.model_validate({"wait": "10s", "interval": "1m", "repeat": "4h"})
    """Group timing of critical alerts."""

    rest: GroupTiming = GroupTiming.model_validate({"wait": "30s", "interval": "5m", "repeat": "12h"})
    """Group timing of all other alerts. Wait and interval are Alertmanager's defaults."""

    replicas: Annotated[int, Field(ge=1, le=3)] = 1
    """Number of Alertmanager instances, which share silences and the notification log. With two, one may fail."""

    limits: Limits = Limits.of("128MB", cpus=0.5)

    @model_validator(mode="after")
    def _names_are_free(self) -> Alerts:
        if reserved := sorted(self.receivers.keys() & {NULL_RECEIVER, HEARTBEAT}):
            raise ValueError(f"receiver names other than {' and '.join(reserved)}: Dockyard uses these itself")
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
