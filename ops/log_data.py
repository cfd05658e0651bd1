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
    retained = [volume for volume in state.of_type(VOLUME) if endings and str(volume["urn"]).endswith(endings)]
    if not retained:
        return state
    if any(volume.get("protect") or not volume.get("retainOnDelete") for volume in retained):
        exported = json.loads(engine.run("stack export"))
        for resource in exported["deployment"]["resources"]:
            if resource["urn"] in {volume["urn"] for volume in retained}:
                resource.update(retainOnDelete=True)
                resource.pop("protect", None)
        engine.import_state(json.dumps(exported))
        state = State.of(engine)
    for volume in retained:
        name = _name(volume)
        progress.line(f"  · the logs before this change stay in the volume {name}: docker volume rm {name}", "yellow")
    return state


def _name(volume: Mapping[str, Any]) -> str:
    return str(volume["outputs"].get("name") or volume["id"])
