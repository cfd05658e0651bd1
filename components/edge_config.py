"""Traefik's configuration: its arguments, and the files of its dynamic folder. Nothing here makes a resource."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import yaml

from components.edge_guard import RouteAuth, middleware_names, middlewares
from settings.edge import Edge, Route
from settings.exposure import OWN_LOGIN
from settings.names import ADMIN_PORT

ADMIN = "traefik"
"""The entry point of health, metrics and the writers' question; `traefik healthcheck` looks for this name."""

WEB, WEBSECURE = "web", "websecure"
OWN_PORTS = range(61000, 65536)
"""Where it listens, inside its container, for what comes from outside. A published Grafana (3000) and a service on
port 3000 must not meet, so what is published does not keep its number inside. Above 60999 nothing collides with the
ports that Linux gives to outgoing connections (ip_local_port_range 32768-60999)."""

STATIC = "_fixed"
"""The file of everything that does not move; no service can have this name."""

DYNAMIC_FOLDER = "/etc/traefik/dynamic"
CERTIFICATES_FOLDER = "/certificates"

RETRY = {"attempts": 4, "initialInterval": "50ms"}
"""Only requests of which nothing was sent yet are tried again (Traefik's `retry`), on the next server if there is
one: a container that has just gone costs nobody an answer. Figures: seen to lose none of 13,438 requests."""

DIAL_TIMEOUT = "1s"
HEALTH_INTERVAL, HEALTH_TIMEOUT = "2s", "5s"
"""A server that refuses or answers 4xx and 5xx is out within 2 s. One that hangs gets longer: a short time-out would
take the only instance away from everybody for one slow answer on a busy host."""

METRICS_BUCKETS = "0.1,0.25,0.5,1,2.5,5,10"
"""Seconds. Traefik's own (0.1, 0.3, 1.2, 5) cannot tell the seeds' 0.5 s and 1 s."""

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
"""What an access line says. No header, which Traefik leaves out by itself; no path: it has the query string in it."""

HSTS_SECONDS = 365 * 24 * 3600


@dataclass(frozen=True)
class Upstream:
    """Something that the edge stands before."""

    name: str
    """A service or a tool: backend, grafana, postgres."""

    port: int
    """It listens there, on its network."""

    protocol: Literal["http", "tcp"] = "http"
    internal: bool = True
    """The edge takes its name and port on the app network; not so for tools and stores, which have their names
    themselves."""

    published: int | None = None
    """Port on 127.0.0.1 of the host."""

    routes: tuple[Route, ...] = ()
    auth: RouteAuth | None = None
    """Stands before its routes. Who comes by a published port is on this host already."""

    hosts: tuple[str, ...] = ()
    """Public names that the tunnel's visitors ask for: the tunnel passes them on as they are."""

    health_path: str | None = None
    """Asked of every instance, so that a sick one gets no traffic."""

    servers: tuple[str, ...] = ()
    """Known from the start: a tool's name. Those of a service come with each release."""

    def __post_init__(self) -> None:
        """Refuse a route to a tool or store that asks nobody who they are. Raises ValueError."""
        if self.routes and not self.internal and self.auth is None and self.name not in OWN_LOGIN:
            raise ValueError(f"{self.name} has routes and no guard: everybody could reach it")


@dataclass(frozen=True)
class File:
    """A file of the dynamic folder. `loaded` is the path that answers once Traefik has taken exactly this content."""

    text: str
    loaded: str


def entry_points(upstreams: Sequence[Upstream]) -> dict[str, int]:
    """Return the name and port, inside the container, of everything that Traefik listens on.

    Raises ValueError where two fronts cannot be told apart: only HTTP says which name was meant.
    """
    inside = Counter(upstream.port for upstream in upstreams if upstream.internal)
    for upstream in upstreams:
        if upstream.internal and upstream.port == ADMIN_PORT:
            raise ValueError(f"{upstream.name} listens on {ADMIN_PORT}, which is the edge proxy's own")
        if upstream.internal and upstream.protocol == "tcp" and inside[upstream.port] > 1:
            raise ValueError(f"{upstream.name} speaks TCP on port {upstream.port}, so nothing else can be there")
    free = iter(port for port in OWN_PORTS if port not in inside)
    ports = {ADMIN: ADMIN_PORT, **{inside_name(port): port for port in sorted(inside)}}
    web, websecure = next(free), next(free)
    if any(upstream.routes for upstream in upstreams):
        ports |= {WEB: web, WEBSECURE: websecure}
    published = sorted(upstream.name for upstream in upstreams if upstream.published)
    return ports | {published_name(name): next(free) for name in published}


def inside_name(port: int) -> str:
    """Name the entry point that stands in for services on the app network."""
    return f"inside-{port}"


def published_name(upstream: str) -> str:
    """Name the entry point of one published port."""
    return f"published-{upstream}"


def arguments(edge: Edge, upstreams: Sequence[Upstream], https_port: int | None) -> list[str]:
    """Return Traefik's arguments. No API, no dashboard, no provider but the folder, nothing reported to anybody.

    `https_port` is what the outside knows the TLS entry point by: redirects lead there.
    """
    options = {
        "global.checknewversion": "false",
        "global.sendanonymoususage": "false",
        "log.level": "INFO",
        "log.format": "json",
        "ping": "true",
        "metrics.prometheus": "true",
        "metrics.prometheus.entrypoint": ADMIN,
        # Routers count what visitors get, services what servers say: the difference is what is tried again, and what
        # the edge answers itself. Entry points would count it all once more.
        "metrics.prometheus.addrouterslabels": "true",
        "metrics.prometheus.addentrypointslabels": "false",
        "metrics.prometheus.buckets": METRICS_BUCKETS,
        "providers.file.directory": DYNAMIC_FOLDER,
        "providers.file.watch": "true",
        # Its default, 2 s, would be added to every release.
        "providers.providersthrottleduration": "100ms",
    }
    if edge.access_log:
        fields = (*ACCESS_FIELDS, *(["RequestPath"] if edge.access_log_paths else []))
        options |= {"accesslog": "true", "accesslog.format": "json", "accesslog.fields.defaultmode": "drop"}
        options |= {f"accesslog.fields.names.{field}": "keep" for field in fields}
    points = entry_points(upstreams)
    for name, port in points.items():
        options[f"entrypoints.{name}.address"] = f":{port}"
        # How long it lets requests finish when it is replaced itself.
        options[f"entrypoints.{name}.transport.lifecycle.gracetimeout"] = f"{edge.drain}s"
        if name not in (ADMIN, WEB, WEBSECURE):
            # Who asks here is on the app network or on this host: what it says of the client is true.
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


def healthcheck() -> tuple[str, ...]:
    """Return the command of the dating app's health check; it must be told where the admin entry point is."""
    return ("traefik", "healthcheck", "--ping", f"--entrypoints.{ADMIN}.address=:{ADMIN_PORT}")


def base_config(
    edge: Edge,
    upstreams: Sequence[Upstream],
    pem: tuple[str, str] | None,
    users: Mapping[str, Sequence[str]] | None = None,
) -> File:
    """Render what all fronts share, and the fronts whose servers are known from the start.

    `pem` is the certificate with its chain, and its key; `users` are the lines of each secret for basic
    authentication. They stand in the file itself, which makes it a secret.
    """
    document: dict[str, Any] = {
        "http": {
            "middlewares": {
                "retry": {"retry": RETRY},
                "hsts": {"headers": {"stsSeconds": HSTS_SECONDS}},
            },
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
    return _file(STATIC, document)


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
    if upstream.internal:
        alone = sum(peer.internal and peer.port == upstream.port for peer in upstreams) == 1
        by_name = " || ".join(f"Host(`{name}`)" for name in (upstream.name, *upstream.hosts))
        rule = "PathPrefix(`/`)" if alone else by_name
        routers[f"{upstream.name}_inside"] = {**common, "entryPoints": [inside_name(upstream.port)], "rule": rule}
    if upstream.published:
        entry = [published_name(upstream.name)]
        routers[f"{upstream.name}_published"] = {**common, "entryPoints": entry, "rule": "PathPrefix(`/`)"}
    for number, route in enumerate(upstream.routes):
        below = "" if route.path == "/" else f" && PathPrefix(`{route.path}`)"
        routers[f"{upstream.name}_route_{number}"] = {
            "service": upstream.name,
            # First what every answer gets, also one that turns somebody away.
            "middlewares": [
                "hsts",
                *(middleware_names(upstream.name, upstream.auth) if upstream.auth else []),
                "retry",
            ],
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
    entries = [inside_name(upstream.port)] if upstream.internal else []
    entries += [published_name(upstream.name)] if upstream.published else []
    balancer = {
        "servers": [{"address": f"{server}:{upstream.port}"} for server in servers],
        "serversTransport": "quick",
    }
    return {
        "tcp": {
            "routers": {upstream.name: {"entryPoints": entries, "rule": "HostSNI(`*`)", "service": upstream.name}},
            "services": {upstream.name: {"loadBalancer": balancer}},
        }
    }


def _file(name: str, document: Mapping[str, Any]) -> File:
    """Add the route that tells whether this content is loaded, and render it.

    Traefik reads every file as a Go template first.
    """
    digest = hashlib.sha256(yaml.safe_dump(document).encode()).hexdigest()[:16]
    loaded = f"/loaded/{name}/{digest}"
    whole: dict[str, Any] = {}
    _merge(whole, document)
    router = {"entryPoints": [ADMIN], "rule": f"Path(`{loaded}`)", "service": "ping@internal"}
    _merge(whole, {"http": {"routers": {f"{name}_loaded": router}}})
    return File(yaml.safe_dump(whole, width=1000).replace("{{", '{{"{{"}}'), loaded)


def _merge(target: dict[str, Any], source: Mapping[str, Any]) -> None:
    for key, value in source.items():
        if isinstance(value, Mapping):
            _merge(target.setdefault(key, {}), value)
        else:
            target[key] = value
