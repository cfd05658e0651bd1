"""The lines that a log store holds, where a stack changes to another one: they stay on the host."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from ops.engine import Engine
from ops.state import VOLUME, State
from settings.alert_rules import LOG_STORES
from settings.logs import Logs
from toolchain.progress import Progress


def leave_other_stores_data(state: State, engine: Engine, logs: Logs, progress: Progress) -> State:
    """Have the engine leave the data volume of a store on the host that the stack does not run any more.

    What else the next `up` takes out of the state it deletes as ever. Return the state after it.
    Raises CalledProcessError when the engine refuses.
    """
    endings = tuple(f"-logs-{store}-data" for store in LOG_STORES if store != logs.store) if logs.enabled else ()
    left = [one for one in state.of_type(VOLUME) if endings and str(one["urn"]).endswith(endings)]
    if not left:
        return state
    if any(one.get("protect") or not one.get("retainOnDelete") for one in left):
        exported = json.loads(engine.run("stack export"))
        for resource in exported["deployment"]["resources"]:
            if resource["urn"] in {one["urn"] for one in left}:
                resource.update(retainOnDelete=True)
                resource.pop("protect", None)
        engine.take_in(json.dumps(exported))
        state = State.of(engine)
    for one in left:
        name = _name(one)
        progress.line(f"  · the logs before this change stay in the volume {name}: docker volume rm {name}", "yellow")
    return state


def _name(volume: Mapping[str, Any]) -> str:
    return str(volume["outputs"].get("name") or volume["id"])
