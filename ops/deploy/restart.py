"""Restarts instances one after the other, and waits for each."""

from __future__ import annotations

import time
from collections.abc import Sequence

import docker
from docker.errors import NotFound

from machine.progress import Progress
from machine.workdir import WorkDir
from ops.inspect.logs import TAIL
from ops.inspect.status import InstanceStatus, instance_statuses, of_service
from ops.session import connect
from ops.state.snapshot import State
from runtime.instances import LiveInstance, find_instance
from settings.names import STORES

EDGE = "traefik"
POLL_SECONDS = 0.3
STEADY_SECONDS = 2.0
"""How long an instance without a health check must run to count as restarted."""


def restart(work: WorkDir, stack: str, service: str | None, progress: Progress) -> int:
    """Restart a service's instances, or all long-running ones of the stack; return the exit code.

    Each instance gets its own stop timeout, and must be healthy again before the next one stops. The first that does
    not come back ends the restart.
    """
    session = connect(work, stack, progress)
    client = session.docker_client()
    long_running = [
        status
        for status in instance_statuses(State.of(session.pulumi_cli), client)
        if not status.one_shot and not status.replaced
    ]
    chosen = of_service(long_running, service, session.settings.product.workloads, stack)
    return restart_each(client, in_order(chosen), session.settings.product.docker.wait_timeout, progress)


def in_order(statuses: Sequence[InstanceStatus]) -> list[InstanceStatus]:
    """Return data stores first and the edge proxy last; the others keep their order of creation."""
    return sorted(statuses, key=lambda status: (status.service == EDGE, status.service not in STORES))


def restart_each(client: docker.DockerClient, statuses: Sequence[InstanceStatus], wait: int, progress: Progress) -> int:
    """Restart instances in this order, and wait at most `wait` seconds for each; stop at the first that fails."""
    for number, status in enumerate(statuses):
        with progress.step(f"Restart {status.service}") as step:
            live = find_instance(client, status.id)
            try:
                step.outcome = _restart(live, wait) if live else "gone"
            except NotFound:
                step.outcome = "gone"
            step.failed = step.outcome not in ("healthy", "running")
            if step.failed:
                step.outcome = f"did not recover: {step.outcome}"
        if step.failed:
            if live:
                progress.line("\n".join(f"    {line}" for line in live.log_tail(TAIL)))
            remaining = ", ".join(later.service for later in statuses[number + 1 :])
            if remaining:
                progress.line(f"  → not restarted: {remaining}", "red")
            return 1
    return 0


def _restart(live: LiveInstance, seconds: int) -> str:
    """Restart an instance; return `healthy` or `running` once it is so again, else its status at the timeout."""
    live.restart()
    limit = time.monotonic() + seconds
    while True:
        live.refresh()
        if live.health == "healthy":
            return "healthy"
        if live.check is None and live.status == "running":
            time.sleep(STEADY_SECONDS)
            live.refresh()
            return "running" if live.running else live.status
        if time.monotonic() > limit or live.status in ("dead", "exited"):
            return live.check or live.status if live.status == "running" else live.status
        time.sleep(POLL_SECONDS)
