"""Convert an inspection of a Swarm service to the provider's properties. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from offline.standins.docker.container_state import mount_state
from offline.standins.docker.durations import format_duration
from offline.standins.docker.resources import label_list
from offline.standins.values import Properties


def service_state(inspection: Mapping[str, Any]) -> Properties:
    """Return the properties that a read sets."""
    spec = inspection["Spec"]
    replicated = spec["Mode"].get("Replicated")
    endpoint = (inspection.get("Endpoint") or {}).get("Spec") or spec.get("EndpointSpec") or {}
    # The endpoint also has the published ports that Docker chose itself.
    ports = (inspection.get("Endpoint") or {}).get("Ports") or endpoint.get("Ports") or []
    return {
        "id": inspection["ID"],
        "name": spec["Name"],
        "labels": label_list(spec.get("Labels")),
        "taskSpec": _task(spec["TaskTemplate"]),
        "mode": {
            "global": spec["Mode"].get("Global") is not None,
            "replicated": None if replicated is None else {"replicas": replicated.get("Replicas", 1)},
        },
        "updateConfig": _rollout(spec.get("UpdateConfig")),
        "rollbackConfig": _rollout(spec.get("RollbackConfig")),
        "endpointSpec": {
            "mode": endpoint.get("Mode") or "vip",
            "ports": [
                {
                    "name": port.get("Name") or "",
                    "protocol": port.get("Protocol") or "",
                    "targetPort": port.get("TargetPort") or 0,
                    "publishedPort": port.get("PublishedPort") or 0,
                    "publishMode": port.get("PublishMode") or "",
                }
                for port in ports
            ],
        },
    }


def _rollout(config: Mapping[str, Any] | None) -> Properties | None:
    if not config:
        return None
    return {
        "parallelism": config.get("Parallelism") or 0,
        "delay": format_duration(config.get("Delay") or 0),
        "failureAction": config.get("FailureAction") or "",
        "monitor": format_duration(config.get("Monitor") or 0),
        "maxFailureRatio": _ratio(config.get("MaxFailureRatio") or 0),
        "order": config.get("Order") or "",
    }


def _ratio(share: float) -> str:
    text = repr(float(share))
    return text if "e" not in text else f"{share:f}".rstrip("0")


def _task(task: Mapping[str, Any]) -> Properties:
    driver = task.get("LogDriver")
    return {
        "containerSpec": _container(task["ContainerSpec"]),
        "resources": _resources(task.get("Resources")),
        "restartPolicy": _restart(task.get("RestartPolicy")),
        "placement": _placement(task.get("Placement")),
        "forceUpdate": task.get("ForceUpdate") or 0,
        "runtime": task.get("Runtime") or "container",
        "networksAdvanceds": [
            {
                "id": network["Target"],
                "name": "",
                "aliases": network.get("Aliases") or [],
                "driverOpts": [f"{key}={value}" for key, value in (network.get("DriverOpts") or {}).items()],
            }
            for network in task.get("Networks") or []
        ],
        "logDriver": None if not driver else {"name": driver.get("Name") or "", "options": driver.get("Options") or {}},
    }


def _container(spec: Mapping[str, Any]) -> Properties:
    check = spec.get("Healthcheck") or {}
    dns = spec.get("DNSConfig") or {}
    return {
        "image": spec["Image"].split("@")[0] if "@" in spec["Image"] else spec["Image"],
        "labels": label_list(spec.get("Labels")),
        "commands": spec.get("Command") or [],
        "args": spec.get("Args") or [],
        "hostname": spec.get("Hostname") or "",
        "env": dict(entry.split("=", 1) for entry in spec.get("Env") or [] if "=" in entry),
        "dir": spec.get("Dir") or "",
        "user": spec.get("User") or "",
        "groups": spec.get("Groups") or [],
        "privileges": _privileges(spec.get("Privileges")),
        "readOnly": bool(spec.get("ReadOnly")),
        "mounts": [mount_state(mount) for mount in spec.get("Mounts") or []],
        "stopSignal": spec.get("StopSignal") or "",
        "stopGracePeriod": format_duration(spec.get("StopGracePeriod") or 0),
        "healthcheck": {
            "tests": check.get("Test") or [],
            "interval": format_duration(check.get("Interval") or 0),
            "timeout": format_duration(check.get("Timeout") or 0),
            "startPeriod": format_duration(check.get("StartPeriod") or 0),
            "retries": check.get("Retries") or 0,
        },
        "hosts": [{"ip": entry.split()[0], "host": entry.split()[1]} for entry in spec.get("Hosts") or []],
        "dnsConfig": {
            "nameservers": dns.get("Nameservers") or None,
            "searches": dns.get("Search") or None,
            "options": dns.get("Options") or None,
        },
        "secrets": [_file("Secret", entry) for entry in spec.get("Secrets") or []],
        "configs": [_file("Config", entry) for entry in spec.get("Configs") or []],
        "isolation": spec.get("Isolation") or "default",
        "sysctl": spec.get("Sysctls") or {},
        "capAdds": spec.get("CapabilityAdd") or [],
        "capDrops": spec.get("CapabilityDrop") or [],
        "init": bool(spec.get("Init")),
    }


def _file(kind: str, entry: Mapping[str, Any]) -> Properties:
    key = kind.lower()
    target = entry.get("File") or {}
    return {
        f"{key}Id": entry[f"{kind}ID"],
        f"{key}Name": entry.get(f"{kind}Name") or "",
        "fileName": target.get("Name") or "",
        "fileUid": target.get("UID") or "",
        "fileGid": target.get("GID") or "",
        "fileMode": target.get("Mode") or 0,
    }


def _privileges(entry: Mapping[str, Any] | None) -> Properties | None:
    if not entry:
        return None
    credential, context = entry.get("CredentialSpec"), entry.get("SELinuxContext")
    names = {"disable": "Disable", "user": "User", "role": "Role", "type": "Type", "level": "Level"}
    return {
        "credentialSpec": None
        if not credential
        else {"file": credential.get("File") or "", "registry": credential.get("Registry") or ""},
        "seLinuxContext": None if not context else {key: context.get(name) for key, name in names.items()},
    }


def _resources(entry: Mapping[str, Any] | None) -> Properties | None:
    if entry is None:
        return None
    limits, reservation = entry.get("Limits"), entry.get("Reservations")
    return {
        "limits": None if not limits else _amounts(limits),
        "reservation": None
        if not reservation
        else _amounts(reservation) | {"genericResources": _generic(reservation.get("GenericResources"))},
    }


def _amounts(entry: Mapping[str, Any]) -> Properties:
    return {"nanoCpus": entry.get("NanoCPUs") or 0, "memoryBytes": entry.get("MemoryBytes") or 0}


def _generic(entries: list[Mapping[str, Any]] | None) -> Properties | None:
    if not entries:
        return None
    named = [entry["NamedResourceSpec"] for entry in entries if entry.get("NamedResourceSpec")]
    discrete = [entry["DiscreteResourceSpec"] for entry in entries if entry.get("DiscreteResourceSpec")]
    return {
        "namedResourcesSpecs": [f"{spec['Kind']}={spec['Value']}" for spec in named],
        "discreteResourcesSpecs": [f"{spec['Kind']}={spec['Value']}" for spec in discrete],
    }


def _restart(entry: Mapping[str, Any] | None) -> Properties | None:
    if entry is None:
        return None
    return {
        "condition": entry.get("Condition") or "",
        "delay": format_duration(entry["Delay"]) if entry.get("Delay") is not None else "",
        "maxAttempts": entry.get("MaxAttempts") or 0,
        "window": format_duration(entry["Window"]) if entry.get("Window") is not None else "",
    }


def _placement(entry: Mapping[str, Any] | None) -> Properties | None:
    if entry is None:
        return None
    preferences = [item["Spread"]["SpreadDescriptor"] for item in entry.get("Preferences") or []]
    return {
        "constraints": entry.get("Constraints") or [],
        "prefs": preferences,
        "maxReplicas": entry.get("MaxReplicas") or 0,
        "platforms": [
            {"architecture": platform.get("Architecture") or "", "os": platform.get("OS") or ""}
            for platform in entry.get("Platforms") or []
        ],
    }
