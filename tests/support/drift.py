"""A container as it was declared and as the engine inspects it, for tests that change one of the two."""

import json
from copy import deepcopy
from typing import Any

from ops.drift.docker.view import ComparedResource
from runtime.pulumi_state import CONTAINER, Resource
from tests.support.checkout import SOURCE

Values = dict[str, Any]
SCHEMA = json.loads((SOURCE / "offline/standins/docker/schema.json").read_text())
"""Of the provider: kind of resource → its fields."""

ID = "1234567890abcdef" * 4
IMAGE_ID = "sha256:" + "aa" * 32
URN = "urn:pulumi:dev::dockyard::dockyard:app_services:AppServices$docker:index/container:Container::shop-app-web"

INPUTS: Values = {
    **{"name": "shop-app-web-1a2b3c4", "image": "registry.example/web:1@sha256:11", "command": ["serve"]},
    **{"envs": ["PORT=8000"], "labels": [{"label": "dockyard.stack", "value": "dev"}], "user": "1001:1001"},
    **{"memory": 256, "memorySwap": 256, "memoryReservation": 128, "cpus": "0.5"},
    **{"readOnly": True, "init": True, "restart": "unless-stopped", "mustRun": True, "stopTimeout": 20},
    "capabilities": {"drops": ["ALL"], "adds": ["CAP_CHOWN"]},
    "securityOpts": ["no-new-privileges:true"],
    **{"logDriver": "json-file", "logOpts": {"max-file": "3"}},
    **{"networksAdvanced": [{"name": "app", "aliases": ["web"]}], "networkMode": "bridge"},
    "mounts": [{"type": "volume", "source": "files", "target": "/run/secrets", "readOnly": True}],
    "ports": [{"internal": 8000, "external": 80, "ip": "127.0.0.1", "protocol": "tcp"}],
    **{"tmpfs": {"/tmp": "rw"}, "hosts": [{"host": "host.docker.internal", "ip": "host-gateway"}]},
    "healthcheck": {"tests": ["CMD", "true"], "interval": "1m30s", "timeout": "5s", "startInterval": "0s"},
}

IMAGE: Values = {
    "Id": IMAGE_ID,
    "Config": {
        **{"Env": ["PATH=/bin", "PORT=80"], "Labels": {"maintainer": "them"}, "Entrypoint": ["/entry"]},
        **{"Cmd": ["help"], "ExposedPorts": {"9000/tcp": {}}, "Volumes": {"/cache": {}}},
    },
}

INSPECTED: Values = {
    **{"Id": ID, "Name": "/shop-app-web-1a2b3c4", "Image": IMAGE_ID, "RestartCount": 0},
    "State": {"Status": "running", "Running": True, "ExitCode": 0, "Health": {"Status": "healthy"}},
    "Config": {
        **{"Hostname": ID[:12], "Image": "registry.example/web:1@sha256:11", "User": "1001:1001", "StopTimeout": 20},
        **{"Cmd": ["serve"], "Entrypoint": ["/entry"], "Env": ["PORT=8000", "PATH=/bin"]},
        "Labels": {"dockyard.stack": "dev", "maintainer": "them"},
        "ExposedPorts": {"8000/tcp": {}, "9000/tcp": {}},
        "Healthcheck": {"Test": ["CMD", "true"], "Interval": 90 * 10**9, "Timeout": 5 * 10**9},
    },
    "HostConfig": {
        **{"Memory": 256 << 20, "MemorySwap": 256 << 20, "MemoryReservation": 128 << 20, "NanoCpus": 500_000_000},
        **{"ReadonlyRootfs": True, "CapDrop": ["ALL"], "CapAdd": ["CAP_CHOWN"], "SecurityOpt": ["no-new-privileges"]},
        **{"Init": True, "RestartPolicy": {"Name": "unless-stopped", "MaximumRetryCount": 0}},
        "LogConfig": {"Type": "json-file", "Config": {"max-file": "3"}},
        "NetworkMode": "bridge",
        "PortBindings": {"8000/tcp": [{"HostIp": "127.0.0.1", "HostPort": "80"}]},
        **{"Tmpfs": {"/tmp": "rw"}, "ExtraHosts": ["host.docker.internal:host-gateway"], "ShmSize": 64 << 20},
        **{"MaskedPaths": ["/proc/kcore"], "Runtime": "runc", "IpcMode": "private", "CgroupnsMode": "host"},
    },
    "Mounts": [
        {"Type": "volume", "Name": "files", "Destination": "/run/secrets", "RW": False},
        {"Type": "volume", "Name": "ab" * 32, "Destination": "/cache", "RW": True},
    ],
    "NetworkSettings": {
        "Ports": {"8000/tcp": [{"HostIp": "127.0.0.1", "HostPort": "80"}], "9000/tcp": None},
        "Networks": {"app": {"Aliases": ["web", ID[:12]], "NetworkID": "net-id", "IPAMConfig": None}},
    },
}

ENGINE: Values = {"DefaultRuntime": "runc", "SwapLimit": True}


def declared(inputs: Values | None = None, *, name: str = "web", kind: str = CONTAINER, **fields: Any) -> Resource:
    """Return the resource as the state declares it; `inputs` go over the usual ones, None takes one away."""
    merged = {key: value for key, value in {**INPUTS, **(inputs or {})}.items() if value is not None}
    return only(merged, name=name, kind=kind, **fields)


def only(inputs: Values, *, name: str = "web", kind: str = CONTAINER, **fields: Any) -> Resource:
    return Resource(kind, inputs=inputs, **{"urn": URN.replace("app-web", f"app-{name}"), "id": ID, **fields})


def container(resource: Resource, inspected: Values, *, image: Values | None = IMAGE, engine: Values = ENGINE):
    return ComparedResource(resource.inputs, inspected, image, engine, inspected["Image"] == IMAGE_ID)


def changed(*path: str, to: Any) -> Values:
    inspected = deepcopy(INSPECTED)
    place = inspected
    for part in path[:-1]:
        place = place[part]
    place[path[-1]] = to
    return inspected
