"""The read-only verbs: status, logs, secret."""

from __future__ import annotations

import sys

import docker

from machine.progress import Progress
from machine.workdir import WorkDir
from ops.inspect.logs import follow_logs
from ops.inspect.status import instance_statuses, of_service, print_table
from ops.session import StackSession, connect, prepare_pulumi
from ops.state.snapshot import State
from settings.backups import BACKUP_KEY_SECRET
from settings.loader import GENERATED_SECRETS


def secrets_of(work: WorkDir, stack: str, progress: Progress) -> dict[str, str]:
    """Return the secrets of a stack's services, stores and tools, by name."""
    pulumi_cli = prepare_pulumi(work, stack, progress)
    exported = pulumi_cli.read("stack output", "--json", "--show-secrets").get("secrets") or {}
    return {**State.of(pulumi_cli, opened=True).generated(GENERATED_SECRETS), **exported}


def logs(work: WorkDir, stack: str, service: str | None, *, follow: bool, tail: int, progress: Progress) -> int:
    """Print the logs of the stack's instances, each line prefixed with its service."""
    session = connect(work, stack, progress)
    client = session.docker_client()
    chosen = of_service(
        instance_statuses(State.of(session.pulumi_cli), client), service, session.settings.product.workloads, stack
    )
    return follow_logs(client, [status for status in chosen if status.health != "gone"], follow=follow, tail=tail)


def show_status(work: WorkDir, stack: str, progress: Progress) -> int:
    """Print the status of a stack; return the exit code, 1 if a container is not well."""
    session = connect(work, stack, progress)
    return print_status(session, State.of(session.pulumi_cli), session.docker_client())


def print_status(session: StackSession, state: State, client: docker.DockerClient) -> int:
    """Print the table of instances; return 1 if one of them is not well, else 0."""
    stack = session.pulumi_cli.stack
    sys.stderr.flush()
    statuses = instance_statuses(state, client, memory=True)
    user = session.settings.product.monitoring.grafana.admin_user
    notes = [f"Grafana: user {user}; its password: ./dockyard secret {stack} grafana-admin-password"]
    if session.settings.product.backups.on:
        notes.append(f"Keep a copy of the backup key elsewhere: ./dockyard secret {stack} {BACKUP_KEY_SECRET}")
    if not statuses:
        notes = [f"not running; start it: ./dockyard up {stack}"]
    print_table(f"{session.settings.product.name} · {stack}", statuses, notes)
    return 0 if all(status.well for status in statuses) else 1
