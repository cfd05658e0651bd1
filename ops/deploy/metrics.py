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
from collections.abc import Iterable, Mapping

import docker
import requests
from docker.errors import DockerException, NotFound

from machine.progress import Progress, SetupError
from ops.deploy import history, releases
from ops.events import Outcome
from ops.state.snapshot import State
from settings.names import METRICS_FOLDER, METRICS_WRITER

OWNER = 65534
"""Owner (uid and gid) of the files: the node exporter's user."""

KINDS = {"created": "create", "updated": "update", "deleted": "delete", "replaced": "create-replacement"}
"""Kind of change → Pulumi's operation."""

Sample = tuple[str, str, float]
"""Labels in Prometheus' text format or ""; help text of the metric; value."""


def record_deploy(
    state: State,
    client: docker.DockerClient,
    outcome: Outcome,
    progress: Progress,
    *,
    seconds: float,
    succeeded: bool,
) -> None:
    """Write the metrics of a deployment. A failure is only a warning: nothing but alerts depends on them."""
    now = time.time()
    files = {"deploy.prom": exposition(_deploy_samples(outcome, now, seconds, succeeded))}
    if succeeded:
        files["standing.prom"] = exposition(_standing_samples(state, now, drifted=0))
    _write(state, client, files, now, progress)


def record_drift(state: State, client: docker.DockerClient, drifted: int, progress: Progress) -> None:
    """Write the number of drifted resources."""
    now = time.time()
    _write(state, client, {"standing.prom": exposition(_standing_samples(state, now, drifted))}, now, progress)


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


def _deploy_samples(outcome: Outcome, now: float, seconds: float, succeeded: bool) -> Iterable[tuple[str, Sample]]:
    yield "dockyard_last_deploy_timestamp_seconds", ("", "When the last deployment ended.", round(now, 3))
    yield "dockyard_last_deploy_success", ("", "Whether the last deployment ended well.", int(succeeded))
    yield "dockyard_last_deploy_duration_seconds", ("", "How long the last deployment took.", round(seconds, 3))
    for kind, operation in KINDS.items():
        changed = outcome.operations[operation]
        yield (
            "dockyard_last_deploy_changes",
            (f'{{kind="{kind}"}}', "Resources that the last deployment changed.", changed),
        )


def _standing_samples(state: State, now: float, drifted: int) -> Iterable[tuple[str, Sample]]:
    try:
        release = history.short_name(releases.running_release(state, ""))
    except SetupError:
        # The release is of another version of Dockyard, or nothing runs: there is no hash.
        release = ""
    if release:
        yield "dockyard_release_info", (f'{{release="{release}"}}', "The release that runs.", 1)
    yield "dockyard_drift_resources", ("", "Resources that are not as the running release declares them.", drifted)
    yield "dockyard_drift_last_check_timestamp_seconds", ("", "When they were last compared.", round(now, 3))


def exposition(samples: Iterable[tuple[str, Sample]]) -> str:
    """Return samples in Prometheus' text format. Samples of one metric must be adjacent."""
    lines, previous = [], ""
    for name, (label_set, help_text, value) in samples:
        if name != previous:
            lines += [f"# HELP {name} {help_text}", f"# TYPE {name} gauge"]
        lines.append(f"{name}{label_set} {value:.15g}")
        previous = name
    return "\n".join(lines) + "\n"


def archive(files: Mapping[str, str], now: float) -> bytes:
    """Return a tar archive that the engine unpacks atomically, so that no reader sees half a file.

    Each file is unpacked under a hidden name, and its real name is then a hard link to that.
    """
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        for name, text in files.items():
            content = text.encode()
            draft = tarfile.TarInfo(f".{name}.new")
            draft.size, draft.mode, draft.mtime = len(content), 0o444, int(now)
            draft.uid = draft.gid = OWNER
            tar.addfile(draft, io.BytesIO(content))
            link = tarfile.TarInfo(name)
            link.type, link.linkname, link.mode, link.mtime = tarfile.LNKTYPE, draft.name, 0o444, int(now)
            link.uid = link.gid = OWNER
            tar.addfile(link)
    return packed.getvalue()
