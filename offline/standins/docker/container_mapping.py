"""Convert a container between the provider's properties and the Docker API's JSON. Pure.

`schema.json` maps most properties; the code here is for those that the official plugin treats in a special manner.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from offline.standins.docker.api import failed
from offline.standins.docker.conversion import from_api, to_api
from offline.standins.docker.schema import fields_of
from offline.standins.values import Properties

FIELDS = fields_of("Container")

CHANGED_IN_PLACE = (
    *("restart", "maxRetryCount", "cpuShares", "memory", "memoryReservation", "cpuSet", "memorySwap"),
    *("deviceReadBps", "deviceReadIops", "deviceWriteBps", "deviceWriteIops"),
)


def container_body(values: Mapping[str, Any]) -> Properties:
    """Return the request body that creates the container, without networks.

    Raises ProviderError for inputs that the official plugin rejects only at this point: an empty string in `command`,
    `cpus` that is not a number, a volume without a path.
    """
    if any(not part for part in values.get("command") or []):
        raise failed("values for command may not be empty")
    request = to_api(FIELDS, values)
    config: Properties = request.get("Config", {})
    host: Properties = request.get("HostConfig", {})
    config["ExposedPorts"], host["PortBindings"] = _port_bindings(values.get("ports") or [])
    config["Volumes"], host["Binds"], host["VolumesFrom"] = _binds(values.get("volumes") or [])
    if "NanoCpus" in host:
        # `cpus` takes precedence.
        host.pop("CpuPeriod", None)
        host.pop("CpuQuota", None)
    if "systempaths=unconfined" in host.get("SecurityOpt", []):
        # The client handles this option: it clears the masked and the read-only paths.
        host["SecurityOpt"] = [option for option in host["SecurityOpt"] if option != "systempaths=unconfined"]
        host |= {"MaskedPaths": [], "ReadonlyPaths": []}
    if gpus := (values.get("gpus") or "").strip(" \"'"):
        host["DeviceRequests"] = [_gpu_request(gpus)]
    # State explicitly whether there is an init process, instead of leaving it to Docker's default.
    return config | {"HostConfig": host | {"Init": bool(values.get("init"))}}


def limits(values: Mapping[str, Any]) -> Properties:
    """Return the request body that changes the resource limits and the restart policy in place."""
    return dict(to_api({name: FIELDS[name] for name in CHANGED_IN_PLACE}, values).get("HostConfig", {}))


def endpoint(network: Mapping[str, Any]) -> Properties:
    """Return the settings with which a container joins a network."""
    return to_api(FIELDS["networksAdvanced"].fields, network)


def _port_bindings(ports: list[Properties]) -> tuple[Properties, dict[str, list[Properties]]]:
    bindings: dict[str, list[Properties]] = {}
    for port in ports:
        binding = {"HostPort": str(port.get("external") or 0), "HostIp": port.get("ip") or ""}
        bindings.setdefault(f"{port['internal']}/{port.get('protocol') or 'tcp'}", []).append(binding)
    return {port: {} for port in bindings}, bindings


def _binds(volumes: list[Properties]) -> tuple[Properties, list[str], list[str]]:
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


def _gpu_request(gpus: str) -> Properties:
    request: Properties = {"Capabilities": [["gpu"]]}
    if gpus.startswith("device="):
        return request | {"DeviceIDs": gpus.removeprefix("device=").split(",")}
    return request | {"Count": -1 if gpus == "all" else int(gpus)}


def container_state(inspection: Mapping[str, Any], prior: Mapping[str, Any]) -> Properties:
    """Return the properties that a read sets; all others (env, labels, networks, uploads …) keep their prior values.

    `prior` is the state so far: some properties are read back only if they were declared.
    """
    state, networks = inspection["State"], inspection.get("NetworkSettings") or {}
    result: Properties = {"logOpts": {}} | from_api(FIELDS, inspection, prior)
    result |= {
        "id": inspection["Id"],
        "name": inspection["Name"].lstrip("/"),
        "networkDatas": [
            from_api(FIELDS["networkDatas"].fields, network) | {"networkName": name}
            for name, network in sorted((networks.get("Networks") or {}).items())
        ],
    }
    for name in ("capabilities", "cpus", "healthcheck"):
        if not result[name] or (name == "capabilities" and not any(result[name].values())):
            del result[name]
    if str(prior.get("image")).startswith("sha256:"):
        result["image"] = inspection["Image"]
    with_path = {device["hostPath"] for device in prior.get("devices") or [] if device.get("containerPath")}
    for device in result.get("devices", []):
        device["containerPath"] = device["containerPath"] if device["hostPath"] in with_path else ""
    if prior.get("gpus"):
        result.pop("deviceRequests", None)
        result["gpus"] = _gpus(inspection["HostConfig"].get("DeviceRequests") or [], prior["gpus"])
    # A container that must run and does not has no ports, which is drift; a finished job keeps its declared ports.
    if prior.get("ports") and (state["Running"] or prior.get("mustRun")):
        result["ports"] = _published_ports(networks.get("Ports") or {})
    if not state["Running"]:
        result["exitCode"] = state["ExitCode"]
        if prior.get("mustRun"):
            # Appears as a change in the next plan, whose update starts the container.
            result["mustRun"] = False
    return result


def _published_ports(ports: Mapping[str, Any]) -> list[Properties]:
    result = []
    for port, bindings in sorted(ports.items(), key=lambda item: int(item[0].split("/")[0])):
        internal, protocol = port.split("/")
        for binding in bindings or []:
            published = {"external": int(binding["HostPort"]), "ip": binding["HostIp"]}
            result.append({"internal": int(internal), **published, "protocol": protocol})
    return result


def _gpus(requests: list[Mapping[str, Any]], prior: str) -> str:
    if not requests:
        return ""
    if len(requests) == 1 and requests[0].get("DeviceIDs"):
        return "device=" + ",".join(requests[0]["DeviceIDs"])
    return "all" if len(requests) == 1 and requests[0].get("Count") == -1 else prior
