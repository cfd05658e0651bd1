"""The arguments of the edge proxy and of the tunnel."""

from __future__ import annotations

from components.cloudflare.tunnel import CloudflareTunnelArgs
from components.edge.proxy import EdgeProxyArgs, RouteAuth, Upstream
from runtime.context import StackContext
from settings.loader import EDGE_HTTP, EDGE_HTTPS, Settings
from settings.names import STORES, TOOLS


def edge_proxy_args(settings: Settings, context: StackContext) -> EdgeProxyArgs | None:
    """Return the edge proxy's arguments; None without upstreams.

    Upstreams are every service with a port, and the tools and stores that the stack publishes or routes.
    """
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
                    internal=False,
                    published=settings.port(name),
                    routes=(tool,) if tool else (),
                    auth=RouteAuth(tool.basic_auth, tool.forward_auth) if tool and tool.guarded else None,
                    servers=(name,),
                )
            )
    if not upstreams:
        return None
    return EdgeProxyArgs(
        product.edge,
        context,
        upstreams,
        http_port=settings.port(EDGE_HTTP),
        https_port=settings.port(EDGE_HTTPS),
    )


def tunnel_args(settings: Settings, context: StackContext) -> CloudflareTunnelArgs | None:
    """Return the tunnel's arguments, None without a tunnel."""
    tunnel, services = settings.stack.tunnel, settings.product.services
    ports = {name: service.port for name, service in services.items() if service.port is not None}
    return CloudflareTunnelArgs(tunnel, context, ports) if tunnel else None
