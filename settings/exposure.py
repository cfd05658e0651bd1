"""Tools that a stack makes public, and the authentication that they must have."""

from __future__ import annotations

from collections.abc import Iterator

from settings.edge import PublicTool
from settings.names import TOOLS
from settings.problems import FoundProblem, format_value
from settings.product import Product

OWN_LOGIN = frozenset({"grafana"})
"""Tools with a log-in of their own. Every other tool of the monitoring is readable by whoever reaches it."""


def running_tools(product: Product) -> list[str]:
    """Return the names of the tools that run beside this product."""
    monitoring = product.monitoring
    logs = monitoring.logs.programs if monitoring.logs.enabled else ()
    absent = {
        **{tool: tool not in logs for tool in ("loki", "victorialogs", "vmalert")},
        "postgres-exporter": product.postgres is None,
        "redis-exporter": product.redis is None,
        "blackbox-exporter": not monitoring.probes.enabled,
    }
    return [tool for tool in TOOLS if not absent.get(tool, False)]


def public_tool_problems(product: Product) -> Iterator[FoundProblem]:
    """Yield each problem of `edge.tools`: its path, what was found and what was expected."""
    running = sorted(running_tools(product))
    owners = {
        (route.host, route.path): f"services.{name}"
        for name, service in product.services.items()
        for route in service.routes
    }
    for name, tool in product.edge.tools.items():
        path = ["edge", "tools", name]
        if name not in running:
            yield path, format_value(name), f"a tool that runs here: {', '.join(running)}"
            continue
        yield from _tool_problems(name, tool, path)
        place = (tool.host, tool.path)
        if place in owners:
            yield [*path, "host"], format_value(tool.host), f"a host and path of its own ({owners[place]} has these)"
        owners.setdefault(place, f"edge.tools.{name}")


def _tool_problems(name: str, tool: PublicTool, path: list[str]) -> Iterator[FoundProblem]:
    if name not in OWN_LOGIN and not tool.guarded:
        yield (
            path,
            f"{tool.host} open to everybody",
            f"basic_auth (a secret with lines of `htpasswd -nB <name>`) or forward_auth (an address that is asked"
            f" about every request) beside host: {name} has no log-in of its own",
        )
    if name == "grafana" and tool.path != "/":
        yield [*path, "path"], format_value(tool.path), "no path: Grafana has a host name to itself"
