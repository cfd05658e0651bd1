"""Convert an inspection of a container to the properties that a read sets. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import Any

from offline.standins.docker.container_spec import MEGABYTE, NANO
from offline.standins.docker.durations import format_duration
from offline.standins.values import Properties


def container_state(inspection: Mapping[str, Any], prior: Mapping[str, Any]) -> Properties:
    """Return the properties that a read sets; all others (env, labels, networks, uploads …) keep their prior values.

    `prior` is the state so far: some properties are read back only if they were declared.
    """
    config, host = inspection["Config"], inspection["HostConfig"]
    result = {
        "id": inspection["Id"],
        "name": inspection["Name"].lstrip("/"),
        "rm": bool(host.get("AutoRemove")),
        "readOnly": bool(host.get("ReadonlyRootfs")),
        "image": inspection["Image"] if str(prior.get("image")).startswith("sha256:") else config["Image"],
        "hostname": config.get("Hostname") or "",
        "domainname": config.get("Domainname") or "",
        "command": config.get("Cmd") or [],
        "entrypoints": config.get("Entrypoint") or [],
        "user": config.get("User") or "",
        "workingDir": config.get("WorkingDir") or "",
        "tty": bool(config.get("Tty")),
        "stdinOpen": bool(config.get("OpenStdin")),
        "stopSignal": config.get("StopSignal") or "",
        "stopTimeout": config.get("StopTimeout") or 0,
        "dns": host.get("Dns") or [],
        "dnsOpts": host.get("DnsOptions") or [],
        "dnsSearches": host.get("DnsSearch") or [],
        "securityOpts": host.get("SecurityOpt") or [],
        "publishAllPorts": bool(host.get("PublishAllPorts")),
        "restart": host["RestartPolicy"].get("Name") or "",
        "maxRetryCount": host["RestartPolicy"].get("MaximumRetryCount") or 0,
        "init": bool(host.get("Init")),
        "runtime": host.get("Runtime") or "",
        "platform": inspection.get("Platform") or "",
        "mounts": [mount_state(mount) for mount in host.get("Mounts") or []],
        "tmpfs": host.get("Tmpfs") or {},
        "hosts": [_extra_host(entry) for entry in host.get("ExtraHosts") or []],
        "privileged": bool(host.get("Privileged")),
        "shmSize": (host.get("ShmSize") or 0) // MEGABYTE,
        "logDriver": host["LogConfig"].get("Type") or "",
        "logOpts": (host["LogConfig"].get("Config") or {}) if prior.get("logOpts") else {},
        "storageOpts": host.get("StorageOpt") or {},
        "networkMode": host.get("NetworkMode") or "",
        "usernsMode": host.get("UsernsMode") or "",
        "sysctls": host.get("Sysctls") or {},
        "ipcMode": host.get("IpcMode") or "",
        "groupAdds": host.get("GroupAdd") or [],
        **_limits(host),
        **_networks(inspection, prior),
        **_only_if_declared(host, prior),
    }
    if host.get("CapAdd") or host.get("CapDrop"):
        result["capabilities"] = {"adds": host.get("CapAdd") or [], "drops": host.get("CapDrop") or []}
    if check := config.get("Healthcheck"):
        result["healthcheck"] = _healthcheck(check)
    if not inspection["State"]["Running"]:
        result["exitCode"] = inspection["State"]["ExitCode"]
        if prior.get("mustRun"):
            # Appears as a change in the next plan, whose update starts the container.
            result["mustRun"] = False
    return result


def _limits(host: Mapping[str, Any]) -> Properties:
    swap = host.get("MemorySwap") or 0
    result = {
        "memory": (host.get("Memory") or 0) // MEGABYTE,
        "memoryReservation": (host.get("MemoryReservation") or 0) // MEGABYTE,
        "memorySwap": swap // MEGABYTE if swap > 0 else swap,
        "cpuShares": host.get("CpuShares") or 0,
        "cpuSet": host.get("CpusetCpus") or "",
        "deviceReadBps": _throttles(host.get("BlkioDeviceReadBps")),
        "deviceReadIops": _throttles(host.get("BlkioDeviceReadIOps")),
        "deviceWriteBps": _throttles(host.get("BlkioDeviceWriteBps")),
        "deviceWriteIops": _throttles(host.get("BlkioDeviceWriteIOps")),
    }
    if host.get("NanoCpus"):
        result["cpus"] = format_cpus(host["NanoCpus"])
    return result


def format_cpus(nano: int) -> str:
    """Format billionths of a core as the official plugin does, including its rounding of some values.

    1 core is `1.0`, half a core `0.5`; 0.05 becomes `0.1`, 10 becomes `10.`: such inputs show a change in every plan,
    as with the official plugin.
    """
    exact = f"{nano // NANO}.{nano % NANO:09d}"
    if exact.count("0") == 9:
        tenths = Fraction(nano * 10, NANO)
        rounded = (2 * tenths.numerator + tenths.denominator) // (2 * tenths.denominator)
        return f"{rounded // 10}.{rounded % 10}"
    return exact.rstrip("0")


def _throttles(entries: list[Mapping[str, Any]] | None) -> list[Properties]:
    return [{"path": entry["Path"], "rate": entry["Rate"]} for entry in entries or []]


def _extra_host(entry: str) -> Properties:
    """Split an extra host like the official plugin, which takes the part between the first two colons as address."""
    parts = entry.split(":")
    return {"host": parts[0], "ip": parts[1]}


def _healthcheck(check: Mapping[str, Any]) -> Properties:
    return {
        "tests": check.get("Test") or [],
        "interval": format_duration(check.get("Interval") or 0),
        "timeout": format_duration(check.get("Timeout") or 0),
        "startPeriod": format_duration(check.get("StartPeriod") or 0),
        "startInterval": format_duration(check.get("StartInterval") or 0),
        "retries": check.get("Retries") or 0,
    }


def mount_state(mount: Mapping[str, Any]) -> Properties:
    """Return a mount of a container or a service as the state holds it."""
    result: Properties = {
        "target": mount["Target"],
        "source": mount.get("Source") or "",
        "type": mount["Type"],
        "readOnly": bool(mount.get("ReadOnly")),
        "bindOptions": None,
        "volumeOptions": None,
        "tmpfsOptions": None,
    }
    if (options := mount.get("BindOptions")) is not None:
        result["bindOptions"] = {"propagation": options.get("Propagation") or ""}
    if (options := mount.get("VolumeOptions")) is not None:
        driver = options.get("DriverConfig") or {}
        result["volumeOptions"] = {
            "noCopy": bool(options.get("NoCopy")),
            "labels": [{"label": key, "value": value} for key, value in sorted((options.get("Labels") or {}).items())],
            "driverName": driver.get("Name") or "",
            "driverOptions": driver.get("Options") or {},
            "subpath": options.get("Subpath") or "",
        }
    if (options := mount.get("TmpfsOptions")) is not None:
        result["tmpfsOptions"] = {
            "sizeBytes": options.get("SizeBytes") or 0,
            "mode": options.get("Mode") or 0,
        }
    return result


def _networks(inspection: Mapping[str, Any], prior: Mapping[str, Any]) -> Properties:
    settings = inspection.get("NetworkSettings") or {}
    result: Properties = {
        "bridge": settings.get("Bridge") or "",
        "networkDatas": [
            {
                "networkName": name,
                "ipAddress": network.get("IPAddress") or "",
                "ipPrefixLength": network.get("IPPrefixLen") or 0,
                "gateway": network.get("Gateway") or "",
                "globalIpv6Address": network.get("GlobalIPv6Address") or "",
                "globalIpv6PrefixLength": network.get("GlobalIPv6PrefixLen") or 0,
                "ipv6Gateway": network.get("IPv6Gateway") or "",
                "macAddress": network.get("MacAddress") or "",
            }
            for name, network in sorted((settings.get("Networks") or {}).items())
        ],
    }
    # A container that must run and does not has no ports, which is drift; a finished job keeps its declared ports.
    if prior.get("ports") and (inspection["State"]["Running"] or prior.get("mustRun")):
        result["ports"] = _ports(settings.get("Ports") or {})
    return result


def _ports(ports: Mapping[str, Any]) -> list[Properties]:
    result = []
    for port, bindings in sorted(ports.items(), key=lambda item: int(item[0].split("/")[0])):
        internal, protocol = port.split("/")
        result += [
            {
                "internal": int(internal),
                "external": int(binding["HostPort"]),
                "ip": binding["HostIp"],
                "protocol": protocol,
            }
            for binding in bindings or []
        ]
    return result


def _only_if_declared(host: Mapping[str, Any], prior: Mapping[str, Any]) -> Properties:
    """Return the properties that are read back only if they were declared."""
    result: Properties = {}
    if prior.get("ulimits"):
        result["ulimits"] = [
            {"name": entry["Name"], "soft": entry["Soft"], "hard": entry["Hard"]} for entry in host.get("Ulimits") or []
        ]
    if prior.get("devices"):
        with_path = {entry["hostPath"] for entry in prior["devices"] if entry.get("containerPath")}
        result["devices"] = [
            {
                "hostPath": entry["PathOnHost"],
                "containerPath": entry["PathInContainer"] if entry["PathOnHost"] in with_path else "",
                "permissions": entry["CgroupPermissions"],
            }
            for entry in host.get("Devices") or []
        ]
    if prior.get("pidMode"):
        result["pidMode"] = host.get("PidMode") or ""
    requests = host.get("DeviceRequests") or []
    if prior.get("gpus"):
        result["gpus"] = _gpus(requests, prior["gpus"])
    elif prior.get("deviceRequests"):
        result["deviceRequests"] = [
            {
                "driver": entry.get("Driver") or "",
                "count": entry.get("Count") or 0,
                "deviceIds": entry.get("DeviceIDs") or [],
                "capabilities": (entry.get("Capabilities") or [[]])[0],
                "options": entry.get("Options") or {},
            }
            for entry in requests
        ]
    return result


def _gpus(requests: list[Mapping[str, Any]], prior: str) -> str:
    if not requests:
        return ""
    if len(requests) == 1 and requests[0].get("DeviceIDs"):
        return "device=" + ",".join(requests[0]["DeviceIDs"])
    return "all" if len(requests) == 1 and requests[0].get("Count") == -1 else prior
