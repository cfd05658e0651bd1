"""Every field of a container: what the state declares, and where an inspection says it. One line each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ops.drift import container_view as seen
from ops.drift import meanings as as_
from ops.drift.container_view import ANY, Container
from ops.drift.declared import named, variables
from ops.drift.findings import Repair

DEFAULT_SHARED_MEMORY = 64
"""MiB of /dev/shm that the engine gives by itself."""


@dataclass(frozen=True)
class Field:
    """One field. Values that are maps are compared key by key, and each key is a finding of its own."""

    name: str
    inputs: tuple[str, ...]
    """The provider's inputs that declare it."""

    declared: Callable[[Container], Any]
    found: Callable[[Container], Any]
    repair: Repair = Repair.REPLACE
    of_image: bool = False
    """Where nothing is declared the image decides."""


def _throttled(given: str, engine: str) -> Field:
    return Field(
        f"throttle.{given.removeprefix('device')}",
        (given,),
        lambda c: seen.throttles(c.given(given), "path", "rate"),
        lambda c: seen.throttles(c.host(engine), "Path", "Rate"),
    )


FIELDS: tuple[Field, ...] = (
    Field("name", ("name",), lambda c: c.given("name"), lambda c: c.found["Name"].lstrip("/"), Repair.RENAME),
    # What it runs.
    Field("image", ("image",), lambda c: c.inputs["image"], seen.image),
    Field("command", ("command",), seen.command, lambda c: tuple(c.config("Cmd") or ()), of_image=True),
    Field(
        "entrypoint",
        ("entrypoints",),
        lambda c: tuple(c.given("entrypoints") or c.of_image.get("Entrypoint") or ()),
        lambda c: tuple(c.config("Entrypoint") or ()),
        of_image=True,
    ),
    Field(
        "env",
        ("envs",),
        lambda c: {**variables(c.of_image.get("Env")), **variables(c.given("envs"))},
        lambda c: variables(c.config("Env")),
        of_image=True,
    ),
    Field(
        "labels",
        ("labels",),
        lambda c: {**(c.of_image.get("Labels") or {}), **named(c.given("labels"), "label")},
        lambda c: c.config("Labels") or {},
        of_image=True,
    ),
    Field(
        "user",
        ("user",),
        lambda c: c.given("user") or c.of_image.get("User") or "",
        lambda c: c.config("User") or "",
        of_image=True,
    ),
    Field(
        "working_dir",
        ("workingDir",),
        lambda c: c.given("workingDir") or c.of_image.get("WorkingDir") or "/",
        lambda c: c.config("WorkingDir") or "/",
        of_image=True,
    ),
    Field("hostname", ("hostname",), seen.hostname, lambda c: c.config("Hostname")),
    Field("domain", ("domainname",), seen.given_or("domainname", ""), lambda c: c.config("Domainname") or ""),
    Field("tty", ("tty",), seen.given_or("tty", default=False), lambda c: bool(c.config("Tty"))),
    Field("stdin", ("stdinOpen",), seen.given_or("stdinOpen", default=False), lambda c: bool(c.config("OpenStdin"))),
    Field(
        "health_check",
        ("healthcheck",),
        lambda c: as_.health_check(c.given("healthcheck"), c.of_image.get("Healthcheck")),
        lambda c: as_.found_health_check(c.config("Healthcheck")),
        of_image=True,
    ),
    Field(
        "stop_signal",
        ("stopSignal",),
        lambda c: as_.signal(c.given("stopSignal") or c.of_image.get("StopSignal")),
        lambda c: as_.signal(c.config("StopSignal")),
        of_image=True,
    ),
    Field("stop_timeout", ("stopTimeout",), seen.given_or("stopTimeout", 10), lambda c: c.config("StopTimeout") or 10),
    Field("init", ("init",), seen.given_or("init", default=False), lambda c: bool(c.host("Init"))),
    Field(
        "runtime",
        ("runtime",),
        lambda c: c.given("runtime") or c.engine.get("DefaultRuntime") or ANY,
        seen.host_or("Runtime", ""),
    ),
    # What it may.
    Field(
        "privileged",
        ("privileged",),
        seen.given_or("privileged", default=False),
        seen.host_or("Privileged", default=False),
    ),
    Field(
        "capabilities.add",
        ("capabilities",),
        lambda c: as_.capabilities((c.given("capabilities") or {}).get("adds")),
        lambda c: as_.capabilities(c.host("CapAdd")),
    ),
    Field(
        "capabilities.drop",
        ("capabilities",),
        lambda c: as_.capabilities((c.given("capabilities") or {}).get("drops")),
        lambda c: as_.capabilities(c.host("CapDrop")),
    ),
    Field(
        "security_options",
        ("securityOpts",),
        lambda c: as_.security(one for one in c.given("securityOpts") or () if one != "systempaths=unconfined"),
        lambda c: as_.security(c.host("SecurityOpt")),
    ),
    Field("masked_paths", (), seen.confined, lambda c: bool(c.host("MaskedPaths"))),
    Field(
        "read_only",
        ("readOnly",),
        seen.given_or("readOnly", default=False),
        seen.host_or("ReadonlyRootfs", default=False),
    ),
    Field(
        "devices",
        ("devices",),
        lambda c: seen.devices(c.given("devices"), "hostPath", "containerPath", "permissions"),
        lambda c: seen.devices(c.host("Devices"), "PathOnHost", "PathInContainer", "CgroupPermissions"),
    ),
    Field("device_rules", (), lambda c: (), lambda c: tuple(c.host("DeviceCgroupRules") or ())),
    Field(
        "device_requests",
        ("gpus", "deviceRequests"),
        lambda c: bool(c.given("gpus") or c.given("deviceRequests")),
        lambda c: bool(c.host("DeviceRequests")),
    ),
    Field(
        "groups",
        ("groupAdds",),
        lambda c: frozenset(c.given("groupAdds") or ()),
        lambda c: frozenset(c.host("GroupAdd") or ()),
    ),
    Field("namespaces.pid", ("pidMode",), seen.given_or("pidMode", ""), seen.host_or("PidMode", "")),
    Field("namespaces.ipc", ("ipcMode",), seen.given_or("ipcMode", "its own"), seen.ipc),
    Field("namespaces.user", ("usernsMode",), seen.given_or("usernsMode", ""), seen.host_or("UsernsMode", "")),
    Field("namespaces.uts", (), lambda c: "", seen.host_or("UTSMode", "")),
    Field("namespaces.cgroup", ("cgroupnsMode",), seen.given_or("cgroupnsMode", ANY), seen.host_or("CgroupnsMode", "")),
    Field("sysctls", ("sysctls",), lambda c: seen.texts(c.given("sysctls")), lambda c: seen.texts(c.host("Sysctls"))),
    Field(
        "ulimits",
        ("ulimits",),
        lambda c: {one["name"]: f"{one['soft']}:{one['hard']}" for one in c.given("ulimits") or ()},
        lambda c: {one["Name"]: f"{one['Soft']}:{one['Hard']}" for one in c.host("Ulimits") or ()},
    ),
    # How much.
    Field("memory", ("memory",), seen.limit("memory"), lambda c: as_.mebibytes(c.host("Memory")), Repair.UPDATE),
    Field("memory_swap", ("memorySwap",), seen.swap, lambda c: as_.mebibytes(c.host("MemorySwap")), Repair.UPDATE),
    Field(
        "memory_reservation",
        ("memoryReservation",),
        seen.limit("memoryReservation"),
        lambda c: as_.mebibytes(c.host("MemoryReservation")),
        Repair.UPDATE,
    ),
    Field(
        "cpus",
        ("cpus", "cpuPeriod", "cpuQuota"),
        seen.cores,
        lambda c: as_.cores(c.host("NanoCpus"), c.host("CpuQuota"), c.host("CpuPeriod")),
    ),
    Field(
        "cpu_set",
        ("cpuSet",),
        lambda c: as_.cpu_set(c.given("cpuSet")),
        lambda c: as_.cpu_set(c.host("CpusetCpus")),
        Repair.UPDATE,
    ),
    Field("cpu_shares", ("cpuShares",), seen.given_or("cpuShares", 0), seen.host_or("CpuShares", 0), Repair.UPDATE),
    # The provider has no input for it: what is found was set by hand.
    Field("pids", (), lambda c: "unlimited", lambda c: max(c.host("PidsLimit") or 0, 0) or "unlimited"),
    Field("cpu_set_memory", (), lambda c: "", seen.host_or("CpusetMems", "")),
    Field("block_io_weight", (), lambda c: 0, seen.host_or("BlkioWeight", 0)),
    Field("out_of_memory.adjust", (), lambda c: 0, seen.host_or("OomScoreAdj", 0)),
    Field("out_of_memory.disabled", (), lambda c: False, seen.host_or("OomKillDisable", default=False)),
    _throttled("deviceReadBps", "BlkioDeviceReadBps"),
    _throttled("deviceReadIops", "BlkioDeviceReadIOps"),
    _throttled("deviceWriteBps", "BlkioDeviceWriteBps"),
    _throttled("deviceWriteIops", "BlkioDeviceWriteIOps"),
    Field(
        "shared_memory",
        ("shmSize",),
        lambda c: as_.mebibytes((c.given("shmSize") or DEFAULT_SHARED_MEMORY) * as_.MIB),
        lambda c: as_.mebibytes(c.host("ShmSize")),
    ),
    # What it sees.
    Field(
        "mounts",
        ("mounts", "volumes"),
        lambda c: as_.declared_mounts(c.inputs),
        lambda c: as_.found_mounts(c.found.get("Mounts"), (c.of_image.get("Volumes") or ()) if c.image else None),
    ),
    Field("tmpfs", ("tmpfs",), lambda c: seen.texts(c.given("tmpfs")), lambda c: seen.texts(c.host("Tmpfs"))),
    Field(
        "storage",
        ("storageOpts",),
        lambda c: seen.texts(c.given("storageOpts")),
        lambda c: seen.texts(c.host("StorageOpt")),
    ),
    Field(
        "networks",
        ("networksAdvanced",),
        seen.joined,
        lambda c: dict.fromkeys(c.found["NetworkSettings"]["Networks"] or (), "joined"),
        Repair.RECONNECT,
    ),
    Field("aliases", ("networksAdvanced",), seen.declared_aliases, seen.aliases, Repair.RECONNECT),
    Field("addresses", ("networksAdvanced",), seen.declared_addresses, seen.addresses, Repair.RECONNECT),
    Field("network_mode", ("networkMode",), seen.declared_mode, seen.network_mode),
    Field("ports", ("ports",), lambda c: as_.declared_ports(c.given("ports")), seen.ports),
    Field("exposed", ("ports",), seen.exposed, lambda c: frozenset(c.config("ExposedPorts") or ()), of_image=True),
    Field(
        "publish_all",
        ("publishAllPorts",),
        seen.given_or("publishAllPorts", default=False),
        seen.host_or("PublishAllPorts", default=False),
    ),
    Field(
        "hosts",
        ("hosts",),
        lambda c: {one["host"]: one["ip"] for one in c.given("hosts") or ()},
        lambda c: seen.hosts(c.host("ExtraHosts")),
    ),
    Field("dns.servers", ("dns",), lambda c: tuple(c.given("dns") or ()), lambda c: tuple(c.host("Dns") or ())),
    Field(
        "dns.options",
        ("dnsOpts",),
        lambda c: frozenset(c.given("dnsOpts") or ()),
        lambda c: frozenset(c.host("DnsOptions") or ()),
    ),
    Field(
        "dns.search",
        ("dnsSearches",),
        lambda c: tuple(c.given("dnsSearches") or ()),
        lambda c: tuple(c.host("DnsSearch") or ()),
    ),
    # How it is kept.
    Field("restart", ("restart", "maxRetryCount"), seen.declared_restart, seen.restart, Repair.UPDATE),
    Field("removed_at_end", ("rm",), seen.given_or("rm", default=False), seen.host_or("AutoRemove", default=False)),
    Field("log.driver", ("logDriver",), seen.given_or("logDriver", ANY), lambda c: c.host("LogConfig").get("Type")),
    Field("log.options", ("logOpts",), seen.log_options, lambda c: c.host("LogConfig").get("Config") or {}),
    Field("cgroup_parent", ("cgroupParent",), seen.given_or("cgroupParent", ""), seen.host_or("CgroupParent", "")),
)

NOT_READ: dict[str, str] = {
    "uploads": "what they come to is read from the volume or the container: ops/drift/files.py",
    "mustRun": "how it runs is looked at beside the table: ops/drift/containers.py",
    "start": "with mustRun",
    **dict.fromkeys(
        ("attach", "logs", "wait", "waitTimeout", "containerReadRefreshTimeoutMilliseconds"),
        "what the provider does while it makes it; nothing of it is kept",
    ),
    **dict.fromkeys(("destroyGraceSeconds", "removeVolumes"), "what the provider does when it goes"),
    "platform": "goes with the image's digest",
}
"""Inputs that no field reads, and why."""
