"""Deployments and drift: releases, differences between declared and running resources, and backups."""

from __future__ import annotations

from dashboards import panels as p
from dashboards.board import Board
from dashboards.context import DashboardContext


def deployments(ctx: DashboardContext) -> Board:
    """Build the board of deployments, drift and backups."""
    board = Board(ctx, "deployments", "Deployments and drift", "is what runs what was declared, and is it backed up?")
    board.row(
        4,
        p.up_down_stat(
            "Last deploy",
            f"min(dockyard_last_deploy_success{p.STACK})",
            "Whether the last `up` or rollback ended well; after one that failed the version before it serves.",
        ),
        p.stat(
            "Deployed",
            f"max(dockyard_last_deploy_timestamp_seconds{p.STACK}) * 1000",
            "When the last deploy ended, well or not.",
            p.TIME_AGO,
        ),
        p.stat(
            "Containers changed",
            f'max(node_textfile_mtime_seconds{{{p.STACK_LABELS}, file=~".*/containers.prom"}}) * 1000',
            "When a container was last replaced: much later than the last deploy means by another hand.",
            p.TIME_AGO,
        ),
        p.stat(
            "Release",
            {"{{release}}": f"dockyard_release_info{p.STACK}"},
            "A short hash of all that decides what runs: settings, files, images.",
        ),
    )
    board.row(
        4,
        p.stat(
            "Drift",
            f"sum(dockyard_drift_resources{p.STACK})",
            "Resources that were not as the last release made them, when somebody last looked; an `up` mends them.",
            thresholds=p.WARNING_FROM_1,
        ),
        p.stat(
            "Last drift check",
            f"time() - max(dockyard_drift_last_check_timestamp_seconds{p.STACK})",
            "How long ago what runs was compared with what was declared; each `up` does so.",
            p.SECONDS,
            ctx.limits(warning="DriftCheckMissed"),
        ),
        p.stat(
            "Oldest container",
            f"time() - min(container:start_time_seconds:max{p.STACK})",
            "How long the container that runs longest has run.",
            p.SECONDS,
        ),
        p.stat(
            "Containers in the inventory",
            f"count(dockyard_container_info{p.STACK})",
            "Long-running containers of the stack, as the last deploy left them.",
        ),
    )
    _containers_and_deploys(board, ctx)
    if ctx.backups:
        _backups(board, ctx)
    return board


def _containers_and_deploys(board: Board, ctx: DashboardContext) -> None:
    age = (
        f"(time() - max by (service, container_id) (container:start_time_seconds:max{p.STACK}))"
        " * on (container_id) group_left (image)"
        f" max by (container_id, image) (dockyard_container_info{p.STACK})"
    )
    board.row(
        9,
        p.table(
            "Containers by age",
            [p.Column("Runs for", f"sort(sum by (service, image, container_id) ({age}))", p.SECONDS)],
            "Every container of the stack, its image without registry and digest, and since when it runs.",
            {"service": "Service", "image": "Image", "container_id": "Container"},
        ),
    )
    board.row(
        7,
        p.chart(
            "Duration of deploys",
            {"last deploy": f"max(dockyard_last_deploy_duration_seconds{p.STACK})"},
            "How long the last deploy took, without fetching images.",
            p.SECONDS,
            ctx.limits(warning="DeploySlow"),
        ),
        p.chart(
            "Changes of the last deploy",
            {"{{kind}}": f"sum by (kind) (dockyard_last_deploy_changes{p.STACK})"},
            "Resources that the last deploy created, updated, deleted or replaced.",
            stacked=True,
        ),
        p.chart(
            "Metrics files",
            {"{{file}}": f"time() - node_textfile_mtime_seconds{p.STACK}"},
            "How long ago each file was written that tells Prometheus of dumps, releases and containers.",
            p.SECONDS,
        ),
    )


def _backups(board: Board, ctx: DashboardContext) -> None:
    board.section("Backups")
    by_kind, legend = "by (store, kind)", "{{store}} {{kind}}"
    attempt = f"dockyard_backup_last_attempt_timestamp_seconds{p.STACK}"
    success = f"dockyard_backup_last_success_timestamp_seconds{p.STACK}"
    expected = f"dockyard_backup_expected_timestamp_seconds{p.STACK}"
    duration = f"dockyard_backup_duration_seconds{p.STACK}"
    drill = f'label_replace(dockyard_backup_drill_duration_seconds{p.STACK}, "kind", "restore drill", "", "")'
    board.row(
        7,
        p.table(
            "Backups",
            [
                p.Column("Good", f"min {by_kind} (dockyard_backup_success{p.STACK})", thresholds=p.CRITICAL_BELOW_1),
                p.Column("Tried", f"max {by_kind} ({attempt}) * 1000", p.TIME_AGO),
                p.Column("Last good one", f"max {by_kind} ({success}) * 1000", p.TIME_AGO),
            ],
            "Whether the last backup of each kind went well (1) or failed (0), and when the last good one was made.",
            {"store": "Store", "kind": "Kind"},
        ),
        p.chart(
            "Age of the last backup",
            {legend: f"time() - max {by_kind} ({success} or {expected})"},
            "How old the data are that could be brought back, or for how long a first backup has been expected. Dumps"
            " before a release are as old as the release; `offsite` is the copy in S3.",
            p.SECONDS,
            ctx.limits(critical="BackupMissed"),
        ),
        p.chart(
            "Size of backups",
            {legend: f"max {by_kind} (dockyard_backup_size_bytes{p.STACK})"},
            "Size of the last good backup.",
            p.BYTES,
        ),
        p.chart(
            "Duration of backups",
            {legend: f"max {by_kind} ({duration} or {drill})"},
            "How long the last backup took, and the last restore drill.",
            p.SECONDS,
            ctx.limits(warning="BackupSlow"),
        ),
        p.stat(
            "Last verified restore",
            {"{{store}}": f"max by (store) (dockyard_backup_last_verified_restore_timestamp_seconds{p.STACK}) * 1000"},
            "When a backup was last restored and looked at.",
            p.TIME_AGO,
        ),
    )
