"""The tables of fields: for each, the value that the state declares and the value of the inspection."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ops.drift.docker import normalize, view
from ops.drift.docker.normalize import named, variables
from ops.drift.docker.view import ANY, ComparedResource
from ops.drift.findings import UNSET, Repair, format_value

DEFAULT_SHARED_MEMORY = 64
"""MiB of /dev/shm that the Docker engine sets by default."""

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


def _host(
    name: str, declared: str, key: str, default: Any, repair: Repair = Repair.REPLACE, *, undeclared: Any = None
) -> ComparedField:
    """Return a field of HostConfig; `undeclared` counts as declared where the input is not, else the default does."""
    inputs = (declared,) if declared else ()
    expected = default if undeclared is None else undeclared
    return ComparedField(
        name, inputs, lambda c: c.declared(declared) or expected, lambda c: c.host(key) or default, repair
    )


def _config(name: str, declared: str, key: str, default: Any, *, of_image: bool = False) -> ComparedField:
    """Return a field of Config, whose value the image may supply."""
    return ComparedField(
        name,
        (declared,),
        lambda c: c.declared(declared) or (c.of_image.get(key) if of_image else None) or default,
        lambda c: c.config(key) or default,
        of_image=of_image,
    )


def _list(name: str, declared: str, key: str, kind: type = frozenset) -> ComparedField:
    """Return a field of HostConfig with several values; a `tuple` where their order matters."""
    inputs = (declared,) if declared else ()
    return ComparedField(name, inputs, lambda c: kind(c.declared(declared) or ()), lambda c: kind(c.host(key) or ()))


def _texts(name: str, declared: str, key: str) -> ComparedField:
    """Return a mapping in HostConfig."""
    return ComparedField(
        name, (declared,), lambda c: view.texts(c.declared(declared)), lambda c: view.texts(c.host(key))
    )


def _size(name: str, declared: str, key: str, expected: Getter | None = None) -> ComparedField:
    """Return a limit of memory, declared in MiB."""
    return ComparedField(
        name,
        (declared,),
        expected or (lambda c: normalize.mebibytes((c.declared(declared) or 0) * normalize.MIB)),
        lambda c: normalize.mebibytes(c.host(key)),
        Repair.UPDATE,
    )


def _throttle(declared: str, key: str) -> ComparedField:
    """Return the limits of rates of devices."""
    return ComparedField(
        f"throttle.{declared.removeprefix('device')}",
        (declared,),
        lambda c: {device["path"]: device["rate"] for device in c.declared(declared) or ()},
        lambda c: {device["Path"]: device["Rate"] for device in c.host(key) or ()},
    )


def _network(name: str, declared: str, key: str, default: Any) -> ComparedField:
    """Return a field at the top of a network's or volume's inspection."""
    return ComparedField(
        name, (declared,), lambda c: c.declared(declared) or default, lambda c: c.inspection.get(key) or default
    )


def _network_texts(name: str, declared: str, key: str) -> ComparedField:
    """Return a mapping in a network's or volume's inspection."""
    return ComparedField(
        name, (declared,), lambda c: view.texts(c.declared(declared)), lambda c: view.texts(c.inspection.get(key))
    )


CONTAINER_FIELDS: tuple[ComparedField, ...] = (
    ComparedField(
        "name", ("name",), lambda c: c.declared("name"), lambda c: c.inspection["Name"].lstrip("/"), Repair.RENAME
    ),
    # Image and process.
    ComparedField("image", ("image",), lambda c: c.inputs["image"], view.image),
    ComparedField("command", ("command",), view.command, lambda c: tuple(c.config("Cmd") or ()), of_image=True),
    ComparedField(
        "entrypoint",
        ("entrypoints",),
        lambda c: tuple(c.declared("entrypoints") or c.of_image.get("Entrypoint") or ()),
        lambda c: tuple(c.config("Entrypoint") or ()),
        of_image=True,
    ),
    ComparedField(
        "env",
        ("envs",),
        lambda c: {**variables(c.of_image.get("Env")), **variables(c.declared("envs"))},
        lambda c: variables(c.config("Env")),
        of_image=True,
    ),
    ComparedField(
        "labels",
        ("labels",),
        lambda c: {**(c.of_image.get("Labels") or {}), **named(c.declared("labels"), "label")},
        lambda c: c.config("Labels") or {},
        of_image=True,
    ),
    _config("user", "user", "User", "", of_image=True),
    _config("working_dir", "workingDir", "WorkingDir", "/", of_image=True),
    ComparedField("hostname", ("hostname",), view.hostname, lambda c: c.config("Hostname")),
    _config("domain", "domainname", "Domainname", ""),
    _config("tty", "tty", "Tty", default=False),
    _config("stdin", "stdinOpen", "OpenStdin", default=False),
    ComparedField(
        "health_check",
        ("healthcheck",),
        lambda c: normalize.health_check(c.declared("healthcheck"), c.of_image.get("Healthcheck")),
        lambda c: normalize.actual_health_check(c.config("Healthcheck")),
        of_image=True,
    ),
    ComparedField(
        "stop_signal",
        ("stopSignal",),
        lambda c: normalize.signal(c.declared("stopSignal") or c.of_image.get("StopSignal")),
        lambda c: normalize.signal(c.config("StopSignal")),
        of_image=True,
    ),
    _config("stop_timeout", "stopTimeout", "StopTimeout", 10),
    _host("init", "init", "Init", default=False),
    ComparedField(
        "runtime",
        ("runtime",),
        lambda c: c.declared("runtime") or c.engine.get("DefaultRuntime") or ANY,
        lambda c: c.host("Runtime") or "",
    ),
    # Privileges.
    _host("privileged", "privileged", "Privileged", default=False),
    ComparedField(
        "capabilities.add",
        ("capabilities",),
        lambda c: normalize.capabilities((c.declared("capabilities") or {}).get("adds")),
        lambda c: normalize.capabilities(c.host("CapAdd")),
    ),
    ComparedField(
        "capabilities.drop",
        ("capabilities",),
        lambda c: normalize.capabilities((c.declared("capabilities") or {}).get("drops")),
        lambda c: normalize.capabilities(c.host("CapDrop")),
    ),
    ComparedField(
        "security_options",
        ("securityOpts",),
        lambda c: normalize.security({*(c.declared("securityOpts") or ())} - {"systempaths=unconfined"}),
        lambda c: normalize.security(c.host("SecurityOpt")),
    ),
    ComparedField("masked_paths", (), view.confined, lambda c: bool(c.host("MaskedPaths"))),
    _host("read_only", "readOnly", "ReadonlyRootfs", default=False),
    ComparedField(
        "devices",
        ("devices",),
        lambda c: view.devices(c.declared("devices"), "hostPath", "containerPath", "permissions"),
        lambda c: view.devices(c.host("Devices"), "PathOnHost", "PathInContainer", "CgroupPermissions"),
    ),
    _list("device_rules", "", "DeviceCgroupRules", tuple),
    ComparedField(
        "device_requests",
        ("gpus", "deviceRequests"),
        lambda c: bool(c.declared("gpus") or c.declared("deviceRequests")),
        lambda c: bool(c.host("DeviceRequests")),
    ),
    _list("groups", "groupAdds", "GroupAdd"),
    _host("namespaces.pid", "pidMode", "PidMode", ""),
    ComparedField("namespaces.ipc", ("ipcMode",), lambda c: c.declared("ipcMode") or "its own", view.ipc),
    _host("namespaces.user", "usernsMode", "UsernsMode", ""),
    _host("namespaces.uts", "", "UTSMode", ""),
    _host("namespaces.cgroup", "cgroupnsMode", "CgroupnsMode", "", undeclared=ANY),
    _texts("sysctls", "sysctls", "Sysctls"),
    ComparedField(
        "ulimits",
        ("ulimits",),
        lambda c: {limit["name"]: f"{limit['soft']}:{limit['hard']}" for limit in c.declared("ulimits") or ()},
        lambda c: {limit["Name"]: f"{limit['Soft']}:{limit['Hard']}" for limit in c.host("Ulimits") or ()},
    ),
    # Limits.
    _size("memory", "memory", "Memory"),
    _size("memory_swap", "memorySwap", "MemorySwap", view.swap),
    _size("memory_reservation", "memoryReservation", "MemoryReservation"),
    ComparedField(
        "cpus",
        ("cpus", "cpuPeriod", "cpuQuota"),
        view.cores,
        lambda c: normalize.cores(c.host("NanoCpus"), c.host("CpuQuota"), c.host("CpuPeriod")),
    ),
    ComparedField(
        "cpu_set",
        ("cpuSet",),
        lambda c: normalize.cpu_set(c.declared("cpuSet")),
        lambda c: normalize.cpu_set(c.host("CpusetCpus")),
        Repair.UPDATE,
    ),
    _host("cpu_shares", "cpuShares", "CpuShares", 0, Repair.UPDATE),
    ComparedField("pids", (), lambda c: "unlimited", lambda c: max(c.host("PidsLimit") or 0, 0) or "unlimited"),
    _host("cpu_set_memory", "", "CpusetMems", ""),
    _host("block_io_weight", "", "BlkioWeight", 0),
    _host("out_of_memory.adjust", "", "OomScoreAdj", 0),
    _host("out_of_memory.disabled", "", "OomKillDisable", default=False),
    _throttle("deviceReadBps", "BlkioDeviceReadBps"),
    _throttle("deviceReadIops", "BlkioDeviceReadIOps"),
    _throttle("deviceWriteBps", "BlkioDeviceWriteBps"),
    _throttle("deviceWriteIops", "BlkioDeviceWriteIOps"),
    ComparedField(
        "shared_memory",
        ("shmSize",),
        lambda c: normalize.mebibytes((c.declared("shmSize") or DEFAULT_SHARED_MEMORY) * normalize.MIB),
        lambda c: normalize.mebibytes(c.host("ShmSize")),
    ),
    # Mounts and networks.
    ComparedField(
        "mounts",
        ("mounts", "volumes"),
        lambda c: normalize.declared_mounts(c.inputs),
        lambda c: normalize.actual_mounts(
            c.inspection.get("Mounts"), (c.of_image.get("Volumes") or ()) if c.image else None
        ),
    ),
    _texts("tmpfs", "tmpfs", "Tmpfs"),
    _texts("storage", "storageOpts", "StorageOpt"),
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
    ComparedField(
        "network_mode",
        ("networkMode",),
        lambda c: view.network_mode(c.declared("networkMode")),
        lambda c: view.network_mode(c.host("NetworkMode")),
    ),
    ComparedField("ports", ("ports",), lambda c: normalize.declared_ports(c.declared("ports")), view.ports),
    ComparedField(
        "exposed", ("ports",), view.exposed, lambda c: frozenset(c.config("ExposedPorts") or ()), of_image=True
    ),
    _host("publish_all", "publishAllPorts", "PublishAllPorts", default=False),
    ComparedField(
        "hosts",
        ("hosts",),
        lambda c: named(c.declared("hosts"), "host", "ip"),
        lambda c: dict(entry.split(":", 1) for entry in c.host("ExtraHosts") or ()),
    ),
    _list("dns.servers", "dns", "Dns", tuple),
    _list("dns.options", "dnsOpts", "DnsOptions"),
    _list("dns.search", "dnsSearches", "DnsSearch", tuple),
    # Restarts and logs.
    ComparedField(
        "restart",
        ("restart", "maxRetryCount"),
        lambda c: view.restart(c.declared("restart"), c.declared("maxRetryCount")),
        lambda c: view.restart(c.host("RestartPolicy").get("Name"), c.host("RestartPolicy").get("MaximumRetryCount")),
        Repair.UPDATE,
    ),
    _host("removed_at_end", "rm", "AutoRemove", default=False),
    ComparedField(
        "log.driver",
        ("logDriver",),
        lambda c: c.declared("logDriver") or ANY,
        lambda c: c.host("LogConfig").get("Type"),
    ),
    ComparedField(
        "log.options",
        ("logOpts",),
        # Without a declared driver, the Docker engine chooses both.
        lambda c: c.declared("logOpts") or {} if c.declared("logDriver") else ANY,
        lambda c: c.host("LogConfig").get("Config") or {},
    ),
    _host("cgroup_parent", "cgroupParent", "CgroupParent", ""),
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
    "labels", ("labels",), lambda c: named(c.declared("labels"), "label"), lambda c: c.inspection.get("Labels") or {}
)

NETWORK_FIELDS: tuple[ComparedField, ...] = (
    _network("driver", "driver", "Driver", "bridge"),
    _network("internal", "internal", "Internal", default=False),
    _network("attachable", "attachable", "Attachable", default=False),
    _network("ingress", "ingress", "Ingress", default=False),
    _network("ipv6", "ipv6", "EnableIPv6", default=False),
    _LABELS,
    _network_texts("options", "options", "Options"),
    ComparedField(
        "ipam.driver",
        ("ipamDriver",),
        lambda c: c.declared("ipamDriver") or "default",
        lambda c: (c.inspection.get("IPAM") or {}).get("Driver") or "default",
    ),
    ComparedField(
        "ipam.options",
        ("ipamOptions",),
        lambda c: view.texts(c.declared("ipamOptions")),
        lambda c: view.texts((c.inspection.get("IPAM") or {}).get("Options")),
    ),
    ComparedField("ipam.subnets", ("ipamConfigs",), view.declared_subnets, view.subnets),
)

VOLUME_FIELDS: tuple[ComparedField, ...] = (
    _network("driver", "driver", "Driver", "local"),
    _LABELS,
    _network_texts("options", "driverOpts", "Options"),
)
