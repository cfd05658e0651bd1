"""The Cloudflare tunnel: the services that it makes public, and who may reach them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import StringConstraints, model_validator

from settings.base import Model, Name, SecretRef, duplicates
from settings.container import Limits
from settings.units import Duration

Identifier = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{32}$")]
"""Id of an account or a zone: 32 hexadecimal digits, on the zone's overview page. All zeros are a placeholder."""

PublicName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9-]+(\.[a-z0-9-]+)+$")]
Provider = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$")]
ONE_TIME_PIN = "one-time-pin"
ONLY_TOKEN = "default"  # noqa: S105 - its name
"""Name of the service token of `service_tokens: true`."""


class TunnelService(Model):
    """A service of the product with its own public host name."""

    hostname: PublicName
    service: Name
    """Its name in the product file. It must have a port and speak HTTP."""

    path: Annotated[str, StringConstraints(pattern=r"^/[\w./-]*$")] = "/"
    """Path prefix to expose."""

    zone_id: Identifier | None = None
    """The zone of `hostname`. Default: Grafana's."""

    access: bool | None = None
    """Whether Access protects it. Default: yes, if `tunnel.access` is set; `false` opens it to everybody."""


class Access(Model):
    """Cloudflare Access in front of the tunnel's public names: who may enter, and how they authenticate.

    At least one of `emails`, `email_domains`, `identity_providers` and `service_tokens` must be set.
    """

    team: Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9-]*$")]
    """`<team>.cloudflareaccess.com`: Zero Trust → Settings → Team name."""

    emails: list[Annotated[str, StringConstraints(pattern=r"^[^@\s]+@[^@\s]+\.[^@\s]+$")]] = []
    email_domains: list[PublicName] = []
    identity_providers: list[Literal["one-time-pin"] | Provider] = []
    """Log-in methods: `one-time-pin` (a code by e-mail) or ids of the account's identity providers. Default: all of the
    account's. Without `emails` and `email_domains`, everybody who can log in there may enter."""

    service_tokens: bool | list[Name] = False
    """Names of service tokens, for programs: `./dockyard secret STACK access-<name>-client-id` (`-client-secret`)."""

    session: Duration = 24 * 3600
    """Duration of a log-in. Cloudflare's default."""

    @property
    def tokens(self) -> tuple[str, ...]:
        """Names of the service tokens."""
        if isinstance(self.service_tokens, bool):
            return (ONLY_TOKEN,) if self.service_tokens else ()
        return tuple(self.service_tokens)

    @model_validator(mode="after")
    def _somebody_and_not_everybody(self) -> Access:
        if not (self.emails or self.email_domains or self.identity_providers or self.tokens):
            raise ValueError("emails, email_domains, identity_providers or service_tokens: nobody could log in")
        if ONE_TIME_PIN in self.identity_providers and not (self.emails or self.email_domains):
            raise ValueError(f"also emails or email_domains: anybody can get a code by {ONE_TIME_PIN}")
        if duplicates(self.tokens):
            raise ValueError("a unique name for each of service_tokens")
        return self


class Tunnel(Model):
    """A Cloudflare tunnel that makes Grafana and services of the product public by name, and never any other tool.

    Dockyard creates it at Cloudflare, with its DNS records. With `token` it uses an existing tunnel instead, which must
    route to `http://grafana:3000` (as Tumulte's does), and manages nothing at Cloudflare.
    """

    account_id: Identifier | None = None
    zone_id: Identifier | None = None
    name: Name | None = None
    token: SecretRef | None = None
    """Secret with the token of an existing tunnel."""

    hostname: PublicName | None = None
    """Grafana's public name. With `token` it only sets Grafana's own address, and may be left out."""

    services: list[TunnelService] = []
    access: Access | None = None
    limits: Limits = Limits.of("128MB", cpus=0.5)

    @property
    def placeholders(self) -> Iterator[list[str | int]]:
        """Paths, below the tunnel's section, of identifiers that are still all zeros."""
        for key in ("account_id", "zone_id"):
            if _is_zero(getattr(self, key)):
                yield [key]
        for position, service in enumerate(self.services):
            if _is_zero(service.zone_id):
                yield ["services", position, "zone_id"]

    @property
    def zones(self) -> dict[str, str]:
        """Public name → its zone, for a tunnel that Dockyard creates; empty for an existing one."""
        if self.token or self.hostname is None or self.zone_id is None:
            return {}
        return {
            self.hostname: self.zone_id,
            **{service.hostname: service.zone_id or self.zone_id for service in self.services},
        }

    @property
    def protected(self) -> set[str]:
        """Public names that Cloudflare Access protects."""
        if self.access is None or self.hostname is None:
            return set()
        return {self.hostname, *(service.hostname for service in self.services if service.access is not False)}

    @property
    def urls(self) -> dict[str, str]:
        """Name → public address, of each service and of Grafana."""
        urls = {service.service: f"https://{service.hostname}{service.path}" for service in reversed(self.services)}
        return urls | ({"grafana": f"https://{self.hostname}"} if self.hostname else {})

    def hosts_of(self, service: str) -> list[str]:
        """Return the public names that lead to a service."""
        return sorted({entry.hostname for entry in self.services if entry.service == service})

    @model_validator(mode="after")
    def _one_way(self) -> Tunnel:
        identifiers = {"account_id": self.account_id, "zone_id": self.zone_id, "name": self.name}
        if self.token:
            if any(identifiers.values()):
                raise ValueError(f"either token, or {', '.join(identifiers)} and hostname")
            if self.services or self.access:
                raise ValueError("no services and no access: Dockyard manages nothing of an existing tunnel")
        elif missing := [key for key, value in {**identifiers, "hostname": self.hostname}.items() if value is None]:
            raise ValueError(f"also {' and '.join(missing)}, or the token of an existing tunnel")
        return self

    @model_validator(mode="after")
    def _names_are_clear(self) -> Tunnel:
        by_hostname: dict[str, TunnelService] = {}
        addresses: set[tuple[str, str]] = set()
        for service in self.services:
            if service.hostname == self.hostname:
                raise ValueError(f"another hostname for {service.service}: {service.hostname} is Grafana's")
            if (service.hostname, service.path) in addresses:
                raise ValueError(
                    f"a unique hostname or path for {service.service}: {service.hostname}{service.path} is used already"
                )
            addresses.add((service.hostname, service.path))
            if service.access and self.access is None:
                raise ValueError(f"an access section: {service.service} requires Access")
            first_entry = by_hostname.setdefault(service.hostname, service)
            if (first_entry.zone_id, first_entry.access) != (service.zone_id, service.access):
                raise ValueError(f"the same zone_id and access for every service at {service.hostname}")
        return self


def _is_zero(identifier: str | None) -> bool:
    return identifier is not None and not identifier.strip("0")
