"""A volume for textfile metrics, in which short-lived processes (dumps, releases) report how they ended."""

from __future__ import annotations

import pulumi

from runtime.context import MetricsFolder, StackContext
from runtime.spec import Attachment, ContainerSpec, Mount
from settings.container import Limits
from settings.names import METRICS_FOLDER, METRICS_WRITER


def metrics_folder(name: str, image: str, context: StackContext) -> MetricsFolder:
    """Create a volume into which one-shot jobs of any user write files, and from which the node exporter reads *.prom.

    Root owns a new volume, and the jobs do not run as root: a container first makes it writable to all, like /tmp.
    `image` must have sh and chmod. The content is transient and is deleted with the stack.

    Write a file under another name and rename it, so that nobody reads half of it. A series must be in only one file,
    since the node exporter refuses all files otherwise. It also refuses a metric with different HELP texts, so files
    that share a metric (backups) omit HELP. Metrics of backups:

        dockyard_backup_last_attempt_timestamp_seconds   of the last attempt, as are success and duration
        dockyard_backup_success                          1 or 0
        dockyard_backup_duration_seconds
        dockyard_backup_last_success_timestamp_seconds   of the last good one, as is the size
        dockyard_backup_size_bytes
        dockyard_backup_expected_timestamp_seconds       since when there should be one: also alerts if none was made

    each with `store` ("postgres", "postgres-base", "redis", "grafana", "prometheus") and `kind` ("before-release",
    "scheduled", "offsite": its copy in S3, which has no size), and with `store` alone

        dockyard_backup_last_verified_restore_timestamp_seconds  until the first restore: the time of the first backup
        dockyard_backup_drill_last_attempt_timestamp_seconds     of restore drills, as are success and duration
        dockyard_backup_drill_success
        dockyard_backup_drill_duration_seconds
        dockyard_backup_drill_limit_seconds                      0: none

    The metrics of releases are described in ops/deploy/metrics.py.
    """
    volume = context.config_volume(name, None)
    permissions_job = context.job(
        f"{name}-writer",
        ContainerSpec(
            role=METRICS_WRITER,
            image=image,
            # Root owns the volume; no capability is needed.
            user="0:0",
            limits=Limits.of("32MB", cpus=0.5),
            networks=(Attachment(context.monitoring_network),),
            mounts=(Mount(volume.name, METRICS_FOLDER, read_only=False),),
            entrypoint=("/bin/sh", "-ec"),
            command=(f"chmod 1777 {METRICS_FOLDER}",),
        ),
        pulumi.ResourceOptions(),
    )
    return MetricsFolder(volume.name, permissions_job.done)


def readable(folder: MetricsFolder) -> Mount:
    """Return the mount for readers of the files."""
    return Mount(folder.volume, METRICS_FOLDER)


def writable(folder: MetricsFolder) -> Mount:
    """Return the mount for writers of files, which must depend on `folder.ready`."""
    return Mount(folder.volume, METRICS_FOLDER, read_only=False)
