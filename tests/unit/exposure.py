"""What of a rendered stack can be reached from outside: ports of the host, the edge's routes, the tunnel's ingress. It
reads what the program registers and no settings, so that it finds also what no setting should have led to."""

import ipaddress
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import yaml

from tests.support.recording import RecordedProgram, RecordedResource

ADDRESS = re.compile(r"--entrypoints\.([\w-]+)\.address=:(\d+)$")
EVERYWHERE = "0.0.0.0"  # noqa: S104 - nothing is bound here
INSIDE = "traefik itself"  # what Traefik answers with its own services: health, metrics, its API


@dataclass(frozen=True)
class Reach:
    """One way from outside to one container."""

    way: str  # for people: which port, route or rule
    target: str  # the role of the container, or the address itself where it is nobody's here
    guarded: bool  # something on the way asks who is there


@dataclass(frozen=True)
class Rendered:
    """A stack with what of Traefik has to be read out of it."""

    world: RecordedProgram
    edges: list[RecordedResource]  # the containers that run Traefik
    dynamic: Mapping[str, dict[str, Any]]  # all files of Traefik's folder as one


def reaches(world: RecordedProgram) -> list[Reach]:
    edges = [one for one in world.containers if any(ADDRESS.match(part) for part in one.inputs.get("command") or ())]
    rendered = Rendered(world, edges, _dynamic(world))
    return [*_ports(rendered), *_routes(rendered), *_ingress(rendered)]


def _ports(rendered: Rendered) -> Iterator[Reach]:
    """Everything on a port of the host that others than this host can ask."""
    for container in rendered.world.containers:
        if container.inputs.get("networkMode") == "host" or container.inputs.get("publishAllPorts"):
            yield Reach(f"{container.name}: the host's own network", _role(container), guarded=False)
        for port in container.inputs.get("ports", ()):
            if not _loopback(port.get("ip")):
                way = f"port {port.get('ip')}:{port['external']:.0f}"
                yield from _answers(rendered, container, int(port["internal"]), way)


def _routes(rendered: Rendered) -> Iterator[Reach]:
    """Every route by host name, wherever its port is bound: a reverse proxy before the host can lead there."""
    for edge in rendered.edges:
        for name, number in _entry_points(edge).items():
            if name in ("web", "websecure"):
                yield from _answers(rendered, edge, number, f"route at {name}")


def _ingress(rendered: Rendered) -> Iterator[Reach]:
    for config in rendered.world.of("ZeroTrustTunnelCloudflaredConfig"):
        for rule in config.inputs["config"]["ingresses"]:
            service = rule["service"]
            if service.startswith("http_status:"):
                continue
            way = f"tunnel {rule.get('hostname')} → {service}"
            # cloudflared itself refuses requests without a token of Access.
            access = rule.get("originRequest", {}).get("access", {})
            guarded = bool(access.get("required") and access.get("audTags"))
            for reach in _address(rendered, service, way):
                yield Reach(reach.way, reach.target, guarded or reach.guarded)


def _address(rendered: Rendered, address: str, way: str) -> Iterator[Reach]:
    """What answers at an address on the stack's networks."""
    parts = urlsplit(address if "://" in address else f"tcp://{address}")
    found = [one for one in rendered.world.containers if parts.hostname in _names(one)]
    if not found:
        yield Reach(way, address, guarded=False)
    for container in found:
        yield from _answers(rendered, container, parts.port or (443 if parts.scheme == "https" else 80), way)


def _answers(rendered: Rendered, container: RecordedResource, port: int, way: str) -> Iterator[Reach]:
    """What answers at a port inside a container: itself, or what Traefik leads to from there."""
    if not any(container is edge for edge in rendered.edges):
        yield Reach(way, _role(container), guarded=False)
        return
    points = [name for name, number in _entry_points(container).items() if number == port]
    for document in rendered.dynamic.values():
        for name, router in document.get("routers", {}).items():
            if not {*router.get("entryPoints", points)} & {*points}:
                continue
            told = f"{way}, router {name} {router.get('rule')}"
            guarded = any(_asks(document.get("middlewares", {}).get(one)) for one in router.get("middlewares", ()))
            if router["service"].endswith("@internal"):
                yield Reach(told, INSIDE, guarded)
                continue
            for server in document["services"][router["service"]]["loadBalancer"]["servers"]:
                for reach in _address(rendered, server.get("url") or server["address"], told):
                    yield Reach(reach.way, reach.target, guarded or reach.guarded)


def _asks(middleware: Mapping[str, Any] | None) -> bool:
    """Whether a middleware lets through only whom it knows."""
    said = middleware or {}
    return bool("users" in said.get("basicAuth", {}) or said.get("forwardAuth", {}).get("address"))


def _entry_points(edge: RecordedResource) -> dict[str, int]:
    return {found[1]: int(found[2]) for part in edge.inputs["command"] if (found := ADDRESS.match(part))}


def _dynamic(world: RecordedProgram) -> dict[str, dict[str, Any]]:
    whole: dict[str, dict[str, Any]] = {"http": {}, "tcp": {}}
    for made in world.containers:
        for path, text in made.files.items():
            # Parsing takes long: a file of Prometheus' rules has no routers.
            is_traefiks = path.endswith(".yml") and "routers:" in text
            document = yaml.load(text, yaml.CSafeLoader) if is_traefiks else {}
            for kind, sections in whole.items():
                for section, content in (document.get(kind) or {}).items():
                    sections.setdefault(section, {}).update(content)
    return whole


def _names(container: RecordedResource) -> set[str]:
    """Return what a container is reached by on its networks: its aliases and its own name, as the mocks give it."""
    joined = container.inputs.get("networksAdvanced", ())
    return {f"{container.name}-0a1b2c3", *(alias for network in joined for alias in network.get("aliases") or ())}


def _role(container: RecordedResource) -> str:
    return container.label("dockyard.service") or container.name


def _loopback(address: str | None) -> bool:
    return address is not None and ipaddress.ip_address(address).is_loopback
