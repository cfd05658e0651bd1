"""Keeps the data of the previous log store on the host when a stack changes to another log store."""

from __future__ import annotations

import json

from machine.progress import Progress
from ops.pulumi_cli import PulumiCli
from ops.state.snapshot import State
from settings.alert_rules import LOG_STORES
from settings.logs import Logs


def leave_other_stores_data(state: State, pulumi_cli: PulumiCli, logs: Logs, progress: Progress) -> State:
    """Mark the data volumes of log stores that the stack no longer runs, so that Pulumi keeps them on the host.

    All other resources that the next `up` removes are deleted as usual. Return the state after the change.
    Raises CalledProcessError if Pulumi refuses.
    """
    endings = tuple(f"-logs-{store}-data" for store in LOG_STORES if store != logs.store) if logs.enabled else ()
    retained = [volume for volume in state.declared if endings and volume.is_volume and volume.urn.endswith(endings)]
    if not retained:
        return state
    if any(volume.protect or not volume.retained for volume in retained):
        exported = json.loads(pulumi_cli.run("stack export"))
        for resource in exported["deployment"]["resources"]:
            if resource["urn"] in {volume.urn for volume in retained}:
                resource.update(retainOnDelete=True)
                resource.pop("protect", None)
        pulumi_cli.import_state(json.dumps(exported))
        state = State.of(pulumi_cli)
    for volume in retained:
        name = volume.name
        progress.line(f"  · the logs before this change stay in the volume {name}: docker volume rm {name}", "yellow")
    return state
