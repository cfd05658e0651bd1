"""The addresses at which people reach what a stack publishes."""

from settings.edge import Route
from settings.loader import EDGE_HTTPS, Settings
from settings.names import TOOLS


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
