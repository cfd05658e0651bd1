"""Resources of a stack as its Pulumi state holds them, for the tests of `ops`."""

from typing import Any

from ops.state.snapshot import STACK, State
from runtime.labels import DATA, VOLUME_KIND
from runtime.pulumi_state import CONTAINER, NETWORK, VOLUME

Values = dict[str, Any]


def resource(name: str, kind: str, **entries: Any) -> Values:
    """Return a resource whose id is its name; `entries` replace those of the resource."""
    return {"urn": f"urn:{name}", "type": kind, "id": name, "inputs": {}, "outputs": {"name": name}, **entries}


def container(service: str, *, must_run: bool = True, delete: bool = False, urn: str = "", **entries: Any) -> Values:
    """Return a container of a service. `delete`: it goes once what takes its place is healthy."""
    inputs = {
        "image": "registry.example/team/app:7@sha256:aa",
        "mustRun": must_run,
        "labels": [{"label": "dockyard.service", "value": service}],
    }
    identity = f"{service}-old" if delete else service
    values = {"urn": urn or f"urn:{service}", "id": identity, "inputs": inputs, "delete": delete}
    return resource(service, CONTAINER, **{**values, **entries})


def network(name: str) -> Values:
    return resource(name, NETWORK)


def data_volume(name: str, **entries: Any) -> Values:
    return resource(name, VOLUME, **{"inputs": {"labels": [{"label": VOLUME_KIND, "value": DATA}]}, **entries})


def stack_outputs(**outputs: Any) -> Values:
    """Return the stack's own resource, which holds what the program exported."""
    return {"type": STACK, "urn": "urn:stack", "outputs": outputs}


def state(*resources: Values, pending: tuple[Values, ...] = ()) -> State:
    return State(tuple(resources), bool(pending), pending)
