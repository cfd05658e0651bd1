"""Networks, volumes and images: create, read, delete. Only an image's settings can be updated in place."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from offline.standins.docker.container_spec import labels
from offline.standins.docker.engine import DockerApi, EngineError, failed
from offline.standins.values import Properties

REMOVAL_TIMEOUT = 30
"""Seconds to wait until a resource is no longer in use; the official plugin's figure."""


ALLOCATION_TIMEOUT = 10
"""Seconds to wait for a Swarm manager to allocate a network's addresses."""


def label_list(by_name: Mapping[str, str] | None) -> list[Properties]:
    """Return labels as a list, the form in the state."""
    return [{"label": key, "value": value} for key, value in sorted((by_name or {}).items())]


def create_network(engine: DockerApi, values: Properties, on_created: Callable[[str], None]) -> Properties | None:
    """Create a network."""
    ipam: Properties = {"Driver": values.get("ipamDriver") or "default"}
    if values.get("ipamConfigs"):
        ipam["Config"] = [
            {
                "Subnet": entry.get("subnet") or "",
                "IPRange": entry.get("ipRange") or "",
                "Gateway": entry.get("gateway") or "",
                "AuxiliaryAddresses": entry.get("auxAddress") or {},
            }
            for entry in values["ipamConfigs"]
        ]
    if values.get("ipamOptions"):
        ipam["Options"] = values["ipamOptions"]
    body = {
        "Name": values["name"],
        "CheckDuplicate": True,
        "Labels": labels(values.get("labels")),
        "Driver": values.get("driver") or "bridge",
        "Options": values.get("options") or {},
        "Internal": bool(values.get("internal")),
        "Attachable": bool(values.get("attachable")),
        "Ingress": bool(values.get("ingress")),
        "EnableIPv6": bool(values.get("ipv6")),
        "IPAM": ipam,
    }
    try:
        identity = engine.call("POST", "/networks/create", body)["Id"]
    except EngineError as error:
        raise failed(f"Unable to create network: {error}") from error
    on_created(identity)
    engine.until(lambda: _is_complete(engine, identity), ALLOCATION_TIMEOUT)
    return read_network(engine, identity, values)


def _is_complete(engine: DockerApi, identity: str) -> bool:
    """Tell whether a network is allocated, or gone: a Swarm network has no driver and no addresses at first."""
    network = engine.inspect(f"/networks/{identity}")
    return network is None or bool(network.get("Driver"))


def read_network(engine: DockerApi, identity: str, prior: Properties) -> Properties | None:
    """Read a network back; None when it is gone."""
    del prior
    network = engine.inspect(f"/networks/{identity}")
    if network is None:
        return None
    ipam = network.get("IPAM") or {}
    return {
        "id": identity,
        "name": network["Name"],
        "labels": label_list(network.get("Labels")),
        "driver": network["Driver"],
        "internal": bool(network.get("Internal")),
        "attachable": bool(network.get("Attachable")),
        "ingress": bool(network.get("Ingress")),
        "ipv6": bool(network.get("EnableIPv6")),
        "ipamDriver": ipam.get("Driver") or "",
        "ipamOptions": ipam.get("Options") or {},
        "scope": network["Scope"],
        "options": network.get("Options") or {},
        "ipamConfigs": [
            {
                "subnet": entry.get("Subnet") or "",
                "ipRange": entry.get("IPRange") or "",
                "gateway": entry.get("Gateway") or "",
                "auxAddress": entry.get("AuxiliaryAddresses") or {},
            }
            for entry in ipam.get("Config") or []
        ],
    }


def delete_network(engine: DockerApi, identity: str, prior: Properties) -> None:
    """Remove a network; wait up to REMOVAL_TIMEOUT for containers that are leaving it."""
    del prior
    _remove(engine, f"/networks/{identity}", {}, "has active endpoints", "Unable to remove network")


def create_volume(engine: DockerApi, values: Properties, on_created: Callable[[str], None]) -> Properties | None:
    """Create a volume; like Docker, reuse an existing one with that name."""
    body = {
        "Name": values["name"],
        "Labels": labels(values.get("labels")),
        "Driver": values.get("driver") or "local",
        "DriverOpts": values.get("driverOpts") or {},
    }
    try:
        name = engine.call("POST", "/volumes/create", body)["Name"]
    except EngineError as error:
        raise failed(f"Unable to create volume: {error}") from error
    on_created(name)
    return read_volume(engine, name, values)


def read_volume(engine: DockerApi, identity: str, prior: Properties) -> Properties | None:
    """Read a volume back; None when it is gone."""
    del prior
    volume = engine.inspect(f"/volumes/{identity}")
    if volume is None:
        return None
    return {
        "id": identity,
        "name": volume["Name"],
        "labels": label_list(volume.get("Labels")),
        "driver": volume["Driver"],
        "driverOpts": volume.get("Options") or {},
        "mountpoint": volume["Mountpoint"],
    }


def delete_volume(engine: DockerApi, identity: str, prior: Properties) -> None:
    """Remove a volume; wait up to REMOVAL_TIMEOUT for containers that are releasing it."""
    del prior
    _remove(engine, f"/volumes/{identity}", {"force": True}, "volume is in use", "Unable to remove volume")


def _remove(engine: DockerApi, path: str, params: Properties, in_use: str, doing: str) -> None:
    last = ""

    def removed() -> bool:
        nonlocal last
        try:
            engine.call("DELETE", path, params=params)
        except EngineError as error:
            last = str(error)
            if in_use in last:
                return False
            if error.status != 404:
                raise failed(f"{doing}: {error}") from error
        return True

    if not engine.until(removed, REMOVAL_TIMEOUT):
        raise failed(f"{doing}: {last}")


def create_image(engine: DockerApi, values: Properties, on_created: Callable[[str], None]) -> Properties | None:
    """Use the local image, else pull it."""
    image = engine.find_image(values["name"], values.get("platform") or "")
    on_created(image["Id"] + values["name"])
    return _image_state(image, values["name"])


def read_image(engine: DockerApi, identity: str, prior: Properties) -> Properties | None:
    """Look up an image by name; None when Docker does not have it."""
    del identity
    image = engine.inspect(f"/images/{prior['name']}/json")
    return None if image is None else _image_state(image, prior["name"])


def update_image(engine: DockerApi, identity: str, before: Properties, after: Properties) -> None:
    """Make sure that the image exists; its other settings concern only its removal."""
    del identity, before
    engine.find_image(after["name"], after.get("platform") or "")


def delete_image(engine: DockerApi, identity: str, prior: Properties) -> None:
    """Remove an image, unless `keepLocally` is set."""
    del identity
    if prior.get("keepLocally") or engine.inspect(f"/images/{prior['name']}/json") is None:
        return
    try:
        engine.call("DELETE", f"/images/{prior['name']}", params={"force": bool(prior.get("forceRemove"))})
    except EngineError as error:
        raise failed(f"Unable to remove Docker image: {error}") from error


def _image_state(image: Mapping[str, Any], name: str) -> Properties:
    digests = image.get("RepoDigests") or []
    matching = [digest for digest in digests if digest.startswith(name.split(":", maxsplit=1)[0])] or digests
    return {
        "id": image["Id"] + name,
        "imageId": image["Id"],
        "repoDigest": digests[0] if len(digests) == 1 else matching[0] if matching else "",
    }
