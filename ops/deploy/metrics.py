"""Results of deployments and drift checks, as textfile metrics that the stack's Prometheus scrapes.

    deploy.prom    dockyard_last_deploy_timestamp_seconds   when the last deployment ended, successful or not
                   dockyard_last_deploy_success             1 or 0
                   dockyard_last_deploy_duration_seconds    Pulumi's run and the wait for health, without set-up
                   dockyard_last_deploy_changes{kind}       resources created, updated, deleted, replaced
    standing.prom  dockyard_release_info{release}           the running release: a short hash of its content
                   dockyard_drift_resources                 resources that differ from that release
                   dockyard_drift_last_check_timestamp_seconds

`standing.prom` is written after a successful run with 0 drifted resources, because the run refreshed the state and left
every resource as declared, and by `drift` with its result. A failed run or an inconclusive comparison leaves the file
unchanged. runtime/textfile.py creates the folder.
"""

from __future__ import annotations

import io
import tarfile
import time
from collections.abc import Mapping

import docker
import requests
from docker.errors import DockerException, NotFound

from machine.progress import Progress, SetupError
from ops.deploy import history
from ops.events import RunOutcome
from ops.state import releases
from ops.state.snapshot import State
from settings.names import METRICS_FOLDER, METRICS_WRITER

OWNER = 65534
"""Owner (uid and gid) of the files: the node exporter's user."""

KINDS = {"created": "create", "updated": "update", "deleted": "delete", "replaced": "create-replacement"}
"""Kind of change → Pulumi's operation."""


def record_deploy(
    state: State,
    client: docker.DockerClient,
    outcome: RunOutcome,
    progress: Progress,
    *,
    seconds: float,
    succeeded: bool,
) -> None:
    """Write the metrics of a deployment. A failure is only a warning: nothing but alerts depends on them."""
    now = round(time.time(), 3)
    files = {"deploy.prom": _deploy_metrics(outcome, now, seconds, succeeded)}
    if succeeded:
        files["standing.prom"] = _standing_metrics(state, now, drifted=0)
    _write(state, client, files, now, progress)


def record_drift(state: State, client: docker.DockerClient, drifted: int, progress: Progress) -> None:
    """Write the number of drifted resources."""
    now = round(time.time(), 3)
    _write(state, client, {"standing.prom": _standing_metrics(state, now, drifted)}, now, progress)


def writer_of(state: State) -> str | None:
    """Return the id of the container that holds the metrics folder, None if there is none."""
    writer = state.instance_of(METRICS_WRITER)
    return writer.id if writer else None


def _write(state: State, client: docker.DockerClient, files: Mapping[str, str], now: float, progress: Progress) -> None:
    writer = writer_of(state)
    if writer is None:
        # The run ended before it created that container.
        return
    try:
        client.containers.get(writer).put_archive(METRICS_FOLDER, archive(files, now))
    except NotFound:
        progress.line("  ! the metrics of this run were not written: the metrics-writer container is gone", "yellow")
    except (DockerException, requests.RequestException) as error:
        progress.line(f"  ! the metrics of this run were not written: {error}", "yellow")


def _deploy_metrics(outcome: RunOutcome, now: float, seconds: float, succeeded: bool) -> str:
    changes = {kind: outcome.operations[operation] for kind, operation in KINDS.items()}
    return exposition(
        {
            "dockyard_last_deploy_timestamp_seconds": ("When the last deployment ended.", now),
            "dockyard_last_deploy_success": ("Whether the last deployment succeeded.", succeeded),
            "dockyard_last_deploy_duration_seconds": ("How long the last deployment took.", round(seconds, 3)),
            "dockyard_last_deploy_changes{kind}": ("Resources that the last deployment changed.", changes),
        }
    )


def _standing_metrics(state: State, now: float, drifted: int) -> str:
    try:
        release = {history.short_name(releases.running_release(state, "")): 1}
    except SetupError:
        # The release is of another version of Dockyard, or nothing runs: there is no hash.
        release = {}
    return exposition(
        {
            "dockyard_release_info{release}": ("The release that runs.", release),
            "dockyard_drift_resources": ("Resources that are not as the running release declares them.", drifted),
            "dockyard_drift_last_check_timestamp_seconds": ("When the resources were last compared.", now),
        }
    )


def exposition(gauges: Mapping[str, tuple[str, float | Mapping[str, float]]]) -> str:
    """Return gauges in Prometheus' text format.

    `gauges` maps a name to the help text and the value, or a name with a label (`name{label}`) to the help text and the
    values by label.
    """
    from prometheus_client import CollectorRegistry, Gauge, generate_latest  # noqa: PLC0415 - only needed after a run

    registry = CollectorRegistry()
    for key, (help_text, value) in gauges.items():
        name, _, label = key.rstrip("}").partition("{")
        if isinstance(value, Mapping):
            gauge = Gauge(name, help_text, [label], registry=registry)
            for label_value, number in value.items():
                gauge.labels(label_value).set(number)
        else:
            Gauge(name, help_text, registry=registry).set(value)
    return generate_latest(registry).decode()


def archive(files: Mapping[str, str], now: float) -> bytes:
    """Return a tar archive that the engine unpacks atomically, so that no reader sees half a file.

    Each file is unpacked under a hidden name, and its real name is then a hard link to that.
    """
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        for name, text in files.items():
            content = text.encode()
            draft, link = tarfile.TarInfo(f".{name}.new"), tarfile.TarInfo(name)
            draft.size = len(content)
            link.type, link.linkname = tarfile.LNKTYPE, draft.name
            for member in (draft, link):
                member.mode, member.mtime, member.uid, member.gid = 0o444, int(now), OWNER, OWNER
                tar.addfile(member, io.BytesIO(content))
    return packed.getvalue()
