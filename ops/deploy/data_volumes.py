"""A stack's data volumes: their sizes, their users, which are deleted, and which stay."""

from __future__ import annotations

import io
import json
import tarfile
import time
from collections.abc import Iterator

import docker
import requests
from docker.errors import APIError, DockerException, NotFound

from machine.progress import Progress, SetupError
from ops.deploy.metrics import writer_of
from ops.pulumi_cli import PulumiCli
from ops.state.snapshot import State
from runtime.instances import live_instances
from settings.alert_rules import LOG_STORES
from settings.logs import Logs
from settings.names import METRICS_FOLDER

VERIFIED = "dockyard_backup_last_verified_restore_timestamp_seconds"
"""The metric with the time of the last verified restore of a backup: runtime/textfile.py."""


def describe_volumes(state: State, client: docker.DockerClient) -> Iterator[str]:
    """Describe each existing data volume with its size, and the last verified restore of each store's backup."""
    sizes = {
        volume["Name"]: (volume.get("UsageData") or {}).get("Size", -1) for volume in client.df().get("Volumes") or ()
    }
    for volume in state.data_volumes:
        if volume.name in sizes:
            size = sizes[volume.name]
            yield f"  · volume {volume.name}: {size / 1e6:,.1f} MB" if size >= 0 else f"  · volume {volume.name}"
    restores = dict(_last_restores(state, client))
    for store, when in sorted(restores.items()):
        yield f"  · last verified restore of a {store} backup: {time.strftime('%d %B %Y, %H:%M', when)}"
    if not restores:
        yield "  · no verified restore of a backup is recorded"


def refuse_other_users(state: State, client: docker.DockerClient, stack: str) -> None:
    """Raise SetupError if foreign containers use a data volume: the engine could not remove it."""
    own_ids = {instance.id for instance in state.instances}
    foreign_uses = [
        f"{user.name} uses {volume.name}"
        for volume in state.data_volumes
        for user in live_instances(client, volume=volume.name)
        if user.id not in own_ids and user.stack != stack
    ]
    if foreign_uses:
        raise SetupError(
            f"containers outside the stack {stack} use its data: {'; '.join(foreign_uses)}",
            "remove them, then run this again; nothing was removed yet",
        )


def remove(state: State, client: docker.DockerClient, progress: Progress) -> None:
    """Delete the data volumes in Docker. Raises SetupError if the Docker engine refuses to delete one."""
    for volume in state.data_volumes:
        try:
            client.volumes.get(volume.name).remove()
        except NotFound:
            continue
        except APIError as error:
            raise SetupError(
                f"the volume {volume.name} was not deleted: {error.explanation}",
                "remove what uses it, then run this again; the state still has the volume",
            ) from error
        progress.line(f"  - volume {volume.name}: deleted", "dim")


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
        progress.line(f"  · earlier logs stay in the volume {name}; to delete them: docker volume rm {name}", "yellow")
    return state


def _last_restores(state: State, client: docker.DockerClient) -> Iterator[tuple[str, time.struct_time]]:
    """Read store → last verified restore from the metrics that backups write; nothing if they cannot be read."""
    writer = writer_of(state)
    if writer is None:
        return
    try:
        stream, _ = client.containers.get(writer).get_archive(METRICS_FOLDER)
        packed = b"".join(stream)
    except (DockerException, requests.RequestException):
        return  # the container is gone: the caller reports that no restore is known
    with tarfile.open(fileobj=io.BytesIO(packed)) as tar:
        for member in tar:
            content = tar.extractfile(member) if member.name.endswith(".prom") else None
            for line in content.read().decode().splitlines() if content else ():
                if line.startswith(f'{VERIFIED}{{store="'):
                    store, value = line.removeprefix(f'{VERIFIED}{{store="').split('"', 1)
                    yield store, time.localtime(float(value.rsplit(" ", 1)[-1]))
