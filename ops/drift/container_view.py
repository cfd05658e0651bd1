"""A container as declared and as found, and what of it must be worked out before it can be compared."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from ops.drift import meanings as as_

ANY = object()
"""Declared by nobody, and the engine's own affair: whatever is found is right."""


@dataclass(frozen=True)
class Container:
    """A container's declared inputs beside its inspection and that of the image it runs."""

    inputs: Mapping[str, Any]
    found: Mapping[str, Any]
    image: Mapping[str, Any] | None
    """None where the engine has it no more, or it is another than declared: then only what is declared is compared."""

    engine: Mapping[str, Any]
    """What the engine says of itself."""

    runs_declared_image: bool = True

    def given(self, name: str) -> Any:
        """Return an input, None where it is not given."""
        return self.inputs.get(name)

    def config(self, name: str) -> Any:
        """Return an entry of the inspection's Config."""
        return self.found["Config"].get(name)

    def host(self, name: str) -> Any:
        """Return an entry of the inspection's HostConfig."""
        return self.found["HostConfig"].get(name)

    @cached_property
    def of_image(self) -> Mapping[str, Any]:
        """Return what the image says of containers."""
        return (self.image or {}).get("Config") or {}

    @property
    def runs(self) -> bool:
        """Whether it has networks and ports in effect."""
        return bool(self.found["State"]["Running"])


def command(c: Container) -> tuple[str, ...]:
    """Return the declared command; an entrypoint that is given does away with the image's."""
    return tuple(c.given("command") or (() if c.given("entrypoints") else c.of_image.get("Cmd")) or ())


def image(c: Container) -> str:
    """Return the declared reference where the container runs that image, else what it runs."""
    return c.inputs["image"] if c.runs_declared_image else f"{c.config('Image')} ({c.found['Image'][7:19]})"


def network_mode(c: Container) -> str:
    """Return host, none or another container's network; the stack's own networks have a field of their own."""
    mode = c.host("NetworkMode") or ""
    return mode if mode in ("host", "none") or mode.startswith("container:") else "networks"


def declared_mode(c: Container) -> str:
    """Return the same as declared."""
    mode = c.given("networkMode") or ""
    return mode if mode in ("host", "none") or mode.startswith("container:") else "networks"


def ipc(c: Container) -> str:
    """Return whose shared memory it sees; private or shareable is the engine's setting where nothing is declared."""
    mode = str(c.host("IpcMode") or "")
    return mode if c.given("ipcMode") or mode.startswith(("host", "container:")) else "its own"


def hostname(c: Container) -> Any:
    """Return the declared name; the engine's own is the short id, or the host's on the host's network."""
    own = c.found["Id"][:12] if network_mode(c) == "networks" else ANY
    return c.given("hostname") or own


def swap(c: Container) -> Any:
    """Return memory and swap together; the engine takes twice the memory where it is not given."""
    if not c.engine.get("SwapLimit", True):
        return ANY
    memory, swap = c.given("memory") or 0, c.given("memorySwap") or 0
    return as_.mebibytes((swap or 2 * memory) * as_.MIB)


def cores(c: Container) -> float:
    """Return the limit of cores, given as such or as a share of time."""
    return float(c.given("cpus") or 0) or as_.cores(None, c.given("cpuQuota"), c.given("cpuPeriod"))


def aliases(c: Container) -> dict[str, frozenset[str]]:
    """Return network → aliases, but for the one that every container has: its own short id."""
    networks = c.found["NetworkSettings"]["Networks"] or {}
    own = {c.found["Id"][:12]}
    return {name: frozenset(said.get("Aliases") or ()) - own for name, said in networks.items()}


def declared_aliases(c: Container) -> dict[str, Any]:
    """Return the same as declared; of networks that it is not on, the field `networks` tells."""
    joined = c.found["NetworkSettings"]["Networks"] or {}
    said = {one["name"]: frozenset(one.get("aliases") or ()) for one in c.given("networksAdvanced") or ()}
    return {name: said.get(name, ANY) for name in joined}


def addresses(c: Container) -> dict[str, str]:
    """Return network → the address that was asked for there."""
    networks = c.found["NetworkSettings"]["Networks"] or {}
    return {name: (said.get("IPAMConfig") or {}).get("IPv4Address") or "" for name, said in networks.items()}


def declared_addresses(c: Container) -> dict[str, Any]:
    """Return the same as declared."""
    said = {one["name"]: one.get("ipv4Address") or "" for one in c.given("networksAdvanced") or ()}
    return {name: said.get(name, ANY) for name in addresses(c)}


def joined(c: Container) -> Any:
    """Return the declared networks."""
    if not c.given("networksAdvanced"):
        return ANY
    return {one["name"]: "joined" for one in c.given("networksAdvanced")}


def ports(c: Container) -> dict[str, Any]:
    """Return what is in effect where it runs: a port is lost with the network that it came by."""
    return as_.found_ports(c.found["NetworkSettings"].get("Ports") if c.runs else c.host("PortBindings"))


def exposed(c: Container) -> Any:
    """Return the ports that the image names, and those that are published."""
    if c.image is None:
        return ANY
    return frozenset({*(c.of_image.get("ExposedPorts") or ()), *as_.declared_ports(c.given("ports"))})


def devices(entries: Any, host: str, inside: str, rights: str) -> dict[str, str]:
    """Return path in the container → device and rights."""
    return {one.get(inside) or one[host]: f"{one[host]} {one.get(rights) or 'rwm'}" for one in entries or ()}


def throttles(entries: Any, path: str, rate: str) -> dict[str, Any]:
    """Return device → rate."""
    return {one[path]: one[rate] for one in entries or ()}


def log_options(c: Container) -> Any:
    """Return the declared options; without a declared driver they are the engine's."""
    return c.given("logOpts") or {} if c.given("logDriver") else ANY


def hosts(entries: Any) -> dict[str, str]:
    """Return name → address, of `name:address`."""
    return dict(entry.split(":", 1) for entry in entries or ())


def restart(c: Container) -> str:
    """Return when the engine starts it again: `unless-stopped`, `on-failure:3`."""
    policy = c.host("RestartPolicy")
    return _policy(policy.get("Name"), policy.get("MaximumRetryCount"))


def declared_restart(c: Container) -> str:
    """Return the same as declared."""
    return _policy(c.given("restart"), c.given("maxRetryCount"))


def _policy(name: str | None, retries: int | None) -> str:
    return f"{name}:{retries}" if name == "on-failure" and retries else name or "no"


def confined(c: Container) -> bool:
    """Return whether the kernel's own files are to be hidden from it."""
    return not c.given("privileged") and "systempaths=unconfined" not in (c.given("securityOpts") or ())


def texts(values: Mapping[str, Any] | None) -> dict[str, str]:
    """Return values as the engine spells them."""
    return {name: str(value) for name, value in (values or {}).items()}


def given_or(name: str, default: Any) -> Callable[[Container], Any]:
    """Return an input, or what the engine takes where it is not given."""
    return lambda c: c.given(name) or default


def host_or(name: str, default: Any) -> Callable[[Container], Any]:
    """Return an entry of HostConfig, or what stands for nothing."""
    return lambda c: c.host(name) or default


def limit(name: str) -> Callable[[Container], str]:
    """Return an input that counts MiB."""
    return lambda c: as_.mebibytes((c.given(name) or 0) * as_.MIB)
