"""Logs of instances: follow them, or return the last lines of unhealthy ones."""

from __future__ import annotations

import threading
from collections.abc import Collection, Sequence

import docker

from ops.inspect.status import InstanceStatus
from runtime.instances import LiveInstance, of_stack

TAIL = 10
"""Number of log lines that an error quotes."""


def tail_unhealthy(client: docker.DockerClient, stack: str, replaced: Collection[str]) -> list[tuple[str, list[str]]]:
    """Return service and last log lines of each instance of the stack whose health check does not pass.

    Instances that were to be `replaced` (ids) are left out: after a failed release the new ones matter.
    """
    return [
        (instance.service, instance.log_tail(TAIL))
        for instance in of_stack(client, stack)
        if instance.check not in (None, "healthy") and instance.id not in replaced
    ]


def follow_logs(client: docker.DockerClient, statuses: Sequence[InstanceStatus], *, follow: bool, tail: int) -> int:
    """Print the last lines of each instance, and with `follow` new lines as they come; return the exit code."""
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


def _print_logs(client: docker.DockerClient, status: InstanceStatus, follow: bool, tail: int) -> None:
    for line in LiveInstance(client.containers.get(status.id)).log_lines(follow=follow, tail=tail):
        print(f"{status.service} | {line}", flush=True)  # noqa: T201 - this IS the output
