"""The tables of fields: for each, the value that the state declares and the value of the inspection."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from ops.drift.docker import normalize, view
from ops.drift.docker.normalize import MIB, named, variables
from ops.drift.docker.view import ANY, ComparedResource
from ops.drift.findings import UNSET, Repair, format_value

NO_LIMIT: tuple[Any, ...] = ("unlimited", 0, frozenset())

Getter = Callable[[ComparedResource], Any]

Difference = tuple[str, str, str, Repair]
"""Field, declared value, actual value, repair."""


@dataclass(frozen=True)
class ComparedField:
    """One field. Mappings are compared key by key, with one finding for each key."""

    name: str
    inputs: tuple[str, ...]
    """Inputs of the Docker provider that declare it; none where any value but the default was set by hand."""

    declared: Getter
    actual: Getter
    repair: Repair = Repair.REPLACE
    of_image: bool = False
    """Whether the image supplies the value where none is declared."""

    def differences(self, compared: ComparedResource) -> Iterator[Difference]:
        """Yield how the field differs from its declaration."""
        expected, actual = self.declared(compared), self.actual(compared)
        if expected is ANY:
            return
        if isinstance(actual, Mapping):
            yield from self._entries(expected, actual, compared)
        elif expected != actual and not self._unknowable(compared):
            # Docker's update keeps the current limit where none is given, so removing a limit needs a new container.
            unlimited = self.repair is Repair.UPDATE and expected in NO_LIMIT
            repair = Repair.REPLACE if unlimited else self.repair
            yield self.name, format_value(expected), format_value(actual), repair

    def _entries(
        self, expected: Mapping[str, Any], actual: Mapping[str, Any], compared: ComparedResource
    ) -> Iterator[Difference]:
        for name in sorted({*expected, *actual}):
            expected_value, actual_value = expected.get(name), actual.get(name)
            if expected_value is ANY or expected_value == actual_value:
                continue
            # The defaults of another image, or of one that is gone, are unknown.
            if name not in expected and self.of_image and compared.image is None:
                continue
            # The Docker engine may choose this port: any published port is as declared.
            if self.name == "ports" and name in expected and expected_value is None and actual_value:
                continue
            expected_text, actual_text = (
                self._format_entry(expected_value, name),
                self._format_entry(actual_value, name),
            )
            yield f"{self.name}.{name}", expected_text, actual_text, self.repair

    def _format_entry(self, value: Any, name: str) -> str:
        if value is None:
            return "not joined" if self.name == "networks" else UNSET
        return format_value(value, name if self.name == "env" else "") if value != "" else '""'

    def _unknowable(self, compared: ComparedResource) -> bool:
        """Return whether only the image determines the field, and its inspection is missing."""
        return self.of_image and compared.image is None and not any(compared.declared(name) for name in self.inputs)


def _same(
    name: str,
    declared: str,
    actual: str,
    form: Callable[[Any], Any] = lambda value: value,
    *,
    default: Any = None,
    undeclared: Any = None,
    unit: int = 1,
    repair: Repair = Repair.REPLACE,
    of_image: bool = False,
) -> ComparedField:
    """Return a field that has the same `form` on both sides, which are paths in the inputs and in the inspection.

    `default` is the engine's default, `undeclared` counts instead of it where nothing is declared; `unit` is the
    number of the engine's units in one unit of the input.
    """

    def expected(compared: ComparedResource) -> Any:
        value = compared.declared(declared) if declared else None
        if value and unit > 1:
            value *= unit
        value = value or (compared.of_image.get(actual.rpartition(".")[2]) if of_image else None)
        value = value or (default if undeclared is None else undeclared)
        return value if value is ANY else form(value)

    inputs = (declared.partition(".")[0],) if declared else ()
    return ComparedField(name, inputs, expected, lambda c: form(c.actual(actual) or default), repair, of_image)


_limit = partial(_same, form=normalize.mebibytes, unit=MIB, repair=Repair.UPDATE)
"""A limit of memory, declared in MiB."""

CONTAINER_FIELDS: tuple[ComparedField, ...] = (
    _same("name", "name", "Name", lambda name: name.lstrip("/"), repair=Repair.RENAME),
    # Image and process.
    ComparedField("image", ("image",), lambda c: c.inputs["image"], view.image),
    ComparedField("command", ("command",), view.command, lambda c: tuple(c.actual("Config.Cmd") or ()), of_image=True),
    _same("entrypoint", "entrypoints", "Config.Entrypoint", tuple, default=(), of_image=True),
    ComparedField(
        "env",
        ("envs",),
        lambda c: {**variables(c.of_image.get("Env")), **variables(c.declared("envs"))},
        lambda c: variables(c.actual("Config.Env")),
        of_image=True,
    ),
    ComparedField(
        "labels",
        ("labels",),
        lambda c: {**(c.of_image.get("Labels") or {}), **named(c.declared("labels"), "label")},
        lambda c: c.actual("Config.Labels") or {},
        of_image=True,
    ),
    _same("user", "user", "Config.User", default="", of_image=True),
    _same("working_dir", "workingDir", "Config.WorkingDir", default="/", of_image=True),
    ComparedField("hostname", ("hostname",), view.hostname, lambda c: c.actual("Config.Hostname")),
    _same("domain", "domainname", "Config.Domainname", default=""),
    _same("tty", "tty", "Config.Tty", default=False),
    _same("stdin", "stdinOpen", "Config.OpenStdin", default=False),
    ComparedField(
        "health_check",
        ("healthcheck",),
        lambda c: normalize.health_check(c.declared("healthcheck"), c.of_image.get("Healthcheck")),
        lambda c: normalize.actual_health_check(c.actual("Config.Healthcheck")),
        of_image=True,
    ),
    _same("stop_signal", "stopSignal", "Config.StopSignal", normalize.signal, of_image=True),
    _same("stop_timeout", "stopTimeout", "Config.StopTimeout", default=10),
    _same("init", "init", "HostConfig.Init", default=False),
    ComparedField(
        "runtime",
        ("runtime",),
        lambda c: c.declared("runtime") or c.engine.get("DefaultRuntime") or ANY,
        lambda c: c.actual("HostConfig.Runtime") or "",
    ),
    # Privileges.
    _same("privileged", "privileged", "HostConfig.Privileged", default=False),
    _same("capabilities.add", "capabilities.adds", "HostConfig.CapAdd", normalize.capabilities),
    _same("capabilities.drop", "capabilities.drops", "HostConfig.CapDrop", normalize.capabilities),
    _same("security_options", "securityOpts", "HostConfig.SecurityOpt", normalize.security),
    ComparedField("masked_paths", (), view.confined, lambda c: bool(c.actual("HostConfig.MaskedPaths"))),
    _same("read_only", "readOnly", "HostConfig.ReadonlyRootfs", default=False),
    ComparedField(
        "devices",
        ("devices",),
        lambda c: view.devices(c.declared("devices"), "hostPath", "containerPath", "permissions"),
        lambda c: view.devices(c.actual("HostConfig.Devices"), "PathOnHost", "PathInContainer", "CgroupPermissions"),
    ),
    _same("device_rules", "", "HostConfig.DeviceCgroupRules", tuple, default=()),
    ComparedField(
        "device_requests",
        ("gpus", "deviceRequests"),
        lambda c: bool(c.declared("gpus") or c.declared("deviceRequests")),
        lambda c: bool(c.actual("HostConfig.DeviceRequests")),
    ),
    _same("groups", "groupAdds", "HostConfig.GroupAdd", frozenset, default=()),
    _same("namespaces.pid", "pidMode", "HostConfig.PidMode", default=""),
    ComparedField("namespaces.ipc", ("ipcMode",), lambda c: c.declared("ipcMode") or "its own", view.ipc),
    _same("namespaces.user", "usernsMode", "HostConfig.UsernsMode", default=""),
    _same("namespaces.uts", "", "HostConfig.UTSMode", default=""),
    _same("namespaces.cgroup", "cgroupnsMode", "HostConfig.CgroupnsMode", default="", undeclared=ANY),
    _same("sysctls", "sysctls", "HostConfig.Sysctls", normalize.texts),
    _same("ulimits", "ulimits", "HostConfig.Ulimits", normalize.ulimits),
    # Limits.
    _limit("memory", "memory", "HostConfig.Memory"),
    ComparedField(
        "memory_swap",
        ("memorySwap",),
        view.swap,
        lambda c: normalize.mebibytes(c.actual("HostConfig.MemorySwap")),
        Repair.UPDATE,
    ),
    _limit("memory_reservation", "memoryReservation", "HostConfig.MemoryReservation"),
    ComparedField(
        "cpus",
        ("cpus", "cpuPeriod", "cpuQuota"),
        view.declared_cores,
        lambda c: normalize.cores(*(c.actual(f"HostConfig.{key}") for key in ("NanoCpus", "CpuQuota", "CpuPeriod"))),
    ),
    _same("cpu_set", "cpuSet", "HostConfig.CpusetCpus", normalize.cpu_set, repair=Repair.UPDATE),
    _same("cpu_shares", "cpuShares", "HostConfig.CpuShares", default=0, repair=Repair.UPDATE),
    _same("pids", "", "HostConfig.PidsLimit", lambda limit: max(limit or 0, 0) or "unlimited"),
    _same("cpu_set_memory", "", "HostConfig.CpusetMems", default=""),
    _same("block_io_weight", "", "HostConfig.BlkioWeight", default=0),
    _same("out_of_memory.adjust", "", "HostConfig.OomScoreAdj", default=0),
    _same("out_of_memory.disabled", "", "HostConfig.OomKillDisable", default=False),
    _same("throttle.ReadBps", "deviceReadBps", "HostConfig.BlkioDeviceReadBps", normalize.rates),
    _same("throttle.ReadIops", "deviceReadIops", "HostConfig.BlkioDeviceReadIOps", normalize.rates),
    _same("throttle.WriteBps", "deviceWriteBps", "HostConfig.BlkioDeviceWriteBps", normalize.rates),
    _same("throttle.WriteIops", "deviceWriteIops", "HostConfig.BlkioDeviceWriteIOps", normalize.rates),
    _same("shared_memory", "shmSize", "HostConfig.ShmSize", normalize.mebibytes, unit=MIB, undeclared=64 * MIB),
    # Mounts and networks.
    ComparedField(
        "mounts",
        ("mounts", "volumes"),
        lambda c: normalize.declared_mounts(c.inputs),
        lambda c: normalize.actual_mounts(c.actual("Mounts"), (c.of_image.get("Volumes") or ()) if c.image else None),
    ),
    _same("tmpfs", "tmpfs", "HostConfig.Tmpfs", normalize.texts),
    _same("storage", "storageOpts", "HostConfig.StorageOpt", normalize.texts),
    ComparedField(
        "networks",
        ("networksAdvanced",),
        lambda c: named(c.declared("networksAdvanced"), "name", default="joined") or ANY,
        lambda c: dict.fromkeys(c.networks, "joined"),
        Repair.RECONNECT,
    ),
    ComparedField(
        "aliases",
        ("networksAdvanced",),
        lambda c: c.declared_endpoints(lambda network: frozenset(network.get("aliases") or ())),
        view.aliases,
        Repair.RECONNECT,
    ),
    ComparedField(
        "addresses",
        ("networksAdvanced",),
        lambda c: c.declared_endpoints(lambda network: network.get("ipv4Address") or ""),
        view.addresses,
        Repair.RECONNECT,
    ),
    _same("network_mode", "networkMode", "HostConfig.NetworkMode", view.network_mode),
    ComparedField("ports", ("ports",), lambda c: normalize.declared_ports(c.declared("ports")), view.ports),
    ComparedField(
        "exposed", ("ports",), view.exposed, lambda c: frozenset(c.actual("Config.ExposedPorts") or ()), of_image=True
    ),
    _same("publish_all", "publishAllPorts", "HostConfig.PublishAllPorts", default=False),
    ComparedField(
        "hosts",
        ("hosts",),
        lambda c: named(c.declared("hosts"), "host", "ip"),
        lambda c: dict(entry.split(":", 1) for entry in c.actual("HostConfig.ExtraHosts") or ()),
    ),
    _same("dns.servers", "dns", "HostConfig.Dns", tuple, default=()),
    _same("dns.options", "dnsOpts", "HostConfig.DnsOptions", frozenset, default=()),
    _same("dns.search", "dnsSearches", "HostConfig.DnsSearch", tuple, default=()),
    # Restarts and logs.
    ComparedField(
        "restart",
        ("restart", "maxRetryCount"),
        lambda c: normalize.restart(c.declared("restart"), c.declared("maxRetryCount")),
        lambda c: normalize.restart(
            *(c.actual(f"HostConfig.RestartPolicy.{key}") for key in ("Name", "MaximumRetryCount"))
        ),
        Repair.UPDATE,
    ),
    _same("removed_at_end", "rm", "HostConfig.AutoRemove", default=False),
    _same("log.driver", "logDriver", "HostConfig.LogConfig.Type", undeclared=ANY),
    ComparedField(
        "log.options", ("logOpts",), view.log_options, lambda c: c.actual("HostConfig.LogConfig.Config") or {}
    ),
    _same("cgroup_parent", "cgroupParent", "HostConfig.CgroupParent", default=""),
)

NOT_READ: dict[str, str] = {
    "uploads": "the resulting files are compared in the volume: ops/drift/docker/files.py",
    "mustRun": "the container's state is compared outside of the table: ops/drift/docker/resources.py",
    "start": "as mustRun",
    **dict.fromkeys(
        ("attach", "logs", "wait", "waitTimeout", "containerReadRefreshTimeoutMilliseconds"),
        "controls the provider during creation; the container does not keep it",
    ),
    **dict.fromkeys(("destroyGraceSeconds", "removeVolumes"), "controls the provider during deletion"),
    "platform": "implied by the image's digest",
}
"""Inputs of containers that no field compares → the reason."""

_LABELS = ComparedField(
    "labels", ("labels",), lambda c: named(c.declared("labels"), "label"), lambda c: c.actual("Labels") or {}
)

NETWORK_FIELDS: tuple[ComparedField, ...] = (
    _same("driver", "driver", "Driver", default="bridge"),
    _same("internal", "internal", "Internal", default=False),
    _same("attachable", "attachable", "Attachable", default=False),
    _same("ingress", "ingress", "Ingress", default=False),
    _same("ipv6", "ipv6", "EnableIPv6", default=False),
    _LABELS,
    _same("options", "options", "Options", normalize.texts),
    _same("ipam.driver", "ipamDriver", "IPAM.Driver", default="default"),
    _same("ipam.options", "ipamOptions", "IPAM.Options", normalize.texts),
    # Where no address range is declared, the Docker engine chooses.
    _same("ipam.subnets", "ipamConfigs", "IPAM.Config", normalize.subnets, undeclared=ANY),
)

VOLUME_FIELDS: tuple[ComparedField, ...] = (
    _same("driver", "driver", "Driver", default="local"),
    _LABELS,
    _same("options", "driverOpts", "Options", normalize.texts),
)
