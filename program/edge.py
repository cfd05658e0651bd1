"""What the edge proxy and the tunnel forward to."""

from __future__ import annotations

from components.edge.auth import RouteAuth
from components.edge.traefik import WEB, WEBSECURE, Upstream
from settings.loader import EDGE_HTTP, EDGE_HTTPS, Settings
from settings.names import STORES, TOOLS


def edge_upstreams(settings: Settings) -> list[Upstream]:
    """Return every service with a port, and the tools and stores that the stack publishes or routes."""
    product = settings.product
    upstreams = [
        Upstream(
            name,
            service.port,
            protocol=service.protocol,
            published=settings.port(name),
            routes=tuple(service.routes),
            hosts=tuple(settings.stack.tunnel.hosts_of(name)) if settings.stack.tunnel else (),
            health_path=service.health.http,
        )
        for name, service in product.services.items()
        if service.port is not None
    ]
    for name, port in {**TOOLS, **STORES}.items():
        tool = product.edge.tools.get(name)
        if name in product.publish or tool:
            upstreams.append(
                Upstream(
                    name,
                    port,
                    protocol="tcp" if name in STORES else "http",
                    served_by_name=False,
                    published=settings.port(name),
                    routes=(tool,) if tool else (),
                    auth=RouteAuth(tool.basic_auth, tool.forward_auth) if tool and tool.guarded else None,
                    servers=(name,),
                )
            )
    return upstreams


def edge_ports(settings: Settings) -> dict[str, int]:
    """Return the entry points of routes → their ports on the host; empty without routes."""
    ports = {WEB: settings.port(EDGE_HTTP), WEBSECURE: settings.port(EDGE_HTTPS)}
    return {name: port for name, port in ports.items() if port is not None}


def service_ports(settings: Settings) -> dict[str, int]:
    """Return each service's port on the app network; the edge proxy listens there."""
    services = settings.product.services
    return {name: service.port for name, service in services.items() if service.port is not None}
