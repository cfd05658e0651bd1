"""A folder for files of metrics: what comes and goes, a dump or a release, tells Prometheus there how it ended."""

from __future__ import annotations

import pulumi

from components.context import MetricsFolder, StackContext
from components.job import OneShotJob
from components.spec import Attachment, ContainerSpec, Mount
from components.volume import config_volume
from settings.container import Limits
from settings.names import METRICS_FOLDER, METRICS_WRITER


def metrics_folder(name: str, image: str, context: StackContext) -> MetricsFolder:
    """Make a volume that one-shot jobs of any user write files into, and that the node exporter reads *.prom from.

    A new volume belongs to root, and the jobs are nobody's root: a container opens it to all, as /tmp is, before the
    first of them runs. `image` must have sh and chmod. What lies in it is news, not data: it goes with the stack.

    A file is written under another name and then renamed, so that nobody reads half of it. A series stands in one file
    only: the node exporter refuses all of them otherwise. Neither does it take a metric that two files explain in
    different words, so that files which share a metric (backups) give it no HELP. What they say of backups:

        dockyard_backup_last_attempt_timestamp_seconds   of the last attempt, as success and duration
        dockyard_backup_success                          1 or 0
        dockyard_backup_duration_seconds
        dockyard_backup_last_success_timestamp_seconds   of the last good one, as its size
        dockyard_backup_size_bytes
        dockyard_backup_expected_timestamp_seconds       since when there should be one: never made is missed too

    each with `store` ("postgres", "postgres-base", "redis", "grafana", "prometheus") and `kind` ("before-release",
    "scheduled", "offsite": its copy in S3, which has no size), and with `store` alone

        dockyard_backup_last_verified_restore_timestamp_seconds  until the first restore: the time of the first backup
        dockyard_backup_drill_last_attempt_timestamp_seconds     of restore drills, as success and duration
        dockyard_backup_drill_success
        dockyard_backup_drill_duration_seconds
        dockyard_backup_drill_limit_seconds                      0: none

    What `./dockyard` says of releases stands in ops/metrics_file.py.
    """
    volume = config_volume(name, context, None)
    permissions_job = OneShotJob(
        f"{name}-writer",
        ContainerSpec(
            role=METRICS_WRITER,
            image=image,
            # The volume's owner, without a single capability.
            user="0:0",
            limits=Limits.model_validate({"memory": "32MB", "cpus": 0.5}),
            networks=(Attachment(context.monitoring_network),),
            mounts=(Mount(volume.name, METRICS_FOLDER, read_only=False),),
            entrypoint=("/bin/sh", "-ec"),
            command=(f"chmod 1777 {METRICS_FOLDER}",),
        ),
        context,
        pulumi.ResourceOptions(),
    )
    return MetricsFolder(volume.name, permissions_job.done)


def readable(folder: MetricsFolder) -> Mount:
    """Return the mount of who reads the files."""
    return Mount(folder.volume, METRICS_FOLDER)


def writable(folder: MetricsFolder) -> Mount:
    """Return the mount of who writes one; `folder.ready` is what it waits for."""
    return Mount(folder.volume, METRICS_FOLDER, read_only=False)
