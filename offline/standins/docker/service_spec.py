"""Convert a Swarm service's inputs to the request of the Docker API. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from offline.standins.docker.container_spec import healthcheck, labels, mount
from offline.standins.docker.durations import parse_duration
from offline.standins.values import Properties


def service_body(values: Mapping[str, Any]) -> Properties:
    """Return the request body that creates or updates the service."""
    body = {
        "Name": values["name"],
        "Labels": labels(values.get("labels")),
        "TaskTemplate": _task(values["taskSpec"]),
        "Mode": _mode(values.get("mode")),
        "UpdateConfig": _rollout(values.get("updateConfig")),
        "RollbackConfig": _rollout(values.get("rollbackConfig")),
        "EndpointSpec": _endpoint(values.get("endpointSpec")),
    }
    return _without_none(body)


def _without_none(values: Mapping[str, Any]) -> Properties:
    return {key: value for key, value in values.items() if value is not None}


def _duration(text: str | None) -> int | None:
    return parse_duration(text) if text else None


def _mode(mode: Mapping[str, Any] | None) -> Properties:
    if mode and mode.get("global"):
        return {"Global": {}}
    replicas = ((mode or {}).get("replicated") or {}).get("replicas")
    return {"Replicated": {"Replicas": 1 if replicas is None else replicas}}


def _rollout(config: Mapping[str, Any] | None) -> Properties | None:
    if not config:
        return None
    return {
        "Parallelism": config.get("parallelism") or 0,
        "Delay": parse_duration(config["delay"]),
        "FailureAction": config["failureAction"],
        "Monitor": parse_duration(config["monitor"]),
        "MaxFailureRatio": float(config["maxFailureRatio"]),
        "Order": config["order"],
    }


def _endpoint(endpoint: Mapping[str, Any] | None) -> Properties | None:
    if not endpoint:
        return None
    ports = [
        {
            "Name": port.get("name") or "",
            "Protocol": port.get("protocol") or "tcp",
            "TargetPort": port["targetPort"],
            "PublishedPort": port.get("publishedPort") or 0,
            "PublishMode": port.get("publishMode") or "ingress",
        }
        for port in endpoint.get("ports") or []
    ]
    return _without_none({"Mode": endpoint.get("mode") or None, "Ports": ports or None})


def _task(task: Mapping[str, Any]) -> Properties:
    body = {
        "ContainerSpec": _container(task["containerSpec"]),
        "Resources": _resources(task.get("resources")),
        "RestartPolicy": _restart(task.get("restartPolicy")),
        "Placement": _placement(task.get("placement")),
        "ForceUpdate": task.get("forceUpdate") or 0,
        "Runtime": task.get("runtime") or None,
        "Networks": [_network(entry) for entry in task.get("networksAdvanceds") or []] or None,
        "LogDriver": None,
    }
    if driver := task.get("logDriver"):
        body["LogDriver"] = {"Name": driver["name"], "Options": driver.get("options") or {}}
    return _without_none(body)


def _network(entry: Mapping[str, Any]) -> Properties:
    options = dict(option.split("=", 1) for option in entry.get("driverOpts") or [] if "=" in option)
    return {
        "Target": entry.get("id") or entry.get("name"),
        "Aliases": entry.get("aliases") or [],
        "DriverOpts": options,
    }


def _container(spec: Mapping[str, Any]) -> Properties:
    body = {
        "Image": spec["image"],
        "Labels": labels(spec.get("labels")),
        "Command": spec.get("commands") or None,
        "Args": spec.get("args") or None,
        "Hostname": spec.get("hostname") or None,
        "Env": [f"{key}={value}" for key, value in sorted((spec.get("env") or {}).items())] or None,
        "Dir": spec.get("dir") or None,
        "User": spec.get("user") or None,
        "Groups": spec.get("groups") or None,
        "Privileges": _privileges(spec.get("privileges")),
        "ReadOnly": bool(spec.get("readOnly")),
        "Mounts": [mount(entry) for entry in spec.get("mounts") or []] or None,
        "StopSignal": spec.get("stopSignal") or None,
        "StopGracePeriod": _duration(spec.get("stopGracePeriod")),
        "Healthcheck": healthcheck(spec.get("healthcheck")) or None,
        "Hosts": [f"{entry['ip']} {entry['host']}" for entry in spec.get("hosts") or []] or None,
        "DNSConfig": _dns(spec.get("dnsConfig")),
        "Secrets": [_file("Secret", entry) for entry in spec.get("secrets") or []] or None,
        "Configs": [_file("Config", entry) for entry in spec.get("configs") or []] or None,
        "Isolation": spec.get("isolation") or None,
        "Sysctls": spec.get("sysctl") or None,
        "CapabilityAdd": spec.get("capAdds") or None,
        "CapabilityDrop": spec.get("capDrops") or None,
        "Init": spec.get("init"),
    }
    return _without_none(body)


def _file(kind: str, entry: Mapping[str, Any]) -> Properties:
    key = kind.lower()
    return {
        f"{kind}ID": entry[f"{key}Id"],
        f"{kind}Name": entry.get(f"{key}Name") or "",
        "File": {
            "Name": entry["fileName"],
            "UID": entry.get("fileUid") or "0",
            "GID": entry.get("fileGid") or "0",
            "Mode": entry.get("fileMode") or 0,
        },
    }


def _privileges(entry: Mapping[str, Any] | None) -> Properties | None:
    if not entry:
        return None
    result: Properties = {}
    if credential := entry.get("credentialSpec"):
        result["CredentialSpec"] = {
            "File": credential.get("file") or "",
            "Registry": credential.get("registry") or "",
        }
    if context := entry.get("seLinuxContext"):
        names = {"Disable": "disable", "User": "user", "Role": "role", "Type": "type", "Level": "level"}
        result["SELinuxContext"] = {key: context[name] for key, name in names.items() if context.get(name) is not None}
    return result


def _dns(entry: Mapping[str, Any] | None) -> Properties | None:
    if not entry or not entry.get("nameservers"):
        return None
    return {
        "Nameservers": entry["nameservers"],
        "Search": entry.get("searches") or [],
        "Options": entry.get("options") or [],
    }


def _resources(entry: Mapping[str, Any] | None) -> Properties:
    result: Properties = {}
    entry = entry or {}
    if limits := entry.get("limits"):
        result["Limits"] = _amounts(limits)
    if reservation := entry.get("reservation"):
        result["Reservations"] = _amounts(reservation)
        if generic := reservation.get("genericResources"):
            result["Reservations"]["GenericResources"] = _generic(generic)
    return result


def _amounts(entry: Mapping[str, Any]) -> Properties:
    return {"NanoCPUs": entry.get("nanoCpus") or 0, "MemoryBytes": entry.get("memoryBytes") or 0}


def _generic(entry: Mapping[str, Any]) -> list[Properties]:
    named = [text.split("=", 1) for text in entry.get("namedResourcesSpecs") or []]
    discrete = [text.split("=", 1) for text in entry.get("discreteResourcesSpecs") or []]
    return [{"NamedResourceSpec": {"Kind": kind, "Value": value}} for kind, value in named] + [
        {"DiscreteResourceSpec": {"Kind": kind, "Value": int(value)}} for kind, value in discrete
    ]


def _restart(entry: Mapping[str, Any] | None) -> Properties:
    entry = entry or {}
    return _without_none(
        {
            "Condition": entry.get("condition") or None,
            "Delay": _duration(entry.get("delay")),
            "MaxAttempts": entry.get("maxAttempts"),
            "Window": _duration(entry.get("window")),
        }
    )


def _placement(entry: Mapping[str, Any] | None) -> Properties:
    entry = entry or {}
    return {
        "Constraints": entry.get("constraints") or [],
        "Preferences": [{"Spread": {"SpreadDescriptor": text}} for text in entry.get("prefs") or []],
        "MaxReplicas": entry.get("maxReplicas") or 0,
        "Platforms": [
            {"Architecture": platform["architecture"], "OS": platform["os"]}
            for platform in entry.get("platforms") or []
        ],
    }
