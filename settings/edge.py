"""The edge proxy: its addresses and ports, its certificates and its routes."""

from __future__ import annotations

from typing import Annotated

from pydantic import StringConstraints, model_validator

from settings.base import Model, Name, SecretRef
from settings.container import Limits, Port
from settings.units import Duration

HostName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9-]+(\.[a-z0-9-]+)*$")]
LETS_ENCRYPT = "https://acme-v02.api.letsencrypt.org/directory"


class Route(Model):
    """A host name and path prefix that are routed to a service. The path is forwarded unchanged."""

    host: HostName
    path: Annotated[str, StringConstraints(pattern=r"^/[^\s`]*$")] = "/"


class PublicTool(Route):
    """A monitoring tool with a public host name, by HTTPS only.

    Grafana has its own log-in. All other tools have none, and need `basic_auth` or `forward_auth`; where both are set,
    a request must pass both.
    """

    basic_auth: SecretRef | None = None
    """Secret with the permitted users, one line each as `htpasswd -nB <name>` prints it, with a bcrypt hash. It holds
    hashes and not passwords, since a hash made at each `up` would have a new salt and so change at each `up`."""

    forward_auth: Annotated[str, StringConstraints(pattern=r"^https?://[^/\s]+(/\S*)?$")] | None = None
    """Address that decides about every request by its headers: if it answers 2xx, the request passes; any other answer
    is returned to the visitor. Address a service of the product by name and port: `http://sign-in:4181/verify`."""

    @property
    def guarded(self) -> bool:
        """Whether the edge itself authenticates visitors."""
        return bool(self.basic_auth or self.forward_auth)


class Acme(Model):
    """Certificates from Let's Encrypt or another ACME authority, by the HTTP challenge."""

    email: Annotated[str, StringConstraints(pattern=r"^[^@\s]+@[^@\s]+$")]
    server: Annotated[str, StringConstraints(pattern=r"^https?://")] = LETS_ENCRYPT


class Tls(Model):
    """Source of the certificate. Default: Traefik's self-signed one."""

    acme: Acme | None = None
    certificate: SecretRef | None = None
    """Secret with the certificate and its chain, PEM."""

    key: SecretRef | None = None
    """Secret with the certificate's private key, PEM."""

    @model_validator(mode="after")
    def _one_way(self) -> Tls:
        if (self.certificate is None) != (self.key is None):
            raise ValueError("both certificate and key, or neither")
        if self.acme and self.certificate:
            raise ValueError("either acme or certificate, not both")
        return self


class Edge(Model):
    """The edge proxy. Limits and health check are from the dating app's table."""

    address: Annotated[str, StringConstraints(pattern=r"^\d{1,3}(\.\d{1,3}){3}$")] = "127.0.0.1"
    """Host address that the ports for routes are bound to: `0.0.0.0` makes them public (CIS Docker 5.14)."""

    http: Port = 80
    https: Port = 443
    tls: Tls = Tls()
    tools: dict[Name, PublicTool] = {}
    """Monitoring tool → its public host name. All others have no route."""

    drain: Duration = 2
    """How long the old release keeps running after traffic has moved to the new one, to complete its requests."""

    access_log: bool = True
    """Log each request to standard output as a line of JSON: method, status, time, host, route, client; no headers."""

    access_log_paths: bool = False
    """Add path and query string to the access log. The query may contain secrets: the log pipeline removes it, but
    Docker's own log files keep it."""

    health_interval: Duration = 10
    limits: Limits = Limits.of("256MB", cpus=1, reserved="128MB")
