"""The edge proxy: its addresses and ports, its certificates and its routes."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, StringConstraints, model_validator

from settings.base import Model
from settings.container import Limits, Name, Port
from settings.units import Duration

HostName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9-]+(\.[a-z0-9-]+)*$")]
LETS_ENCRYPT = "https://acme-v02.api.letsencrypt.org/directory"


class Route(Model):
    """A host name, and below it a path, that lead to a service. The service sees the path as it was asked."""

    host: HostName
    path: Annotated[str, StringConstraints(pattern=r"^/[^\s`]*$")] = "/"


class PublicTool(Route):
    """A tool of the monitoring that people reach from outside, on purpose, by HTTPS alone.

    Grafana has its own log-in. Every other tool shows everything to whoever reaches it: it needs `basic_auth` or
    `forward_auth`, and where both are given a request must pass both (settings/exposure.py).
    """

    basic_auth: Name | None = None
    """Secret with the people who may: a line each as `htpasswd -nB <name>` prints it, with a hash by bcrypt. A hash and
    no password, since what is made from a password at each `up` (its salt) would change at each `up`."""

    forward_auth: Annotated[str, StringConstraints(pattern=r"^https?://[^/\s]+(/\S*)?$")] | None = None
    """Address that is asked about every request, with its headers; only where it answers 2xx does the request get
    through, and any other answer is what the visitor sees. A service of the product by its name and port:
    `http://sign-in:4181/verify`."""

    @property
    def guarded(self) -> bool:
        """Whether the edge itself authenticates visitors."""
        return bool(self.basic_auth or self.forward_auth)


class Acme(Model):
    """Certificates from Let's Encrypt, or another authority that speaks ACME, by its HTTP challenge."""

    email: Annotated[str, StringConstraints(pattern=r"^[^@\s]+@[^@\s]+$")]
    server: Annotated[str, StringConstraints(pattern=r"^https?://")] = LETS_ENCRYPT


class Tls(Model):
    """Where the certificate comes from; nothing said: Traefik's own, self-signed."""

    acme: Acme | None = None
    certificate: Name | None = None
    """Secret with the certificate and its chain, PEM."""

    key: Name | None = None
    """Secret with its key, PEM."""

    @model_validator(mode="after")
    def _one_way(self) -> Tls:
        if (self.certificate is None) != (self.key is None):
            raise ValueError("certificate and key together")
        if self.acme and self.certificate:
            raise ValueError("one of acme and certificate")
        return self


class Edge(Model):
    """The edge proxy. Limits and health check: the dating app's table."""

    address: Annotated[str, StringConstraints(pattern=r"^\d{1,3}(\.\d{1,3}){3}$")] = "127.0.0.1"
    """Where its ports for routes are bound: `0.0.0.0` lets the world in (CIS Docker 5.14)."""

    http: Port = 80
    https: Port = 443
    tls: Tls = Tls()
    tools: dict[Name, PublicTool] = {}
    """Tool of the monitoring → the host name it is reached at from outside. What is not named here has no route."""

    drain: Duration = 2
    """Between the switch to a new release and the end of the old one: for requests that are still running."""

    access_log: bool = True
    """A line in JSON on its standard output for each request: method, status, time, host, route, client; no header."""

    access_log_paths: bool = False
    """With the path, and what stands behind its question mark: that may be a secret. The log pipeline cuts it off, but
    the engine's own log files have it."""

    health_interval: Duration = 10
    limits: Limits = Field(
        default_factory=lambda: Limits.model_validate({"memory": "256MB", "reserved": "128MB", "cpus": 1})
    )

    @property
    def secrets(self) -> dict[str, str]:
        """Secrets that must be set: name → the settings path that refers to it."""
        by_place = {"tls.certificate": self.tls.certificate, "tls.key": self.tls.key}
        by_place |= {f"tools.{name}.basic_auth": tool.basic_auth for name, tool in self.tools.items()}
        return {secret: place for place, secret in by_place.items() if secret}
