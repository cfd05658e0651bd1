"""Modules and targets of the blackbox exporter. This module creates no resources."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import pulumi

from components.common import replica_roles
from components.edge.proxy import ALIAS, EdgeProxy
from components.edge.traefik import WEB, WEBSECURE, entry_points
from runtime.context import ScrapeTarget
from settings.monitoring import Probes
from settings.names import TOOLS
from settings.workload import Service

BLACKBOX = f"blackbox-exporter:{TOOLS['blackbox-exporter']}"
JOB = "probe"

Kind = Literal["health", "route", "redirect", "public", "url"]

# The exporter prefers IPv6 by default, and containers have none.
_HTTP = {"preferred_ip_protocol": "ip4"}
_NO_REDIRECTS = {**_HTTP, "follow_redirects": False}

_ROUTE = {
    **_NO_REDIRECTS,
    # Any answer that the service itself gives to an anonymous visitor: an API may answer 404 on this path, and a
    # protected tool asks for a log-in. Only 5xx is a failure of the edge or the service.
    "valid_status_codes": [*range(200, 209), *range(300, 309), *range(400, 430)],
    # The edge sets this header only on answers of routes, not on its own "404 page not found".
    "fail_if_header_not_matches": [{"header": "Strict-Transport-Security", "regexp": "max-age"}],
}

MODULES: dict[str, dict[str, Any]] = {
    "http_2xx": {"prober": "http", "http": _HTTP},
    "tcp_connect": {"prober": "tcp", "tcp": _HTTP},
    "route": {"prober": "http", "http": _ROUTE},
    # For the self-signed certificate of the edge.
    "route_self_signed": {"prober": "http", "http": {**_ROUTE, "tls_config": {"insecure_skip_verify": True}}},
    "redirect": {
        "prober": "http",
        "http": {
            **_NO_REDIRECTS,
            "valid_status_codes": [301, 302, 307, 308],
            "fail_if_header_not_matches": [{"header": "Location", "regexp": "^https://"}],
        },
    },
    # Behind Cloudflare Access the answer is a redirect to its login page; a tunnel that is down is a 5xx of Cloudflare.
    "public": {"prober": "http", "http": {**_NO_REDIRECTS, "valid_status_codes": [200, 302, 303, 307]}},
    # Accepts TLS 1.0, so that an outdated version is reported as such and not as a missing answer.
    "url": {"prober": "http", "http": {**_HTTP, "tls_config": {"min_version": "TLS10"}}},
}
"""The exporter's modules. Their timeout is the scrape timeout minus half a second."""


def probe_targets(
    probes: Probes,
    *,
    services: Mapping[str, Service],
    addresses: Mapping[str, pulumi.Input[str]],
    edge: EdgeProxy | None,
    self_signed: bool,
    grafana: str | None,
) -> list[ScrapeTarget]:
    """Return a target of the job `probe` for every health address, route, redirect and public name; none if disabled.

    `addresses` are the services' containers: role → name on the app network. With `self_signed` the authority of the
    routes' certificate is not verified. `grafana` is Grafana's public name.

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
    for name, service in services.items():
        if service.health.http is not None:
            targets.append(target("health", name, "http_2xx", f"http://{name}:{service.port}{service.health.http}"))
        for role in replica_roles(name, service.replicas) if service.health.tcp else ():
            port = f":{service.port}"
            instance = pulumi.Output.concat(addresses[role], port)
            targets.append(target("health", name, "tcp_connect", f"tcp://{role}{port}", instance))
    if edge:
        points = entry_points(edge.upstreams)
        module = "route_self_signed" if self_signed else "route"
        routes = [(upstream.name, route) for upstream in edge.upstreams for route in upstream.routes]
        for name, route in routes:
            address = f"https://{ALIAS}:{points[WEBSECURE]}{route.path}"
            url = f"https://{_authority(route.host, edge.ports.get(WEBSECURE), 443)}{route.path}"
            targets.append(target("route", name, module, url, address, route.host))
        for host, name in {route.host: name for name, route in reversed(routes)}.items():
            url = f"http://{_authority(host, edge.ports.get(WEB), 80)}/"
            targets.append(target("redirect", name, "redirect", url, f"http://{ALIAS}:{points[WEB]}/", host))
    if grafana:
        # This path needs no login, and fails if Grafana's database does.
        targets.append(target("public", "grafana", "public", f"https://{grafana}/api/health"))
    targets += [target("url", url.split("/")[2], "url", url) for url in probes.urls]
    return targets


def _authority(host: str, port: int | None, default: int) -> str:
    return host if port in (None, default) else f"{host}:{port}"
