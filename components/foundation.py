"""Glue between settings and components: settings from Pulumi, the shared context, arguments and public addresses."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pulumi
import pulumi_docker as docker
from pulumi.runtime import config as engine_config

from components.cloudflare_tunnel import CloudflareTunnelConfig
from components.context import ScrapeTarget, StackContext
from components.edge_proxy import EdgeProxyConfig, RouteAuth, Upstream
from components.metrics_files import metrics_folder
from components.probes import ProbeSources, probe_targets
from components.receiver_secrets import check_receiver_secrets
from settings.edge import Route
from settings.loader import EDGE_HTTP, EDGE_HTTPS, Settings, from_pulumi_config, load
from settings.names import STORES, TOOLS
from settings.problems import SettingsError


def engine_settings() -> Settings:
    """Return the settings of the current stack from Pulumi's configuration.

    Raises pulumi.RunError with every problem, before any resource is created.
    """
    values = engine_config.CONFIG.get() or engine_config.get_config_env()
    configuration = from_pulumi_config(values, frozenset(filter(engine_config.is_config_secret, values)))
    try:
        settings = load(configuration, pulumi.get_stack(), preview=pulumi.runtime.is_dry_run())
    except SettingsError as error:
        raise pulumi.RunError(str(error)) from error
    for problem in settings.missing_secrets:
        pulumi.log.warn(f"{problem} (`up` refuses to go on without it)")
    for problem in settings.warnings:
        pulumi.log.warn(str(problem))
    check_receiver_secrets(settings, values)
    return settings


def shared_context(settings: Settings) -> StackContext:
    """Create the stack's two networks and its volume for textfile metrics; return the shared context.

    The product and the monitoring have separate networks; containers that are scraped are on both.
    """
    labels = {
        "dockyard.product": settings.product.name,
        "dockyard.environment": settings.stack.environment,
        "dockyard.stack": pulumi.get_stack(),
    }

    def network(role: str) -> pulumi.Output[str]:
        return docker.Network(
            f"{settings.product.name}-{role}",
            driver="bridge",
            labels=[docker.NetworkLabelArgs(label=label, value=value) for label, value in sorted(labels.items())],
        ).name

    context = StackContext(
        product=settings.product.name,
        environment=settings.stack.environment,
        docker=settings.product.docker,
        protects_data=settings.stack.protects_data,
        app_network=network("app"),
        monitoring_network=network("monitoring"),
        networks=settings.product.networks,
    )
    name = f"{settings.product.name}-metrics"
    return replace(context, metrics=metrics_folder(name, settings.image("busybox"), context))


def edge_config(settings: Settings, context: StackContext) -> EdgeProxyConfig | None:
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
    return EdgeProxyConfig(
        product.edge,
        context,
        settings.image,
        upstreams,
        http_port=settings.port(EDGE_HTTP),
        https_port=settings.port(EDGE_HTTPS),
    )


def tunnel_config(settings: Settings, context: StackContext) -> CloudflareTunnelConfig | None:
    """Return the tunnel's arguments, None without a tunnel."""
    tunnel, services = settings.stack.tunnel, settings.product.services
    ports = {name: service.port for name, service in services.items() if service.port is not None}
    return CloudflareTunnelConfig(tunnel, context, settings.image, ports) if tunnel else None


def probes(
    settings: Settings, edge: EdgeProxyConfig | None, instances: Mapping[str, docker.Container]
) -> list[ScrapeTarget]:
    """Return the targets of probes. `instances` are the product's containers by role."""
    product, stack = settings.product, settings.stack
    tls = product.edge.tls
    sources = ProbeSources(
        services=product.services,
        instances={role: container.name for role, container in instances.items()},
        edge=edge,
        # In development a configured certificate may be from an authority that only the developer's machine trusts.
        self_signed=stack.environment == "development" or not (tls.acme or tls.certificate),
        grafana=stack.tunnel.hostname if stack.tunnel else None,
    )
    return probe_targets(product.monitoring.probes, sources)


def published_urls(settings: Settings) -> dict[str, str]:
    """Return name → address of everything reachable: its published port, else its route, else its tunnel name."""
    urls = {}
    for name in sorted(settings.product.publish):
        scheme = {"postgres": "postgresql", "redis": "redis"}.get(name, "http")
        urls[name] = f"{scheme}://127.0.0.1:{settings.port(name)}"
    routed = {name: service.routes[0] for name, service in settings.product.services.items() if service.routes}
    return {
        **(settings.stack.tunnel.urls if settings.stack.tunnel else {}),
        **{name: _public(settings, route) for name, route in (routed | settings.product.edge.tools).items()},
        **urls,
    }


def _public(settings: Settings, route: Route) -> str:
    """Return a route's public address."""
    https = settings.port(EDGE_HTTPS)
    port = "" if https == 443 else f":{https}"
    return f"https://{route.host}{port}{route.path}"


def grafana_root_url(settings: Settings) -> str:
    """Return Grafana's public address: as configured, else by tunnel, else by route, else the published port."""
    if settings.product.monitoring.grafana.root_url:
        return settings.product.monitoring.grafana.root_url.rstrip("/")
    if settings.stack.tunnel and settings.stack.tunnel.hostname:
        return f"https://{settings.stack.tunnel.hostname}"
    if tool := settings.product.edge.tools.get("grafana"):
        return _public(settings, tool).rstrip("/")
    return published_urls(settings).get("grafana", f"http://127.0.0.1:{TOOLS['grafana']}")
