"""Restarts containers one after the other, and waits for each."""

from __future__ import annotations

import time
from collections.abc import Sequence

import docker
from docker.errors import NotFound
from docker.models.containers import Container

from machine.progress import Progress
from machine.workdir import WorkDir
from ops.inspect.logs import last_lines
from ops.inspect.status import ContainerStatus, container_statuses, of_service
from ops.session import connect
from ops.state.snapshot import State
from settings.names import STORES

EDGE = "traefik"
POLL_SECONDS = 0.3
STEADY_SECONDS = 2.0
"""How long a container without a health check must run to count as restarted."""


def restart(work: WorkDir, stack: str, service: str | None, progress: Progress) -> int:
    """Restart a service's containers, or all long-running ones of the stack; return the exit code.

    Each container gets its own stop timeout, and must be healthy again before the next one stops. The first that does
    not come back ends the restart.
    """
    session = connect(work, stack, progress)
    client = session.docker_client()
    long_running = [
        status
        for status in container_statuses(State.of(session.pulumi_cli), client)
        if not status.one_shot and not status.replaced
    ]
    chosen = of_service(long_running, service, session.settings.product.workloads, stack)
    return restart_each(client, in_order(chosen), session.settings.product.docker.wait_timeout, progress)


def in_order(statuses: Sequence[ContainerStatus]) -> list[ContainerStatus]:
    """Return data stores first and the edge proxy last; the others keep their order of creation."""
    return sorted(statuses, key=lambda status: (status.service == EDGE, status.service not in STORES))


def restart_each(
    client: docker.DockerClient, statuses: Sequence[ContainerStatus], wait: int, progress: Progress
) -> int:
    """Restart containers in this order, and wait at most `wait` seconds for each; stop at the first that fails."""
    for number, status in enumerate(statuses):
        with progress.step(f"Restart {status.service}") as step:
            container = None
            try:
                container = client.containers.get(status.container)
                # The client's default is ten seconds, whatever the container's own stop timeout.
                client.api.restart(status.container, timeout=_stop_timeout(container))
                step.outcome = _wait_until_back(container, wait)
            except NotFound:
                step.outcome = "gone"
            step.failed = step.outcome not in ("healthy", "running")
            if step.failed:
                step.outcome = f"not well again: {step.outcome}"
        if step.failed:
            if container:
                progress.line("\n".join(f"    {line}" for line in last_lines(container)))
            remaining = ", ".join(later.service for later in statuses[number + 1 :])
            if remaining:
                progress.line(f"  → not restarted: {remaining}", "red")
            return 1
    return 0


def _stop_timeout(container: Container) -> int:
    """Return the seconds between the container's stop signal and the kill; Docker's default is 10."""
    return int(container.attrs["Config"].get("StopTimeout") or 10)


def _wait_until_back(container: Container, seconds: int) -> str:
    """Return `healthy` or `running` once a restarted container is so, else its status at the timeout."""
    limit = time.monotonic() + seconds
    while True:
        container.reload()
        state = container.attrs["State"]
        health = (state.get("Health") or {}).get("Status")
        if health == "healthy" and state["Status"] == "running":
            return "healthy"
        if health is None and state["Status"] == "running":
            time.sleep(STEADY_SECONDS)
            container.reload()
            state = container.attrs["State"]
            return "running" if state["Status"] == "running" and not state.get("Restarting") else str(state["Status"])
        if time.monotonic() > limit or state["Status"] in ("dead", "exited"):
            return str(health or state["Status"]) if state["Status"] == "running" else str(state["Status"])
        time.sleep(POLL_SECONDS)
