"""A declared container beside its inspection, and the values that must be derived before they can be compared."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from ops.drift import normalize

ANY = object()
"""Not declared, and chosen by the Docker engine: any actual value is accepted."""


@dataclass(frozen=True)
class ComparedContainer:
    """A container's declared inputs, its inspection, and the inspection of its image."""

    inputs: Mapping[str, Any]
    inspection: Mapping[str, Any]
    image: Mapping[str, Any] | None
    """None where the engine no longer has it, or it is not the declared image: then only declared values are compared.
    """

    engine: Mapping[str, Any]
    """The Docker engine's `info`."""

    runs_declared_image: bool = True

    def declared(self, name: str) -> Any:
        """Return a declared input, or None."""
        return self.inputs.get(name)

    def config(self, name: str) -> Any:
        """Return an entry of the inspection's Config."""
        return self.inspection["Config"].get(name)

    def host(self, name: str) -> Any:
        """Return an entry of the inspection's HostConfig."""
        return self.inspection["HostConfig"].get(name)

    @cached_property
    def of_image(self) -> Mapping[str, Any]:
        """Return the image's defaults for containers."""
        return (self.image or {}).get("Config") or {}

    @property
    def runs(self) -> bool:
        """Whether the container runs, so that its networks and ports are in effect."""
        return bool(self.inspection["State"]["Running"])


def command(c: ComparedContainer) -> tuple[str, ...]:
    """Return the declared command, else the image's; a declared entrypoint discards the image's command."""
    return tuple(c.declared("command") or (() if c.declared("entrypoints") else c.of_image.get("Cmd")) or ())


def image(c: ComparedContainer) -> str:
    """Return the declared reference where the container runs that image, else the reference and id that it runs."""
    return c.inputs["image"] if c.runs_declared_image else f"{c.config('Image')} ({c.inspection['Image'][7:19]})"


def network_mode(c: ComparedContainer) -> str:
    """Return `host`, `none`, `container:…`, or `networks`, which the field of that name compares."""
    mode = c.host("NetworkMode") or ""
    return mode if mode in ("host", "none") or mode.startswith("container:") else "networks"


def declared_mode(c: ComparedContainer) -> str:
    """Return the declared network mode, in the form of `network_mode`."""
    mode = c.declared("networkMode") or ""
    return mode if mode in ("host", "none") or mode.startswith("container:") else "networks"


def ipc(c: ComparedContainer) -> str:
    """Return the IPC mode; `private` and `shareable` count as the default where nothing is declared."""
    mode = str(c.host("IpcMode") or "")
    return mode if c.declared("ipcMode") or mode.startswith(("host", "container:")) else "its own"


def hostname(c: ComparedContainer) -> Any:
    """Return the declared host name; the default is the short id, or the host's name in the host's network."""
    default_hostname = c.inspection["Id"][:12] if network_mode(c) == "networks" else ANY
    return c.declared("hostname") or default_hostname


def swap(c: ComparedContainer) -> Any:
    """Return the limit of memory plus swap; by default, the Docker engine sets twice the memory limit."""
    if not c.engine.get("SwapLimit", True):
        return ANY
    memory, swap = c.declared("memory") or 0, c.declared("memorySwap") or 0
    return normalize.mebibytes((swap or 2 * memory) * normalize.MIB)


def cores(c: ComparedContainer) -> float:
    """Return the limit of cores, declared as `cpus` or as quota and period."""
    return float(c.declared("cpus") or 0) or normalize.cores(None, c.declared("cpuQuota"), c.declared("cpuPeriod"))


def aliases(c: ComparedContainer) -> dict[str, frozenset[str]]:
    """Return network → aliases, without the short id, which the Docker engine adds to every container."""
    networks = c.inspection["NetworkSettings"]["Networks"] or {}
    short_id = {c.inspection["Id"][:12]}
    return {name: frozenset(endpoint.get("Aliases") or ()) - short_id for name, endpoint in networks.items()}


def declared_aliases(c: ComparedContainer) -> dict[str, Any]:
    """Return network → declared aliases, of joined networks only: the field `networks` reports the others."""
    joined = c.inspection["NetworkSettings"]["Networks"] or {}
    aliases_by_network = {
        network["name"]: frozenset(network.get("aliases") or ()) for network in c.declared("networksAdvanced") or ()
    }
    return {name: aliases_by_network.get(name, ANY) for name in joined}


def addresses(c: ComparedContainer) -> dict[str, str]:
    """Return network → the fixed address, empty where the Docker engine chose one."""
    networks = c.inspection["NetworkSettings"]["Networks"] or {}
    return {name: (endpoint.get("IPAMConfig") or {}).get("IPv4Address") or "" for name, endpoint in networks.items()}


def declared_addresses(c: ComparedContainer) -> dict[str, Any]:
    """Return network → declared address, of joined networks only."""
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
    """Return the ports in effect where it runs (leaving a network removes its ports), else the configured ones."""
    return normalize.actual_ports(c.inspection["NetworkSettings"].get("Ports") if c.runs else c.host("PortBindings"))


def exposed(c: ComparedContainer) -> Any:
    """Return the ports that the image exposes, and the declared published ports."""
    if c.image is None:
        return ANY
    return frozenset({*(c.of_image.get("ExposedPorts") or ()), *normalize.declared_ports(c.declared("ports"))})


def devices(entries: Any, host: str, inside: str, rights: str) -> dict[str, str]:
    """Return path in the container → device and permissions."""
    return {
        device.get(inside) or device[host]: f"{device[host]} {device.get(rights) or 'rwm'}" for device in entries or ()
    }


def throttles(entries: Any, path: str, rate: str) -> dict[str, Any]:
    """Return device → rate."""
    return {device[path]: device[rate] for device in entries or ()}


def log_options(c: ComparedContainer) -> Any:
    """Return the declared log options; without a declared driver, the Docker engine chooses both."""
    return c.declared("logOpts") or {} if c.declared("logDriver") else ANY


def hosts(entries: Any) -> dict[str, str]:
    """Return `name:address` entries as a mapping."""
    return dict(entry.split(":", 1) for entry in entries or ())


def restart(c: ComparedContainer) -> str:
    """Return the restart policy: `unless-stopped`, `on-failure:3`."""
    policy = c.host("RestartPolicy")
    return _policy(policy.get("Name"), policy.get("MaximumRetryCount"))


def declared_restart(c: ComparedContainer) -> str:
    """Return the declared restart policy."""
    return _policy(c.declared("restart"), c.declared("maxRetryCount"))


def _policy(name: str | None, retries: int | None) -> str:
    return f"{name}:{retries}" if name == "on-failure" and retries else name or "no"


def confined(c: ComparedContainer) -> bool:
    """Return whether system paths below /proc and /sys should be masked."""
    return not c.declared("privileged") and "systempaths=unconfined" not in (c.declared("securityOpts") or ())


def texts(values: Mapping[str, Any] | None) -> dict[str, str]:
    """Return values as strings, as the Docker engine reports them."""
    return {name: str(value) for name, value in (values or {}).items()}


def declared_or(name: str, default: Any) -> Callable[[ComparedContainer], Any]:
    """Return a getter of a declared input, or of the Docker engine's default."""
    return lambda c: c.declared(name) or default


def host_or(name: str, default: Any) -> Callable[[ComparedContainer], Any]:
    """Return a getter of an entry of HostConfig, or of a default for an empty one."""
    return lambda c: c.host(name) or default


def limit(name: str) -> Callable[[ComparedContainer], str]:
    """Return a getter of a declared input in MiB."""
    return lambda c: normalize.mebibytes((c.declared(name) or 0) * normalize.MIB)
