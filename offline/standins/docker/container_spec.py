"""Convert a container's inputs to the request of the Docker API. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import Any

from offline.standins.docker.durations import parse_duration
from offline.standins.docker.engine import failed
from offline.standins.values import Properties

MEGABYTE = 1024 * 1024
NANO = 1_000_000_000


def container_body(values: Mapping[str, Any]) -> Properties:
    """Return the request body that creates the container, without networks.

    Raises ProviderError for inputs that the official plugin rejects only at this point: an empty string in `command`,
    `cpus` that is not a number, a volume without a path.
    """
    if any(not part for part in values.get("command") or []):
        raise failed("values for command may not be empty")
    exposed, bindings = _ports(values.get("ports") or [])
    paths, binds, volumes_from = _volumes(values.get("volumes") or [])
    body = {
        "Image": values["image"],
        "Hostname": values.get("hostname"),
        "Domainname": values.get("domainname"),
        "Tty": values.get("tty"),
        "OpenStdin": values.get("stdinOpen"),
        "StopSignal": values.get("stopSignal"),
        "StopTimeout": values.get("stopTimeout"),
        "Env": values.get("envs"),
        "Cmd": values.get("command"),
        "Entrypoint": values.get("entrypoints"),
        "User": values.get("user"),
        "WorkingDir": values.get("workingDir"),
        "Labels": labels(values.get("labels")),
        "Healthcheck": healthcheck(values.get("healthcheck")),
        "ExposedPorts": exposed,
        "Volumes": paths,
    }
    host = _host_config(values) | {"PortBindings": bindings, "Binds": binds, "VolumesFrom": volumes_from}
    # State explicitly whether there is an init process, instead of leaving it to Docker's default.
    return _without_empty(body) | {"HostConfig": _without_empty(host) | {"Init": bool(values.get("init"))}}


def _without_empty(values: Mapping[str, Any]) -> Properties:
    """Leave out values that Terraform treats as not set."""
    return {key: value for key, value in values.items() if value not in (None, "", 0, False, [], {})}


def _host_config(values: Mapping[str, Any]) -> Properties:
    security, masked, read_only = _security(values.get("securityOpts") or [])
    capabilities = values.get("capabilities") or {}
    config = {
        "Privileged": values.get("privileged"),
        "PublishAllPorts": values.get("publishAllPorts"),
        "RestartPolicy": _without_empty(
            {"Name": values.get("restart"), "MaximumRetryCount": values.get("maxRetryCount")}
        ),
        "Runtime": values.get("runtime"),
        "Mounts": [mount(entry) for entry in values.get("mounts") or []],
        "AutoRemove": values.get("rm"),
        "ReadonlyRootfs": values.get("readOnly"),
        "LogConfig": _without_empty({"Type": values.get("logDriver"), "Config": values.get("logOpts")}),
        "Tmpfs": values.get("tmpfs"),
        "ExtraHosts": [f"{entry['host']}:{entry['ip']}" for entry in values.get("hosts") or []],
        "Ulimits": [
            {"Name": entry["name"], "Soft": entry["soft"], "Hard": entry["hard"]}
            for entry in values.get("ulimits") or []
        ],
        "CapAdd": capabilities.get("adds"),
        "CapDrop": capabilities.get("drops"),
        "Devices": [_device(entry) for entry in values.get("devices") or []],
        "DeviceRequests": _device_requests(values),
        "Dns": values.get("dns"),
        "DnsOptions": values.get("dnsOpts"),
        "DnsSearch": values.get("dnsSearches"),
        "SecurityOpt": security,
        "NetworkMode": values.get("networkMode"),
        "UsernsMode": values.get("usernsMode"),
        "PidMode": values.get("pidMode"),
        "Sysctls": values.get("sysctls"),
        "IpcMode": values.get("ipcMode"),
        "GroupAdd": values.get("groupAdds"),
        "CgroupnsMode": values.get("cgroupnsMode"),
        "CgroupParent": values.get("cgroupParent"),
        "StorageOpt": values.get("storageOpts"),
        "ShmSize": (values.get("shmSize") or 0) * MEGABYTE,
        **limits(values),
        **_cpus(values),
    }
    if masked is not None:
        return _without_empty(config) | {"MaskedPaths": masked, "ReadonlyPaths": read_only}
    return config


def limits(values: Mapping[str, Any]) -> Properties:
    """Return the resource limits, which can also be changed in place."""
    swap = values.get("memorySwap") or 0
    return {
        "Memory": (values.get("memory") or 0) * MEGABYTE,
        "MemoryReservation": (values.get("memoryReservation") or 0) * MEGABYTE,
        "MemorySwap": swap * MEGABYTE if swap > 0 else swap,
        "CpuShares": values.get("cpuShares") or 0,
        "CpusetCpus": values.get("cpuSet") or "",
        "BlkioDeviceReadBps": _throttles(values.get("deviceReadBps")),
        "BlkioDeviceReadIOps": _throttles(values.get("deviceReadIops")),
        "BlkioDeviceWriteBps": _throttles(values.get("deviceWriteBps")),
        "BlkioDeviceWriteIOps": _throttles(values.get("deviceWriteIops")),
    }


def _throttles(entries: list[Properties] | None) -> list[Properties]:
    return [{"Path": entry["path"], "Rate": entry["rate"]} for entry in entries or []]


def _cpus(values: Mapping[str, Any]) -> Properties:
    """Return the CPU limit; `cpus` takes precedence over period and quota."""
    if not values.get("cpus"):
        return {"CpuPeriod": values.get("cpuPeriod"), "CpuQuota": values.get("cpuQuota")}
    try:
        nano = Fraction(values["cpus"]) * NANO
    except ValueError as error:
        raise failed(f"Error setting cpus: failed to parse {values['cpus']} as a rational number") from error
    if nano.denominator != 1:
        raise failed("Error setting cpus: value is too precise")
    return {"NanoCpus": int(nano)}


def _security(options: list[str]) -> tuple[list[str], list[str] | None, list[str] | None]:
    """Split off `systempaths=unconfined`, which the client handles: it clears the masked and read-only paths."""
    rest = [option for option in options if option != "systempaths=unconfined"]
    return (rest, None, None) if rest == options else (rest, [], [])


def _ports(ports: list[Properties]) -> tuple[Properties, dict[str, list[Properties]]]:
    bindings: dict[str, list[Properties]] = {}
    for port in ports:
        binding = {"HostPort": str(port.get("external") or 0), "HostIp": port.get("ip") or ""}
        bindings.setdefault(f"{port['internal']}/{port.get('protocol') or 'tcp'}", []).append(binding)
    return {port: {} for port in bindings}, bindings


def _volumes(volumes: list[Properties]) -> tuple[Properties, list[str], list[str]]:
    paths: Properties = {}
    binds: list[str] = []
    volumes_from: list[str] = []
    for volume in volumes:
        path, origin = volume.get("containerPath"), volume.get("fromContainer")
        source = volume.get("hostPath") or volume.get("volumeName")
        if not path and not origin:
            raise failed("Unable to parse volumes: volume entry without container path or source container")
        if path and origin:
            raise failed("Unable to parse volumes: both a container and a path specified in a volume entry")
        if origin:
            volumes_from.append(origin)
            continue
        paths[str(path)] = {}
        if source:
            mode = "ro" if volume.get("readOnly") else "rw"
            relabel = f",{volume['selinuxRelabel']}" if volume.get("selinuxRelabel") else ""
            binds.append(f"{source}:{path}:{mode}{relabel}")
    return paths, binds, volumes_from


def mount(entry: Mapping[str, Any]) -> Properties:
    """Return a mount of a container or a service."""
    result: Properties = {
        "Type": entry["type"],
        "Target": entry["target"],
        "Source": entry.get("source") or "",
        "ReadOnly": bool(entry.get("readOnly")),
    }
    if entry["type"] == "bind" and (options := entry.get("bindOptions")):
        result["BindOptions"] = _without_empty({"Propagation": options.get("propagation")})
    if entry["type"] == "volume" and (options := entry.get("volumeOptions")):
        driver = _without_empty({"Name": options.get("driverName"), "Options": options.get("driverOptions")})
        volume_options = {"NoCopy": options.get("noCopy"), "Labels": labels(options.get("labels"))}
        result["VolumeOptions"] = _without_empty(
            volume_options | {"DriverConfig": driver, "Subpath": options.get("subpath")}
        )
    if entry["type"] == "tmpfs" and (options := entry.get("tmpfsOptions")):
        result["TmpfsOptions"] = _without_empty({"SizeBytes": options.get("sizeBytes"), "Mode": options.get("mode")})
    return result


def labels(entries: list[Properties] | None) -> dict[str, str]:
    """Return labels as a map."""
    return {entry["label"]: entry["value"] for entry in entries or []}


def healthcheck(check: Mapping[str, Any] | None) -> Properties | None:
    """Return a health check with times in nanoseconds."""
    if not check:
        return None
    times = {
        "Interval": "interval",
        "Timeout": "timeout",
        "StartPeriod": "startPeriod",
        "StartInterval": "startInterval",
    }
    spelled = {key: parse_duration(check.get(name) or "0s") for key, name in times.items()}
    return _without_empty({"Test": check.get("tests"), "Retries": check.get("retries"), **spelled})


def _device(entry: Mapping[str, Any]) -> Properties:
    return {
        "PathOnHost": entry["hostPath"],
        "PathInContainer": entry.get("containerPath") or entry["hostPath"],
        "CgroupPermissions": entry.get("permissions") or "rwm",
    }


def _device_requests(values: Mapping[str, Any]) -> list[Properties]:
    if gpus := (values.get("gpus") or "").strip(" \"'"):
        request: Properties = {"Capabilities": [["gpu"]]}
        if gpus.startswith("device="):
            return [request | {"DeviceIDs": gpus.removeprefix("device=").split(",")}]
        return [request | {"Count": -1 if gpus == "all" else int(gpus)}]
    return [
        {
            "Driver": entry.get("driver") or "cdi",
            "Count": entry.get("count") or 0,
            "DeviceIDs": entry.get("deviceIds") or [],
            "Capabilities": [entry.get("capabilities") or []],
            "Options": entry.get("options") or {},
        }
        for entry in values.get("deviceRequests") or []
    ]


def endpoint(entry: Mapping[str, Any]) -> Properties:
    """Return the settings with which a container joins a network."""
    address = {
        "IPv4Address": entry.get("ipv4Address"),
        "IPv6Address": entry.get("ipv6Address"),
        "LinkLocalIPs": entry.get("linkLocalIps"),
    }
    options = dict(option.split("=", 1) for option in entry.get("driverOpts") or [] if "=" in option)
    settings = {"Aliases": entry.get("aliases"), "MacAddress": entry.get("macAddress"), "DriverOpts": options}
    return _without_empty(settings | {"GwPriority": entry.get("gwPriority"), "IPAMConfig": _without_empty(address)})
