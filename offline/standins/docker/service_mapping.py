"""Convert a Swarm service between the provider's properties and the Docker API's JSON. Pure.

`schema.json` maps most properties; the code here is for those that the official plugin treats in a special manner.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from offline.standins.docker.conversion import from_api, to_api
from offline.standins.docker.schema import fields_of
from offline.standins.values import Properties

FIELDS = fields_of("Service")
CONTAINER_FIELDS = FIELDS["taskSpec"].fields["containerSpec"].fields


def service_body(values: Mapping[str, Any]) -> Properties:
    """Return the request body that creates or updates the service."""
    body = to_api(FIELDS, values)
    body["TaskTemplate"] = {"Resources": {}, "RestartPolicy": {}, "Placement": {}} | body["TaskTemplate"]
    return body | {"Mode": _mode(values.get("mode") or {})}


def _mode(mode: Mapping[str, Any]) -> Properties:
    if mode.get("global"):
        return {"Global": {}}
    replicas = (mode.get("replicated") or {}).get("replicas")
    return {"Replicated": {"Replicas": 1 if replicas is None else replicas}}


def service_state(inspection: Mapping[str, Any]) -> Properties:
    """Return the properties that a read sets."""
    spec = inspection["Spec"]
    replicated = spec["Mode"].get("Replicated")
    state = from_api(FIELDS, spec) | {
        "id": inspection["ID"],
        "mode": {
            "global": spec["Mode"].get("Global") is not None,
            "replicated": None if replicated is None else {"replicas": replicated.get("Replicas", 1)},
        },
        "endpointSpec": _endpoint_state(inspection),
    }
    task, container = state["taskSpec"], state["taskSpec"]["containerSpec"]
    task["runtime"] = task["runtime"] or "container"
    for network in task["networksAdvanceds"]:
        network["name"] = ""
    container["isolation"] = container["isolation"] or "default"
    # The state has these two also when the service lacks them.
    source = spec["TaskTemplate"]["ContainerSpec"]
    container["healthcheck"] = from_api(CONTAINER_FIELDS["healthcheck"].fields, source.get("Healthcheck") or {})
    dns = from_api(CONTAINER_FIELDS["dnsConfig"].fields, source.get("DNSConfig") or {})
    container["dnsConfig"] = {name: addresses or None for name, addresses in dns.items()}
    return state


def _endpoint_state(inspection: Mapping[str, Any]) -> Properties:
    endpoint = inspection.get("Endpoint") or {}
    spec = endpoint.get("Spec") or inspection["Spec"].get("EndpointSpec") or {}
    # The endpoint also has the published ports that Docker chose itself.
    ports = endpoint.get("Ports") or spec.get("Ports") or []
    return from_api(FIELDS["endpointSpec"].fields, {"Mode": spec.get("Mode") or "vip", "Ports": ports})
