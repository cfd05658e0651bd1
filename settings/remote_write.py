"""Remote write: receivers that Prometheus forwards its samples to, for long-term storage or for many stacks at once."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from settings.base import Model, Name, Regex, SecretRef
from settings.units import Duration

RESERVED_HEADERS = (
    *("authorization", "host", "content-encoding", "content-length", "content-type", "user-agent", "connection"),
    *("keep-alive", "proxy-authenticate", "proxy-authorization", "www-authenticate", "accept-encoding"),
    *("x-prometheus-remote-write-version", "x-prometheus-remote-read-version"),
)
"""Headers that Prometheus sets itself and refuses in its configuration."""


def _free_header(name: str) -> str:
    if name.lower() in RESERVED_HEADERS:
        raise ValueError("a header that Prometheus does not set itself")
    return name


MetricPattern = Annotated[Regex, StringConstraints(min_length=1)]
"""A regular expression that must match a metric's whole name."""

Header = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9-]+$"), AfterValidator(_free_header)]


class BasicAuth(Model):
    """User and password, as Grafana Cloud requires them."""

    username: Annotated[str, StringConstraints(min_length=1)]
    password: SecretRef
    """Name of the secret with the password."""


class RemoteTls(Model):
    """How the receiver's identity is verified."""

    ca: Annotated[str, StringConstraints(pattern=r"^-----BEGIN CERTIFICATE-----\s")] | None = None
    """Certificate of the trusted authority, as PEM text. Default: the authorities in the image."""

    server_name: Annotated[str, StringConstraints(min_length=1)] | None = None
    """Name that the certificate must contain. Default: the host in `url`."""

    insecure_skip_verify: bool = False
    """Do not verify the certificate. Only for a receiver on a network that nobody else can reach."""


class Queue(Model):
    """The queue between Prometheus' write-ahead log and the receiver. Defaults are Prometheus' own unless noted."""

    capacity: int = Field(default=10_000, ge=1)
    """Samples that a shard buffers in memory. Three to ten times `max_samples_per_send`."""

    max_shards: int = Field(default=10, ge=1)
    """Maximum number of parallel senders. Prometheus' default of 50 could fill the container's memory while it catches
    up after an outage (about 1 MB a shard); ten send a hundred times what a stack of this kind measures."""

    max_samples_per_send: int = Field(default=2_000, ge=1)
    """Maximum number of samples in a request. Receivers have limits of their own."""

    batch_send_deadline: Duration = 5
    """Time after which a request is sent even if it is not full."""

    min_backoff: Duration = 1
    """Delay after the first failure. Prometheus' default of 30 ms floods a receiver that is just starting."""

    max_backoff: Duration = 30
    """Maximum delay; each failure doubles it. Prometheus' default is 5 s."""

    retry_on_http_429: bool = True
    """Retry requests that the receiver refused because of its rate limit. Prometheus' default drops them."""

    @model_validator(mode="after")
    def _fits(self) -> Queue:
        if self.capacity < self.max_samples_per_send:
            raise ValueError("a capacity of at least max_samples_per_send")
        if self.max_backoff < self.min_backoff:
            raise ValueError("a max_backoff of at least min_backoff")
        return self


class RemoteWrite(Model):
    """A receiver of Prometheus' remote write: Mimir, Thanos Receive, VictoriaMetrics, Grafana Cloud, another
    Prometheus. Every series has the labels `product` and `environment`."""

    name: Name
    """Name of the receiver in Prometheus' own metrics and log."""

    url: Annotated[str, StringConstraints(pattern=r"^https?://[^@\s]+$")]
    """Address with the path: `/api/v1/push` (Mimir), `/api/v1/receive` (Thanos), `/api/v1/write` (Prometheus). User and
    password must be in `basic_auth`: in the address they would be readable."""

    basic_auth: BasicAuth | None = None
    bearer_token: SecretRef | None = None
    """Name of the secret with a token. Alternative to `basic_auth`."""

    headers: dict[Header, str] = {}
    """Headers of each request, which are not secret: `X-Scope-OrgID` for a tenant of Mimir."""

    tls: RemoteTls = RemoteTls()
    timeout: Duration = 30
    """Timeout of a request, after which it is retried."""

    keep: list[MetricPattern] = []
    """Metrics to send, by name: `job:.+`, `(.+_)?http_requests_total`. Default: all."""

    drop: list[MetricPattern] = []
    """Metrics not to send, by name: `go_.+`. Applied after `keep`."""

    queue: Queue = Queue()

    @model_validator(mode="after")
    def _one_way(self) -> RemoteWrite:
        if self.basic_auth and self.bearer_token:
            raise ValueError("either basic_auth or bearer_token, not both")
        return self
