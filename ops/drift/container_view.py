"""A container as declared and as found, and what of it must be worked out before it can be compared."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from ops.drift import meanings as normalize

ANY = object()
"""Declared by nobody, and the engine's own affair: whatever is found is right."""


@dataclass(frozen=True)
class ComparedContainer:
    """A container's declared inputs beside its inspection and that of the image it runs."""

    inputs: Mapping[str, Any]
    inspection: Mapping[str, Any]
    image: Mapping[str, Any] | None
    """None where the engine has it no more, or it is another than declared: then only what is declared is compared."""

    engine: Mapping[str, Any]
    """What the engine says of itself."""

    runs_declared_image: bool = True

    def declared(self, name: str) -> Any:
        """Return an input, None where it is not given."""
        return self.inputs.get(name)

    def config(self, name: str) -> Any:
        """Return an entry of the inspection's Config."""
        return self.inspection["Config"].get(name)

    def host(self, name: str) -> Any:
        """Return an entry of the inspection's HostConfig."""
        return self.inspection["HostConfig"].get(name)

    @cached_property
    def of_image(self) -> Mapping[str, Any]:
        """Return what the image says of containers."""
        return (self.image or {}).get("Config") or {}

    @property
    def runs(self) -> bool:
        """Whether it has networks and ports in effect."""
        return bool(self.inspection["State"]["Running"])


def command(c: ComparedContainer) -> tuple[str, ...]:
    """Return the declared command; an entrypoint that is given does away with the image's."""
    return tuple(c.declared("command") or (() if c.declared("entrypoints") else c.of_image.get("Cmd")) or ())


def image(c: ComparedContainer) -> str:
    """Return the declared reference where the container runs that image, else what it runs."""
    return c.inputs["image"] if c.runs_declared_image else f"{c.config('Image')} ({c.inspection['Image'][7:19]})"


def network_mode(c: ComparedContainer) -> str:
    """Return host, none or another container's network; the stack's own networks have a field of their own."""
    mode = c.host("NetworkMode") or ""
    return mode if mode in ("host", "none") or mode.startswith("container:") else "networks"


def declared_mode(c: ComparedContainer) -> str:
    """Return the same as declared."""
    mode = c.declared("networkMode") or ""
    return mode if mode in ("host", "none") or mode.startswith("container:") else "networks"


def ipc(c: ComparedContainer) -> str:
    """Return whose shared memory it sees; private or shareable is the engine's setting where nothing is declared."""
    mode = str(c.host("IpcMode") or "")
    return mode if c.declared("ipcMode") or mode.startswith(("host", "container:")) else "its own"


def hostname(c: ComparedContainer) -> Any:
    """Return the declared name; the engine's own is the short id, or the host's on the host's network."""
    default_hostname = c.inspection["Id"][:12] if network_mode(c) == "networks" else ANY
    return c.declared("hostname") or default_hostname


def swap(c: ComparedContainer) -> Any:
    """Return memory and swap together; the engine takes twice the memory where it is not given."""
    if not c.engine.get("SwapLimit", True):
        return ANY
    memory, swap = c.declared("memory") or 0, c.declared("memorySwap") or 0
    return normalize.mebibytes((swap or 2 * memory) * normalize.MIB)


def cores(c: ComparedContainer) -> float:
    """Return the limit of cores, given as such or as a share of time."""
    return float(c.declared("cpus") or 0) or normalize.cores(None, c.declared("cpuQuota"), c.declared("cpuPeriod"))


def aliases(c: ComparedContainer) -> dict[str, frozenset[str]]:
    """Return network → aliases, but for the one that every container has: its own short id."""
    networks = c.inspection["NetworkSettings"]["Networks"] or {}
    short_id = {c.inspection["Id"][:12]}
    return {name: frozenset(endpoint.get("Aliases") or ()) - short_id for name, endpoint in networks.items()}


def declared_aliases(c: ComparedContainer) -> dict[str, Any]:
    """Return the same as declared; of networks that it is not on, the field `networks` tells."""
    joined = c.inspection["NetworkSettings"]["Networks"] or {}
    aliases_by_network = {
        network["name"]: frozenset(network.get("aliases") or ()) for network in c.declared("networksAdvanced") or ()
    }
    return {name: aliases_by_network.get(name, ANY) for name in joined}


def addresses(c: ComparedContainer) -> dict[str, str]:
    """Return network → the address that was asked for there."""
    networks = c.inspection["NetworkSettings"]["Networks"] or {}
    return {name: (endpoint.get("IPAMConfig") or {}).get("IPv4Address") or "" for name, endpoint in networks.items()}


def declared_addresses(c: ComparedContainer) -> dict[str, Any]:
    """Return the same as declared."""
    address_by_network = {
        network["name"]: network.get("ipv4Address") or "" for network in c.declared("networksAdvanced") or ()
    }
    return {name: address_by_network.get(name, ANY) for name in addresses(c)}


def joined(c: ComparedContainer) -> Any:
    """Return the declared networks."""
    if not c.declared("networksAdvanced"):
        return ANY
    return {network["name"]: "joined" for network in c.declared("networksAdvanced")}


def ports(c: ComparedContainer) -> dict[str, Any]:
    """Return what is in effect where it runs: a port is lost with the network that it came by."""
    return normalize.actual_ports(c.inspection["NetworkSettings"].get("Ports") if c.runs else c.host("PortBindings"))


def exposed(c: ComparedContainer) -> Any:
    """Return the ports that the image names, and those that are published."""
    if c.image is None:
        return ANY
    return frozenset({*(c.of_image.get("ExposedPorts") or ()), *normalize.declared_ports(c.declared("ports"))})


def devices(entries: Any, host: str, inside: str, rights: str) -> dict[str, str]:
    """Return path in the container → device and rights."""
    return {
        device.get(inside) or device[host]: f"{device[host]} {device.get(rights) or 'rwm'}" for device in entries or ()
    }


def throttles(entries: Any, path: str, rate: str) -> dict[str, Any]:
    """Return device → rate."""
    return {device[path]: device[rate] for device in entries or ()}


def log_options(c: ComparedContainer) -> Any:
    """Return the declared options; without a declared driver they are the engine's."""
    return c.declared("logOpts") or {} if c.declared("logDriver") else ANY


def hosts(entries: Any) -> dict[str, str]:
    """Return name → address, of `name:address`."""
    return dict(entry.split(":", 1) for entry in entries or ())


def restart(c: ComparedContainer) -> str:
    """Return when the engine starts it again: `unless-stopped`, `on-failure:3`."""
    policy = c.host("RestartPolicy")
    return _policy(policy.get("Name"), policy.get("MaximumRetryCount"))


def declared_restart(c: ComparedContainer) -> str:
    """Return the same as declared."""
    return _policy(c.declared("restart"), c.declared("maxRetryCount"))


def _policy(name: str | None, retries: int | None) -> str:
    return f"{name}:{retries}" if name == "on-failure" and retries else name or "no"


def confined(c: ComparedContainer) -> bool:
    """Return whether the kernel's own files are to be hidden from it."""
    return not c.declared("privileged") and "systempaths=unconfined" not in (c.declared("securityOpts") or ())


def texts(values: Mapping[str, Any] | None) -> dict[str, str]:
    """Return values as the engine spells them."""
    return {name: str(value) for name, value in (values or {}).items()}


def declared_or(name: str, default: Any) -> Callable[[ComparedContainer], Any]:
    """Return an input, or what the engine takes where it is not given."""
    return lambda c: c.declared(name) or default


def host_or(name: str, default: Any) -> Callable[[ComparedContainer], Any]:
    """Return an entry of HostConfig, or what stands for nothing."""
    return lambda c: c.host(name) or default


def limit(name: str) -> Callable[[ComparedContainer], str]:
    """Return an input that counts MiB."""
    return lambda c: normalize.mebibytes((c.declared(name) or 0) * normalize.MIB)
