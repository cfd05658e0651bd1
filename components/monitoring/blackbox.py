"""Modules and targets of the blackbox exporter. This module creates no resources."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import pulumi

from components.edge.proxy import ALIAS, EdgeProxyArgs, Upstream
from components.edge.traefik import WEB, WEBSECURE, entry_points
from runtime.context import ScrapeTarget
from settings.edge import Route
from settings.monitoring import Probes
from settings.names import TOOLS
from settings.workload import Service

BLACKBOX = f"blackbox-exporter:{TOOLS['blackbox-exporter']}"
JOB = "probe"

Kind = Literal["health", "route", "redirect", "public", "url"]

# The exporter prefers IPv6 by default, and containers have none.
_ANY = {"preferred_ip_protocol": "ip4"}
_STAY = {**_ANY, "follow_redirects": False}

_ROUTE = {
    **_STAY,
    # Any answer that the service itself gives to an anonymous visitor: an API may answer 404 on this path, and a
    # protected tool asks for a log-in. Only 5xx is a failure of the edge or the service.
    "valid_status_codes": [*range(200, 209), *range(300, 309), *range(400, 430)],
    # The edge sets this header only on answers of routes, not on its own "404 page not found".
    "fail_if_header_not_matches": [{"header": "Strict-Transport-Security", "regexp": "max-age"}],
}

MODULES: dict[str, dict[str, Any]] = {
    "http_2xx": {"prober": "http", "http": _ANY},
    "tcp_connect": {"prober": "tcp", "tcp": _ANY},
    "route": {"prober": "http", "http": _ROUTE},
    # For the self-signed certificate of the edge.
    "route_self_signed": {"prober": "http", "http": {**_ROUTE, "tls_config": {"insecure_skip_verify": True}}},
    "redirect": {
        "prober": "http",
        "http": {
            **_STAY,
            "valid_status_codes": [301, 302, 307, 308],
            "fail_if_header_not_matches": [{"header": "Location", "regexp": "^https://"}],
        },
    },
    # Behind Cloudflare Access the answer is a redirect to its login page; a tunnel that is down is a 5xx of Cloudflare.
    "public": {"prober": "http", "http": {**_STAY, "valid_status_codes": [200, 302, 303, 307]}},
    # Accepts TLS 1.0, so that an outdated version is reported as such and not as a missing answer.
    "url": {"prober": "http", "http": {**_ANY, "tls_config": {"min_version": "TLS10"}}},
}
"""The exporter's modules. Their timeout is the scrape timeout minus half a second."""


@dataclass(frozen=True)
class ProbeSources:
    """The parts of a stack from which probe targets are derived."""

    services: Mapping[str, Service]
    instances: Mapping[str, pulumi.Input[str]]
    """Role → its container's name on the app network."""

    edge: EdgeProxyArgs | None
    self_signed: bool
    """Whether the routes' certificate is self-signed on purpose, so that its authority is not verified."""

    grafana: str | None
    """Grafana's public name."""


def probe_targets(probes: Probes, sources: ProbeSources) -> list[ScrapeTarget]:
    """Return a target of the job `probe` for every health address, route, redirect and public name; none if disabled.

    Series have the labels `service` (the subject), `probe` (the kind) and `instance` (the address as people write it).
    Health addresses are requested by the service's name, and so through the edge, which knows the healthy instances. A
    TCP port is probed on each instance, since the edge accepts every connection. Routes are requested from the edge's
    own name and port with a browser's Host header, so they do not depend on public DNS and the network outside.
    """
    if not probes.enabled:
        return []

    def target(
        kind: Kind,
        service: str,
        module: str,
        url: str,
        address: pulumi.Input[str] | None = None,
        host: str | None = None,
    ) -> ScrapeTarget:
        return ScrapeTarget(
            JOB,
            url if address is None else address,
            path="/probe",
            instance=url,
            prober=BLACKBOX,
            params={"module": module, **({"hostname": host} if host else {})},
            labels={"service": service, "probe": kind},
            interval=probes.interval,
            timeout=probes.timeout,
        )

    targets = []
    for name, service in sources.services.items():
        if service.health.http is not None:
            targets.append(target("health", name, "http_2xx", f"http://{name}:{service.port}{service.health.http}"))
        for role in _instances(name, service) if service.health.tcp else ():
            port = f":{service.port}"
            instance = pulumi.Output.concat(sources.instances[role], port)
            targets.append(target("health", name, "tcp_connect", f"tcp://{role}{port}", instance))
    if edge := sources.edge:
        points = entry_points(edge.upstreams)
        module = "route_self_signed" if sources.self_signed else "route"
        for name, route in _routes(edge.upstreams):
            address = f"https://{ALIAS}:{points[WEBSECURE]}{route.path}"
            url = f"https://{_authority(route.host, edge.https_port, 443)}{route.path}"
            targets.append(target("route", name, module, url, address, route.host))
        for host, name in {route.host: name for name, route in reversed([*_routes(edge.upstreams)])}.items():
            url = f"http://{_authority(host, edge.http_port, 80)}/"
            targets.append(target("redirect", name, "redirect", url, f"http://{ALIAS}:{points[WEB]}/", host))
    if sources.grafana:
        # This path needs no login, and fails if Grafana's database does.
        targets.append(target("public", "grafana", "public", f"https://{sources.grafana}/api/health"))
    targets += [target("url", url.split("/")[2], "url", url) for url in probes.urls]
    return targets


def _instances(name: str, service: Service) -> list[str]:
    return [name if number == 1 else f"{name}-{number}" for number in range(1, service.replicas + 1)]


def _routes(upstreams: Sequence[Upstream]) -> Iterator[tuple[str, Route]]:
    for upstream in upstreams:
        for route in upstream.routes:
            yield upstream.name, route


def _authority(host: str, port: int | None, default: int) -> str:
    return host if port in (None, default) else f"{host}:{port}"
