"""Container logs: follow them, or return the last lines of unhealthy containers."""

from __future__ import annotations

import threading
from collections.abc import Collection

import docker
from docker.errors import NotFound
from docker.models.containers import Container

from ops.inspect.status import ContainerStatus


def tail_unhealthy(
    client: docker.DockerClient, stack: str, replaced: Collection[str], count: int = 10
) -> list[tuple[str, list[str]]]:
    """Return service and last log lines of each container of the stack whose health check does not pass.

    Containers that were to be `replaced` (ids) are left out: after a failed release the new ones matter.
    """
    tails = []
    for container in client.containers.list(
        all=True, filters={"label": f"dockyard.stack={stack}"}, ignore_removed=True
    ):
        health = container.attrs["State"].get("Health") or {}
        if health.get("Status", "healthy") == "healthy" or container.id in replaced:
            continue
        tails.append((str(container.labels.get("dockyard.service", container.name)), last_lines(container, count)))
    return tails


def last_lines(container: Container, count: int = 10) -> list[str]:
    """Return the last lines of a container's log, followed by the output of its last health check."""
    try:
        lines: list[str] = container.logs(tail=count).decode(errors="replace").splitlines()
    except NotFound:
        return ["(it has been removed)"]
    checks = (container.attrs["State"].get("Health") or {}).get("Log") or []
    return lines + ([f"health check: {checks[-1]['Output'].strip()}"] if checks else [])


def follow_logs(client: docker.DockerClient, statuses: list[ContainerStatus], *, follow: bool, tail: int) -> int:
    """Print the last lines of each container, and with `follow` new lines as they come; return the exit code."""
    threads = [
        threading.Thread(target=_print_logs, args=(client, status, follow, tail), daemon=True) for status in statuses
    ]
    for thread in threads:
        thread.start()
        if not follow:
            thread.join()
    for thread in threads:
        thread.join()
    return 0


def _print_logs(client: docker.DockerClient, status: ContainerStatus, follow: bool, tail: int) -> None:
    stream = client.containers.get(status.container).logs(stream=True, follow=follow, tail=tail)
    rest = b""
    for chunk in stream:
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            print(f"{status.service} | {line.decode(errors='replace')}", flush=True)  # noqa: T201 - this IS the output
    if rest:
        print(f"{status.service} | {rest.decode(errors='replace')}", flush=True)  # noqa: T201 - the same
