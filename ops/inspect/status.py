"""The status of a stack's instances, and the table that shows it."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime

import docker
from rich.console import Console
from rich.table import Table

from machine.progress import SetupError
from ops.state.snapshot import State
from runtime.instances import find_instance
from runtime.pulumi_state import Resource

STYLES = {"healthy": "green", "running": "green", "done": "dim", "starting": "yellow"}
WELL = ("healthy", "running", "done")
UNKNOWN = "\N{EN DASH}"
AT_ONCE = 16
"""Number of instances that are inspected in parallel."""


@dataclass(frozen=True)
class InstanceStatus:
    """The status of one instance of a service, or of a job."""

    id: str
    service: str
    health: str
    uptime: str
    restarts: str
    image: str
    memory: str
    url: str
    one_shot: bool
    replaced: bool
    """It is removed once its replacement is healthy: a failed release left the previous version in service."""

    check_seconds: float = 0
    """Seconds until its health check has a new result, at most."""

    @property
    def well(self) -> bool:
        """Whether it needs no attention."""
        return self.replaced or self.health in WELL


def instance_statuses(state: State, client: docker.DockerClient, *, memory: bool = False) -> list[InstanceStatus]:
    """Return the status of each instance in the state, in order of creation.

    Config writers are left out, and instances that a failed release left behind and that no longer run. Memory usage
    is read only with `memory`, because the engine takes a moment for it.
    """
    urls: Mapping[str, str] = state.outputs.get("urls") or {}
    declared = [instance for instance in state.instances if not instance.is_writer]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        statuses = list(pool.map(lambda instance: _status_of(instance, urls, client, memory), declared))
    return [status for status in statuses if not (status.replaced and status.health in ("gone", "done"))]


def _status_of(
    declared: Resource, urls: Mapping[str, str], client: docker.DockerClient, memory: bool
) -> InstanceStatus:
    live = find_instance(client, declared.id)
    is_running = live is not None and live.status == "running"
    return InstanceStatus(
        id=declared.id,
        service=declared.service,
        health=live.health if live else "gone",
        uptime=format_uptime(live.started, datetime.now(UTC)) if live and is_running else UNKNOWN,
        restarts=str(live.restarts) if live else UNKNOWN,
        # Without registry and digest, to be short: the state has both.
        image=declared.image.split("@")[0].rsplit("/", 1)[-1],
        memory=format_usage(live.memory(client)) if live and is_running and memory else UNKNOWN,
        url="" if declared.pending_delete else urls.get(declared.service, ""),
        one_shot=declared.one_shot,
        replaced=declared.pending_delete,
        check_seconds=live.check_seconds if live else 0,
    )


def format_uptime(since: datetime, now: datetime) -> str:
    """Return the time since `since` in its two largest units: `3d 4h`, `12m 5s`, `8s`."""
    seconds = max(0, int((now - since).total_seconds()))
    units = {"d": seconds // 86400, "h": seconds // 3600 % 24, "m": seconds // 60 % 60, "s": seconds % 60}
    first = next((position for position, count in enumerate(units.values()) if count), 3)
    return " ".join(f"{count}{unit}" for unit, count in list(units.items())[first : first + 2])


def format_usage(memory: tuple[float, float] | None) -> str:
    """Return memory usage and limit in MiB: `61 / 512 MiB`."""
    return f"{memory[0]:.0f} / {memory[1]:.0f} MiB" if memory else UNKNOWN


def of_service(
    statuses: Sequence[InstanceStatus], service: str | None, names: Collection[str], stack: str
) -> list[InstanceStatus]:
    """Return the statuses of a service, its replicas (`backend-2`) included; all statuses if `service` is None.

    `names` are the product's workloads: a workload of its own named `backend-2` is not a replica of `backend`.
    Raises SetupError with the running services if there is no such service.
    """
    if service is None:
        chosen = list(statuses)
    else:
        replica = re.compile(rf"{re.escape(service)}-\d+")
        chosen = [
            status
            for status in statuses
            if status.service == service or (replica.fullmatch(status.service) and status.service not in names)
        ]
    if not chosen:
        if not statuses:
            raise SetupError(f"the stack {stack} is not running", f"start it: ./dockyard up {stack}")
        running = ", ".join(sorted({status.service for status in statuses}))
        raise SetupError(f"no service {service} is running in the stack {stack}", f"running: {running}")
    return chosen


def wait_until_settled(state: State, client: docker.DockerClient, seconds: int) -> None:
    """Wait until no instance is starting, at most `seconds`.

    An unhealthy instance gets the time of two more health checks plus one second: a backend whose Redis has just come
    back reports that only with its next check.
    """
    began = time.monotonic()
    while time.monotonic() < began + seconds:
        statuses = instance_statuses(state, client)
        patiences = [
            2 * status.check_seconds + 1 for status in statuses if status.health == "unhealthy" and not status.replaced
        ]
        recovering = any(time.monotonic() < began + patience for patience in patiences)
        if not recovering and not any(status.health == "starting" for status in statuses):
            return
        time.sleep(0.5)


def print_table(title: str, statuses: list[InstanceStatus], notes: list[str]) -> None:
    """Print the table, services with a URL first, and the notes below it."""
    # Without a terminal (CI, a pipe) there is no width to respect.
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 160)
    table = Table(title=title, title_justify="left", title_style="bold")
    for column in ("service", "health", "uptime", "restarts", "image", "memory", "URL"):
        right = column in ("uptime", "restarts", "memory")
        table.add_column(column, no_wrap=column != "image", overflow="fold", justify="right" if right else "left")
    for status in sorted(statuses, key=lambda status: (not status.url, status.service, status.replaced)):
        style = STYLES.get(status.health, "bold red")
        name = f"{status.service} (before)" if status.replaced else status.service
        health = f"[{style}]{status.health}[/{style}]"
        table.add_row(name, health, status.uptime, status.restarts, status.image, status.memory, status.url)
    console.print(table)
    for note in notes:
        console.print(note, markup=False)
