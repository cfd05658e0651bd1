"""Traefik's configuration: its arguments, and the files of its dynamic folder. This module creates no resources."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import yaml

from components.common import HSTS_SECONDS
from components.edge.auth import RouteAuth, middlewares
from settings.checks import OWN_LOGIN
from settings.edge import Edge, Route
from settings.names import ADMIN_PORT

ADMIN = "traefik"
"""Entry point of health, metrics and the writers' check for a loaded file; `traefik healthcheck` requires this name."""

HEALTH_COMMAND = ("traefik", "healthcheck", "--ping", f"--entrypoints.{ADMIN}.address=:{ADMIN_PORT}")
"""The health check; it requires the address of the admin entry point."""

WEB, WEBSECURE = "web", "websecure"
INTERNAL_PORTS = range(61000, 65536)
"""Ports inside Traefik's container for published ports and routes. A published Grafana (3000) and a service on port
3000 must not collide, so a published port has another number inside. Ports above 60999 do not collide with those that
Linux assigns to outgoing connections (ip_local_port_range 32768-60999)."""

BASE_FILE = "_fixed"
"""Name of the file with the base configuration, which no release changes; no service can have this name."""

DYNAMIC_FOLDER = "/etc/traefik/dynamic"
CERTIFICATES_FOLDER = "/certificates"

RETRY = {"attempts": 4, "initialInterval": "50ms"}
"""Traefik's `retry`: repeats only requests that were not sent to a server yet, on the next server if there is one, so
that a container that has just stopped loses no request. Figures: measured to lose none of 13,438 requests."""

DIAL_TIMEOUT = "1s"
HEALTH_INTERVAL, HEALTH_TIMEOUT = "2s", "5s"
"""A server that refuses connections or answers 4xx or 5xx is taken out within 2 s. One that hangs gets longer: a short
time-out would take out the only instance for a single slow answer on a busy host."""

METRICS_BUCKETS = "0.1,0.25,0.5,1,2.5,5,10"
"""Seconds. Traefik's default buckets (0.1, 0.3, 1.2, 5) cannot resolve the seeds' limits of 0.5 s and 1 s."""

ACCESS_FIELDS = (
    "ClientHost",
    "DownstreamContentSize",
    "DownstreamStatus",
    "Duration",
    "OriginStatus",
    "RequestHost",
    "RequestMethod",
    "RetryAttempts",
    "RouterName",
)
"""Fields of an access log line. Traefik omits headers by default; the path is left out, as it has the query string."""


@dataclass(frozen=True)
class Upstream:
    """A service, tool or data store that the edge proxy forwards requests to."""

    name: str
    """Name of the service, tool or store: backend, grafana, postgres."""

    port: int
    """Port that it listens on, on its network."""

    protocol: Literal["http", "tcp"] = "http"
    served_by_name: bool = True
    """Whether clients on the app network reach it through the edge, under its name: true for services."""

    published: int | None = None
    """Port on 127.0.0.1 of the host."""

    routes: tuple[Route, ...] = ()
    auth: RouteAuth | None = None
    """Authentication of its routes. Published ports have none: their clients are on this host already."""

    hosts: tuple[str, ...] = ()
    """Public names of the tunnel, which forwards the visitors' Host header unchanged."""

    health_path: str | None = None
    """Path of the health check on every instance, so that an unhealthy one gets no traffic."""

    servers: tuple[str, ...] = ()
    """Servers in the base configuration: a tool's name. Those of a service are set by each release."""

    def __post_init__(self) -> None:
        """Refuse routes to a tool or store without authentication. Raises ValueError."""
        if self.routes and not self.served_by_name and self.auth is None and self.name not in OWN_LOGIN:
            raise ValueError(f"{self.name} has routes but no authentication: everybody could reach it")


@dataclass(frozen=True)
class File:
    """A file of the dynamic folder. `loaded` is the path that answers once Traefik has loaded exactly this content."""

    text: str
    loaded: str


def entry_points(upstreams: Sequence[Upstream]) -> dict[str, int]:
    """Return Traefik's entry points: name → port inside its container.

    Raises ValueError where two upstreams share a port and cannot be distinguished: only HTTP carries a host name.
    """
    inside = Counter(upstream.port for upstream in upstreams if upstream.served_by_name)
    for upstream in upstreams:
        if upstream.served_by_name and upstream.port == ADMIN_PORT:
            raise ValueError(f"{upstream.name} listens on port {ADMIN_PORT}, which the edge proxy itself uses")
        if upstream.served_by_name and upstream.protocol == "tcp" and inside[upstream.port] > 1:
            raise ValueError(f"{upstream.name} uses TCP on port {upstream.port}, which cannot be shared")
    free = iter(port for port in INTERNAL_PORTS if port not in inside)
    ports = {ADMIN: ADMIN_PORT, **{inside_name(port): port for port in sorted(inside)}}
    web, websecure = next(free), next(free)
    if any(upstream.routes for upstream in upstreams):
        ports |= {WEB: web, WEBSECURE: websecure}
    published = sorted(upstream.name for upstream in upstreams if upstream.published)
    return ports | {published_name(name): next(free) for name in published}


def inside_name(port: int) -> str:
    """Return the name of the entry point for the services with this port on the app network."""
    return f"inside-{port}"


def published_name(upstream: str) -> str:
    """Return the name of the entry point for an upstream's published port."""
    return f"published-{upstream}"


def arguments(edge: Edge, upstreams: Sequence[Upstream], https_port: int | None) -> list[str]:
    """Return Traefik's arguments: no API, no dashboard, the file provider only, no telemetry.

    `https_port` is the public port of the TLS entry point, to which HTTP is redirected.
    """
    options = {
        "global.checknewversion": "false",
        "global.sendanonymoususage": "false",
        "log.level": "INFO",
        "log.format": "json",
        "ping": "true",
        "metrics.prometheus": "true",
        "metrics.prometheus.entrypoint": ADMIN,
        # Metrics of routers count answers to visitors, those of services count answers of servers: the difference is
        # retries and answers of the edge itself. Metrics of entry points would only repeat the sums.
        "metrics.prometheus.addrouterslabels": "true",
        "metrics.prometheus.addentrypointslabels": "false",
        "metrics.prometheus.buckets": METRICS_BUCKETS,
        "providers.file.directory": DYNAMIC_FOLDER,
        "providers.file.watch": "true",
        # The default of 2 s would delay every release.
        "providers.providersthrottleduration": "100ms",
    }
    if edge.access_log:
        fields = (*ACCESS_FIELDS, *(["RequestPath"] if edge.access_log_paths else []))
        options |= {"accesslog": "true", "accesslog.format": "json", "accesslog.fields.defaultmode": "drop"}
        options |= {f"accesslog.fields.names.{field}": "keep" for field in fields}
    points = entry_points(upstreams)
    for name, port in points.items():
        options[f"entrypoints.{name}.address"] = f":{port}"
        # Time for running requests when Traefik itself is replaced.
        options[f"entrypoints.{name}.transport.lifecycle.gracetimeout"] = f"{edge.drain}s"
        if name not in (ADMIN, WEB, WEBSECURE):
            # Clients of these entry points are on the app network or this host: their X-Forwarded-* is trusted.
            options[f"entrypoints.{name}.forwardedheaders.insecure"] = "true"
    if WEB in points:
        redirect = f"entrypoints.{WEB}.http.redirections.entrypoint"
        options |= {f"{redirect}.to": f":{https_port}", f"{redirect}.scheme": "https", f"{redirect}.permanent": "true"}
    if edge.tls.acme:
        acme = "certificatesresolvers.acme.acme"
        options |= {
            f"{acme}.email": edge.tls.acme.email,
            f"{acme}.caserver": edge.tls.acme.server,
            f"{acme}.storage": f"{CERTIFICATES_FOLDER}/acme.json",
            f"{acme}.httpchallenge.entrypoint": WEB,
        }
    return [f"--{option}={value}" for option, value in options.items()]


def base_config(
    edge: Edge,
    upstreams: Sequence[Upstream],
    pem: tuple[str, str] | None,
    users: Mapping[str, Sequence[str]] | None = None,
) -> File:
    """Render the configuration that all upstreams share, and the upstreams with fixed servers.

    `pem` is the certificate with its chain, and its key. `users` are the lines of each secret for basic authentication;
    they are written into the file, which is therefore a secret.
    """
    document: dict[str, Any] = {
        "http": {
            "middlewares": {"retry": {"retry": RETRY}, "hsts": {"headers": {"stsSeconds": HSTS_SECONDS}}},
            "serversTransports": {"quick": {"forwardingTimeouts": {"dialTimeout": DIAL_TIMEOUT}}},
        },
        "tcp": {"serversTransports": {"quick": {"dialTimeout": DIAL_TIMEOUT}}},
        "tls": {"options": {"default": {"minVersion": "VersionTLS12"}}},
    }
    if pem:
        certificate, key = pem
        document["tls"]["stores"] = {"default": {"defaultCertificate": {"certFile": certificate, "keyFile": key}}}
    for upstream in upstreams:
        if upstream.servers:
            _merge(document, _http_config(edge, upstreams, upstream, upstream.servers))
        if upstream.auth:
            document["http"]["middlewares"] |= middlewares(upstream.name, upstream.auth, users or {})
    return _file(BASE_FILE, document)


def service_file(edge: Edge, upstreams: Sequence[Upstream], upstream: Upstream, servers: Sequence[str]) -> File:
    """Render the file of one service whose instances are `servers`, by their names on the app network."""
    return _file(upstream.name, _http_config(edge, upstreams, upstream, servers))


def _http_config(
    edge: Edge, upstreams: Sequence[Upstream], upstream: Upstream, servers: Sequence[str]
) -> dict[str, Any]:
    if upstream.protocol == "tcp":
        return _tcp_config(upstream, servers)
    routers: dict[str, Any] = {}
    common: dict[str, Any] = {"service": upstream.name, "middlewares": ["retry"]}
    if upstream.served_by_name:
        port_is_unique = sum(peer.served_by_name and peer.port == upstream.port for peer in upstreams) == 1
        by_name = " || ".join(f"Host(`{name}`)" for name in (upstream.name, *upstream.hosts))
        rule = "PathPrefix(`/`)" if port_is_unique else by_name
        routers[f"{upstream.name}_inside"] = {**common, "entryPoints": [inside_name(upstream.port)], "rule": rule}
    if upstream.published:
        entry = [published_name(upstream.name)]
        routers[f"{upstream.name}_published"] = {**common, "entryPoints": entry, "rule": "PathPrefix(`/`)"}
    for number, route in enumerate(upstream.routes):
        below = "" if route.path == "/" else f" && PathPrefix(`{route.path}`)"
        routers[f"{upstream.name}_route_{number}"] = {
            "service": upstream.name,
            # HSTS comes first, so that it is also set on answers that refuse a visitor.
            "middlewares": ["hsts", *(middlewares(upstream.name, upstream.auth, {}) if upstream.auth else []), "retry"],
            "entryPoints": [WEBSECURE],
            "rule": f"Host(`{route.host}`){below}",
            "tls": {"certResolver": "acme"} if edge.tls.acme else {},
        }
    balancer: dict[str, Any] = {
        "servers": [{"url": f"http://{server}:{upstream.port}"} for server in servers],
        "passHostHeader": True,
        "serversTransport": "quick",
    }
    if upstream.health_path:
        check = {"path": upstream.health_path, "interval": HEALTH_INTERVAL, "timeout": HEALTH_TIMEOUT}
        balancer["healthCheck"] = check
    return {"http": {"routers": routers, "services": {upstream.name: {"loadBalancer": balancer}}}}


def _tcp_config(upstream: Upstream, servers: Sequence[str]) -> dict[str, Any]:
    entries = [inside_name(upstream.port)] if upstream.served_by_name else []
    entries += [published_name(upstream.name)] if upstream.published else []
    addresses = [{"address": f"{server}:{upstream.port}"} for server in servers]
    router = {"entryPoints": entries, "rule": "HostSNI(`*`)", "service": upstream.name}
    balancer = {"loadBalancer": {"servers": addresses, "serversTransport": "quick"}}
    return {"tcp": {"routers": {upstream.name: router}, "services": {upstream.name: balancer}}}


def _file(name: str, document: dict[str, Any]) -> File:
    """Render a file; add to it a route that answers once this content is loaded.

    Traefik evaluates every file as a Go template first, so `{{` is escaped.
    """
    digest = hashlib.sha256(yaml.safe_dump(document).encode()).hexdigest()[:16]
    loaded = f"/loaded/{name}/{digest}"
    router = {"entryPoints": [ADMIN], "rule": f"Path(`{loaded}`)", "service": "ping@internal"}
    _merge(document, {"http": {"routers": {f"{name}_loaded": router}}})
    return File(yaml.safe_dump(document, width=1000).replace("{{", '{{"{{"}}'), loaded)


def _merge(target: dict[str, Any], source: Mapping[str, Any]) -> None:
    for key, value in source.items():
        if isinstance(value, Mapping):
            _merge(target.setdefault(key, {}), value)
        else:
            target[key] = value
