"""A declared resource beside its inspection, and the values that must be derived before they can be compared."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from ops.drift.docker import normalize

ANY = object()
"""Not declared, and chosen by the Docker engine: any actual value is accepted."""


@dataclass(frozen=True)
class ComparedResource:
    """The declared inputs of a container, network or volume, its inspection, and that of a container's image."""

    inputs: Mapping[str, Any]
    inspection: Mapping[str, Any]
    image: Mapping[str, Any] | None = None
    """None where the engine no longer has it, or it is not the declared image: then only declared values are compared.
    """

    engine: Mapping[str, Any] = field(default_factory=dict)
    """The Docker engine's `info`."""

    runs_declared_image: bool = True

    def declared(self, path: str) -> Any:
        """Return a declared input by its path (`capabilities.adds`), or None."""
        return _at(self.inputs, path)

    def actual(self, path: str) -> Any:
        """Return an entry of the inspection by its path (`HostConfig.Memory`), or None."""
        return _at(self.inspection, path)

    @cached_property
    def of_image(self) -> Mapping[str, Any]:
        """Return the image's defaults for containers."""
        return (self.image or {}).get("Config") or {}

    @property
    def networks(self) -> Mapping[str, Mapping[str, Any]]:
        """Network → endpoint of the networks that a container has joined."""
        return self.inspection["NetworkSettings"]["Networks"] or {}

    def declared_endpoints(self, value: Callable[[Mapping[str, Any]], Any]) -> dict[str, Any]:
        """Return network → value of each joined network's declaration; `networks` reports the undeclared ones."""
        declared = {network["name"]: value(network) for network in self.declared("networksAdvanced") or ()}
        return {name: declared.get(name, ANY) for name in self.networks}


def _at(values: Any, path: str) -> Any:
    for part in path.split("."):
        values = (values or {}).get(part)
    return values


def command(c: ComparedResource) -> tuple[str, ...]:
    """Return the declared command, else the image's; a declared entrypoint discards the image's command."""
    return tuple(c.declared("command") or (() if c.declared("entrypoints") else c.of_image.get("Cmd")) or ())


def image(c: ComparedResource) -> str:
    """Return the declared reference where the container runs that image, else the reference and id that it runs."""
    return c.inputs["image"] if c.runs_declared_image else f"{c.actual('Config.Image')} ({c.inspection['Image'][7:19]})"


def network_mode(mode: str | None) -> str:
    """Return `host`, `none`, `container:…`, or `networks`, which the field of that name compares."""
    return mode if mode and (mode in ("host", "none") or mode.startswith("container:")) else "networks"


def ipc(c: ComparedResource) -> str:
    """Return the IPC mode; `private` and `shareable` count as the default where nothing is declared."""
    mode = str(c.actual("HostConfig.IpcMode") or "")
    return mode if c.declared("ipcMode") or mode.startswith(("host", "container:")) else "its own"


def hostname(c: ComparedResource) -> Any:
    """Return the declared host name; the default is the short id, or the host's name in the host's network."""
    default_hostname = (
        c.inspection["Id"][:12] if network_mode(c.actual("HostConfig.NetworkMode")) == "networks" else ANY
    )
    return c.declared("hostname") or default_hostname


def swap(c: ComparedResource) -> Any:
    """Return the limit of memory plus swap; by default, the Docker engine sets twice the memory limit."""
    if not c.engine.get("SwapLimit", True):
        return ANY
    memory, swap = c.declared("memory") or 0, c.declared("memorySwap") or 0
    return normalize.mebibytes((swap or 2 * memory) * normalize.MIB)


def declared_cores(c: ComparedResource) -> float:
    """Return the limit of cores, declared as `cpus` or as quota and period."""
    return float(c.declared("cpus") or 0) or normalize.cores(None, c.declared("cpuQuota"), c.declared("cpuPeriod"))


def aliases(c: ComparedResource) -> dict[str, frozenset[str]]:
    """Return network → aliases, without the short id, which the Docker engine adds to every container."""
    short_id = {c.inspection["Id"][:12]}
    return {name: frozenset(endpoint.get("Aliases") or ()) - short_id for name, endpoint in c.networks.items()}


def addresses(c: ComparedResource) -> dict[str, str]:
    """Return network → the fixed address, empty where the Docker engine chose one."""
    return {name: (endpoint.get("IPAMConfig") or {}).get("IPv4Address") or "" for name, endpoint in c.networks.items()}


def ports(c: ComparedResource) -> dict[str, Any]:
    """Return the ports in effect where it runs (leaving a network removes its ports), else the configured ones."""
    runs = c.inspection["State"]["Running"]
    return normalize.actual_ports(c.actual("NetworkSettings.Ports") if runs else c.actual("HostConfig.PortBindings"))


def exposed(c: ComparedResource) -> Any:
    """Return the ports that the image exposes, and the declared published ports."""
    if c.image is None:
        return ANY
    return frozenset({*(c.of_image.get("ExposedPorts") or ()), *normalize.declared_ports(c.declared("ports"))})


def devices(entries: Any, host: str, inside: str, rights: str) -> dict[str, str]:
    """Return path in the container → device and permissions."""
    return {
        device.get(inside) or device[host]: f"{device[host]} {device.get(rights) or 'rwm'}" for device in entries or ()
    }


def log_options(c: ComparedResource) -> Any:
    """Return the declared log options; without a declared driver, the Docker engine chooses both."""
    return c.declared("logOpts") or {} if c.declared("logDriver") else ANY


def confined(c: ComparedResource) -> bool:
    """Return whether system paths below /proc and /sys should be masked."""
    return not c.declared("privileged") and "systempaths=unconfined" not in (c.declared("securityOpts") or ())
