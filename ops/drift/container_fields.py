"""The table of container fields: for each, the value that the state declares and the value of the inspection."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ops.drift import container_view as view
from ops.drift import normalize
from ops.drift.container_view import ANY, ComparedContainer
from ops.drift.expected import named, variables
from ops.drift.findings import Repair

DEFAULT_SHARED_MEMORY = 64
"""MiB of /dev/shm that the Docker engine sets by default."""


@dataclass(frozen=True)
class ContainerField:
    """One field. Mappings are compared key by key, with one finding for each key."""

    name: str
    inputs: tuple[str, ...]
    """Inputs of the Docker provider that declare it."""

    declared: Callable[[ComparedContainer], Any]
    actual: Callable[[ComparedContainer], Any]
    repair: Repair = Repair.REPLACE
    of_image: bool = False
    """Whether the image supplies the value where none is declared."""


def _throttled(input_name: str, host_key: str) -> ContainerField:
    return ContainerField(
        f"throttle.{input_name.removeprefix('device')}",
        (input_name,),
        lambda c: view.throttles(c.declared(input_name), "path", "rate"),
        lambda c: view.throttles(c.host(host_key), "Path", "Rate"),
    )


FIELDS: tuple[ContainerField, ...] = (
    ContainerField(
        "name", ("name",), lambda c: c.declared("name"), lambda c: c.inspection["Name"].lstrip("/"), Repair.RENAME
    ),
    # Image and process.
    ContainerField("image", ("image",), lambda c: c.inputs["image"], view.image),
    ContainerField("command", ("command",), view.command, lambda c: tuple(c.config("Cmd") or ()), of_image=True),
    ContainerField(
        "entrypoint",
        ("entrypoints",),
        lambda c: tuple(c.declared("entrypoints") or c.of_image.get("Entrypoint") or ()),
        lambda c: tuple(c.config("Entrypoint") or ()),
        of_image=True,
    ),
    ContainerField(
        "env",
        ("envs",),
        lambda c: {**variables(c.of_image.get("Env")), **variables(c.declared("envs"))},
        lambda c: variables(c.config("Env")),
        of_image=True,
    ),
    ContainerField(
        "labels",
        ("labels",),
        lambda c: {**(c.of_image.get("Labels") or {}), **named(c.declared("labels"), "label")},
        lambda c: c.config("Labels") or {},
        of_image=True,
    ),
    ContainerField(
        "user",
        ("user",),
        lambda c: c.declared("user") or c.of_image.get("User") or "",
        lambda c: c.config("User") or "",
        of_image=True,
    ),
    ContainerField(
        "working_dir",
        ("workingDir",),
        lambda c: c.declared("workingDir") or c.of_image.get("WorkingDir") or "/",
        lambda c: c.config("WorkingDir") or "/",
        of_image=True,
    ),
    ContainerField("hostname", ("hostname",), view.hostname, lambda c: c.config("Hostname")),
    ContainerField(
        "domain", ("domainname",), view.declared_or("domainname", ""), lambda c: c.config("Domainname") or ""
    ),
    ContainerField("tty", ("tty",), view.declared_or("tty", default=False), lambda c: bool(c.config("Tty"))),
    ContainerField(
        "stdin", ("stdinOpen",), view.declared_or("stdinOpen", default=False), lambda c: bool(c.config("OpenStdin"))
    ),
    ContainerField(
        "health_check",
        ("healthcheck",),
        lambda c: normalize.health_check(c.declared("healthcheck"), c.of_image.get("Healthcheck")),
        lambda c: normalize.actual_health_check(c.config("Healthcheck")),
        of_image=True,
    ),
    ContainerField(
        "stop_signal",
        ("stopSignal",),
        lambda c: normalize.signal(c.declared("stopSignal") or c.of_image.get("StopSignal")),
        lambda c: normalize.signal(c.config("StopSignal")),
        of_image=True,
    ),
    ContainerField(
        "stop_timeout", ("stopTimeout",), view.declared_or("stopTimeout", 10), lambda c: c.config("StopTimeout") or 10
    ),
    ContainerField("init", ("init",), view.declared_or("init", default=False), lambda c: bool(c.host("Init"))),
    ContainerField(
        "runtime",
        ("runtime",),
        lambda c: c.declared("runtime") or c.engine.get("DefaultRuntime") or ANY,
        view.host_or("Runtime", ""),
    ),
    # Privileges.
    ContainerField(
        "privileged",
        ("privileged",),
        view.declared_or("privileged", default=False),
        view.host_or("Privileged", default=False),
    ),
    ContainerField(
        "capabilities.add",
        ("capabilities",),
        lambda c: normalize.capabilities((c.declared("capabilities") or {}).get("adds")),
        lambda c: normalize.capabilities(c.host("CapAdd")),
    ),
    ContainerField(
        "capabilities.drop",
        ("capabilities",),
        lambda c: normalize.capabilities((c.declared("capabilities") or {}).get("drops")),
        lambda c: normalize.capabilities(c.host("CapDrop")),
    ),
    ContainerField(
        "security_options",
        ("securityOpts",),
        lambda c: normalize.security(
            option for option in c.declared("securityOpts") or () if option != "systempaths=unconfined"
        ),
        lambda c: normalize.security(c.host("SecurityOpt")),
    ),
    ContainerField("masked_paths", (), view.confined, lambda c: bool(c.host("MaskedPaths"))),
    ContainerField(
        "read_only",
        ("readOnly",),
        view.declared_or("readOnly", default=False),
        view.host_or("ReadonlyRootfs", default=False),
    ),
    ContainerField(
        "devices",
        ("devices",),
        lambda c: view.devices(c.declared("devices"), "hostPath", "containerPath", "permissions"),
        lambda c: view.devices(c.host("Devices"), "PathOnHost", "PathInContainer", "CgroupPermissions"),
    ),
    ContainerField("device_rules", (), lambda c: (), lambda c: tuple(c.host("DeviceCgroupRules") or ())),
    ContainerField(
        "device_requests",
        ("gpus", "deviceRequests"),
        lambda c: bool(c.declared("gpus") or c.declared("deviceRequests")),
        lambda c: bool(c.host("DeviceRequests")),
    ),
    ContainerField(
        "groups",
        ("groupAdds",),
        lambda c: frozenset(c.declared("groupAdds") or ()),
        lambda c: frozenset(c.host("GroupAdd") or ()),
    ),
    ContainerField("namespaces.pid", ("pidMode",), view.declared_or("pidMode", ""), view.host_or("PidMode", "")),
    ContainerField("namespaces.ipc", ("ipcMode",), view.declared_or("ipcMode", "its own"), view.ipc),
    ContainerField(
        "namespaces.user", ("usernsMode",), view.declared_or("usernsMode", ""), view.host_or("UsernsMode", "")
    ),
    ContainerField("namespaces.uts", (), lambda c: "", view.host_or("UTSMode", "")),
    ContainerField(
        "namespaces.cgroup", ("cgroupnsMode",), view.declared_or("cgroupnsMode", ANY), view.host_or("CgroupnsMode", "")
    ),
    ContainerField(
        "sysctls", ("sysctls",), lambda c: view.texts(c.declared("sysctls")), lambda c: view.texts(c.host("Sysctls"))
    ),
    ContainerField(
        "ulimits",
        ("ulimits",),
        lambda c: {limit["name"]: f"{limit['soft']}:{limit['hard']}" for limit in c.declared("ulimits") or ()},
        lambda c: {limit["Name"]: f"{limit['Soft']}:{limit['Hard']}" for limit in c.host("Ulimits") or ()},
    ),
    # Limits.
    ContainerField(
        "memory", ("memory",), view.limit("memory"), lambda c: normalize.mebibytes(c.host("Memory")), Repair.UPDATE
    ),
    ContainerField(
        "memory_swap", ("memorySwap",), view.swap, lambda c: normalize.mebibytes(c.host("MemorySwap")), Repair.UPDATE
    ),
    ContainerField(
        "memory_reservation",
        ("memoryReservation",),
        view.limit("memoryReservation"),
        lambda c: normalize.mebibytes(c.host("MemoryReservation")),
        Repair.UPDATE,
    ),
    ContainerField(
        "cpus",
        ("cpus", "cpuPeriod", "cpuQuota"),
        view.cores,
        lambda c: normalize.cores(c.host("NanoCpus"), c.host("CpuQuota"), c.host("CpuPeriod")),
    ),
    ContainerField(
        "cpu_set",
        ("cpuSet",),
        lambda c: normalize.cpu_set(c.declared("cpuSet")),
        lambda c: normalize.cpu_set(c.host("CpusetCpus")),
        Repair.UPDATE,
    ),
    ContainerField(
        "cpu_shares", ("cpuShares",), view.declared_or("cpuShares", 0), view.host_or("CpuShares", 0), Repair.UPDATE
    ),
    # The provider has no input for the next five fields: any other value was set by hand.
    ContainerField("pids", (), lambda c: "unlimited", lambda c: max(c.host("PidsLimit") or 0, 0) or "unlimited"),
    ContainerField("cpu_set_memory", (), lambda c: "", view.host_or("CpusetMems", "")),
    ContainerField("block_io_weight", (), lambda c: 0, view.host_or("BlkioWeight", 0)),
    ContainerField("out_of_memory.adjust", (), lambda c: 0, view.host_or("OomScoreAdj", 0)),
    ContainerField("out_of_memory.disabled", (), lambda c: False, view.host_or("OomKillDisable", default=False)),
    _throttled("deviceReadBps", "BlkioDeviceReadBps"),
    _throttled("deviceReadIops", "BlkioDeviceReadIOps"),
    _throttled("deviceWriteBps", "BlkioDeviceWriteBps"),
    _throttled("deviceWriteIops", "BlkioDeviceWriteIOps"),
    ContainerField(
        "shared_memory",
        ("shmSize",),
        lambda c: normalize.mebibytes((c.declared("shmSize") or DEFAULT_SHARED_MEMORY) * normalize.MIB),
        lambda c: normalize.mebibytes(c.host("ShmSize")),
    ),
    # Mounts and networks.
    ContainerField(
        "mounts",
        ("mounts", "volumes"),
        lambda c: normalize.declared_mounts(c.inputs),
        lambda c: normalize.actual_mounts(
            c.inspection.get("Mounts"), (c.of_image.get("Volumes") or ()) if c.image else None
        ),
    ),
    ContainerField(
        "tmpfs", ("tmpfs",), lambda c: view.texts(c.declared("tmpfs")), lambda c: view.texts(c.host("Tmpfs"))
    ),
    ContainerField(
        "storage",
        ("storageOpts",),
        lambda c: view.texts(c.declared("storageOpts")),
        lambda c: view.texts(c.host("StorageOpt")),
    ),
    ContainerField(
        "networks",
        ("networksAdvanced",),
        view.joined,
        lambda c: dict.fromkeys(c.inspection["NetworkSettings"]["Networks"] or (), "joined"),
        Repair.RECONNECT,
    ),
    ContainerField("aliases", ("networksAdvanced",), view.declared_aliases, view.aliases, Repair.RECONNECT),
    ContainerField("addresses", ("networksAdvanced",), view.declared_addresses, view.addresses, Repair.RECONNECT),
    ContainerField("network_mode", ("networkMode",), view.declared_mode, view.network_mode),
    ContainerField("ports", ("ports",), lambda c: normalize.declared_ports(c.declared("ports")), view.ports),
    ContainerField(
        "exposed", ("ports",), view.exposed, lambda c: frozenset(c.config("ExposedPorts") or ()), of_image=True
    ),
    ContainerField(
        "publish_all",
        ("publishAllPorts",),
        view.declared_or("publishAllPorts", default=False),
        view.host_or("PublishAllPorts", default=False),
    ),
    ContainerField(
        "hosts",
        ("hosts",),
        lambda c: {host["host"]: host["ip"] for host in c.declared("hosts") or ()},
        lambda c: view.hosts(c.host("ExtraHosts")),
    ),
    ContainerField(
        "dns.servers", ("dns",), lambda c: tuple(c.declared("dns") or ()), lambda c: tuple(c.host("Dns") or ())
    ),
    ContainerField(
        "dns.options",
        ("dnsOpts",),
        lambda c: frozenset(c.declared("dnsOpts") or ()),
        lambda c: frozenset(c.host("DnsOptions") or ()),
    ),
    ContainerField(
        "dns.search",
        ("dnsSearches",),
        lambda c: tuple(c.declared("dnsSearches") or ()),
        lambda c: tuple(c.host("DnsSearch") or ()),
    ),
    # Restarts and logs.
    ContainerField("restart", ("restart", "maxRetryCount"), view.declared_restart, view.restart, Repair.UPDATE),
    ContainerField(
        "removed_at_end", ("rm",), view.declared_or("rm", default=False), view.host_or("AutoRemove", default=False)
    ),
    ContainerField(
        "log.driver", ("logDriver",), view.declared_or("logDriver", ANY), lambda c: c.host("LogConfig").get("Type")
    ),
    ContainerField("log.options", ("logOpts",), view.log_options, lambda c: c.host("LogConfig").get("Config") or {}),
    ContainerField(
        "cgroup_parent", ("cgroupParent",), view.declared_or("cgroupParent", ""), view.host_or("CgroupParent", "")
    ),
)

NOT_READ: dict[str, str] = {
    "uploads": "the resulting files are compared in the volume: ops/drift/files.py",
    "mustRun": "the container's state is compared outside of the table: ops/drift/containers.py",
    "start": "as mustRun",
    **dict.fromkeys(
        ("attach", "logs", "wait", "waitTimeout", "containerReadRefreshTimeoutMilliseconds"),
        "controls the provider during creation; the container does not keep it",
    ),
    **dict.fromkeys(("destroyGraceSeconds", "removeVolumes"), "controls the provider during deletion"),
    "platform": "implied by the image's digest",
}
"""Inputs that no field compares → the reason."""
