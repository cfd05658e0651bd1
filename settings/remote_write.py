"""Remote write: receivers that Prometheus forwards its samples to, for long-term storage or for many stacks at once."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from settings.base import Model
from settings.container import Name
from settings.units import Duration

RESERVED_HEADERS = frozenset(
    {
        "authorization",
        "host",
        "content-encoding",
        "content-length",
        "content-type",
        "user-agent",
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "www-authenticate",
        "accept-encoding",
        "x-prometheus-remote-write-version",
        "x-prometheus-remote-read-version",
    }
)
"""Headers that Prometheus sets itself and refuses in its configuration."""


def _pattern(text: str) -> str:
    try:
        re.compile(text)
    except re.error as error:
        raise ValueError(f"a regular expression ({error})") from error
    return text


def _free_header(name: str) -> str:
    if name.lower() in RESERVED_HEADERS:
        raise ValueError("a header that Prometheus does not set itself")
    return name


MetricPattern = Annotated[str, StringConstraints(min_length=1), AfterValidator(_pattern)]
"""A regular expression that must match a metric's whole name."""

Header = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9-]+$"), AfterValidator(_free_header)]


class BasicAuth(Model):
    """User and password, as Grafana Cloud wants them."""

    username: Annotated[str, StringConstraints(min_length=1)]
    password: Name
    """The name of the secret with the password."""


class RemoteTls(Model):
    """How the receiver proves who it is."""

    ca: Annotated[str, StringConstraints(pattern=r"^-----BEGIN CERTIFICATE-----\s")] | None = None
    """Certificate of the authority to trust, as PEM text. Default: the authorities that the image knows."""

    server_name: Annotated[str, StringConstraints(min_length=1)] | None = None
    """The name that the certificate must bear. Default: the one in `url`."""

    insecure_skip_verify: bool = False
    """Trust whoever answers. Only for a receiver on a network that nobody else can reach."""


class Queue(Model):
    """Between the log of Prometheus' own store and the receiver. Defaults are Prometheus' own but where said."""

    capacity: int = Field(default=10_000, ge=1)
    """Samples that a shard holds in memory. Three to ten times `max_samples_per_send`."""

    max_shards: int = Field(default=10, ge=1)
    """Senders at once, at most. Prometheus' own limit of 50 could fill the container's memory while it catches up
    after an outage (about 1 MB a shard); ten send a hundred times what a stack of this kind measures."""

    max_samples_per_send: int = Field(default=2_000, ge=1)
    """Samples in a request, at most. Receivers have limits of their own."""

    batch_send_deadline: Duration = 5
    """After this time a request is sent also where it is not full."""

    min_backoff: Duration = 1
    """Wait after a first failure. Prometheus' own 30 ms is a hail of requests on a receiver that is just starting."""

    max_backoff: Duration = 30
    """Wait after many failures; each doubles it. Prometheus' own is 5 s."""

    retry_on_http_429: bool = True
    """Send again what the receiver refused because it was too much at once. Prometheus' own default loses it."""

    @model_validator(mode="after")
    def _fits(self) -> Queue:
        if self.capacity < self.max_samples_per_send:
            raise ValueError("a capacity of at least max_samples_per_send")
        if self.max_backoff < self.min_backoff:
            raise ValueError("a max_backoff of at least min_backoff")
        return self


class RemoteWrite(Model):
    """One receiver that speaks Prometheus' remote write: Mimir, Thanos Receive, VictoriaMetrics, Grafana Cloud,
    another Prometheus. Every series bears its product and environment."""

    name: Name
    """How Prometheus' own metrics and log call it."""

    url: Annotated[str, StringConstraints(pattern=r"^https?://[^@\s]+$")]
    """With the path: `/api/v1/push` (Mimir), `/api/v1/receive` (Thanos), `/api/v1/write` (Prometheus). A name and a
    password in it would stand in the open: they belong in `basic_auth`."""

    basic_auth: BasicAuth | None = None
    bearer_token: Name | None = None
    """The name of the secret with a token. Instead of `basic_auth`."""

    headers: dict[Header, str] = {}
    """Sent with each request, in the open: `X-Scope-OrgID` for a tenant of Mimir's."""

    tls: RemoteTls = RemoteTls()
    timeout: Duration = 30
    """For one request; then it counts as failed, and is sent again."""

    keep: list[MetricPattern] = []
    """Metrics to send, by name: `job:.+`, `(.+_)?http_requests_total`. Default: all."""

    drop: list[MetricPattern] = []
    """Metrics not to send, by name: `go_.+`. Comes after `keep`."""

    queue: Queue = Queue()

    @model_validator(mode="after")
    def _one_way(self) -> RemoteWrite:
        if self.basic_auth and self.bearer_token:
            raise ValueError("one of basic_auth and bearer_token")
        return self

    @property
    def secret(self) -> tuple[str, str] | None:
        """Name of the receiver's secret, and the field that refers to it; None where it needs none."""
        if self.basic_auth:
            return self.basic_auth.password, "basic_auth.password"
        return (self.bearer_token, "bearer_token") if self.bearer_token else None
