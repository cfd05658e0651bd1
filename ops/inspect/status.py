"""The status of a stack's containers, and the table that shows it."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import docker
import requests
from docker.errors import APIError, NotFound
from rich.console import Console
from rich.table import Table

from machine.progress import SetupError
from ops.state.snapshot import CONTAINER, State, labels

STYLES = {"healthy": "green", "running": "green", "done": "dim", "starting": "yellow"}
WELL = ("healthy", "running", "done")
UNKNOWN = "\N{EN DASH}"
AT_ONCE = 16
"""Number of containers that are inspected in parallel."""


@dataclass(frozen=True)
class ContainerStatus:
    """The status of one container of the stack."""

    container: str
    """Container id."""

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

    check: float = 0
    """Seconds until its health check has a new result, at most."""

    @property
    def well(self) -> bool:
        """Whether it needs no attention."""
        return self.replaced or self.health in WELL


def container_statuses(state: State, client: docker.DockerClient, *, memory: bool = False) -> list[ContainerStatus]:
    """Return the status of each container in the state, in order of creation.

    Config writers are left out, and containers that a failed release left behind and that no longer run. Memory usage
    is read only with `memory`, because the engine takes a moment for it.
    """
    urls: Mapping[str, str] = state.outputs.get("urls") or {}
    resources = [resource for resource in state.of_type(CONTAINER) if not resource["urn"].endswith("-writer")]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        statuses = list(pool.map(lambda resource: _status_of(resource, urls, client, memory), resources))
    return [status for status in statuses if not (status.replaced and status.health in ("gone", "done"))]


def _status_of(
    resource: Mapping[str, Any], urls: Mapping[str, str], client: docker.DockerClient, memory: bool
) -> ContainerStatus:
    service = labels(resource)["dockyard.service"]
    replaced = bool(resource.get("delete"))
    try:
        inspected = client.api.inspect_container(resource["id"])
    except NotFound:
        inspected = None
    is_running = inspected is not None and inspected["State"]["Status"] == "running"
    return ContainerStatus(
        container=resource["id"],
        service=service,
        health=_health(inspected["State"]) if inspected else "gone",
        uptime=format_uptime(inspected["State"]["StartedAt"], datetime.now(UTC))
        if inspected and is_running
        else UNKNOWN,
        restarts=str(inspected["RestartCount"]) if inspected else UNKNOWN,
        # Without registry and digest, to be short: the state has both.
        image=str(resource["inputs"]["image"]).split("@")[0].rsplit("/", 1)[-1],
        memory=_memory(resource["id"], client) if memory and is_running else UNKNOWN,
        url="" if replaced else urls.get(service, ""),
        one_shot=resource["inputs"].get("mustRun") is False,
        replaced=replaced,
        check=_seconds_to_answer(inspected["Config"].get("Healthcheck") or {}) if inspected else 0,
    )


def _seconds_to_answer(check: Mapping[str, Any]) -> float:
    # In nanoseconds; 0 means the engine's default, 30 s.
    return sum((check.get(part) or 30 * 10**9) / 10**9 for part in ("Interval", "Timeout"))


def _health(state: Mapping[str, Any]) -> str:
    if state["Status"] == "exited":
        return "done" if state["ExitCode"] == 0 else f"failed ({state['ExitCode']})"
    if state["Status"] != "running":
        return str(state["Status"])
    return str((state.get("Health") or {}).get("Status", "running"))


def format_uptime(since: str, now: datetime) -> str:
    """Return the time since `since`, a time of the engine, in its two largest units: `3d 4h`, `12m 5s`, `8s`."""
    # The format is `2026-11-21T13:00:01.123456789Z`, in UTC; whole seconds are enough.
    began = datetime.fromisoformat(since[:19]).replace(tzinfo=UTC)
    seconds = max(0, int((now - began).total_seconds()))
    units = {"d": seconds // 86400, "h": seconds // 3600 % 24, "m": seconds // 60 % 60, "s": seconds % 60}
    first = next((position for position, count in enumerate(units.values()) if count), 3)
    return " ".join(f"{count}{unit}" for unit, count in list(units.items())[first : first + 2])


def _memory(container: str, client: docker.DockerClient) -> str:
    try:
        stats = client.api.stats(container, stream=False, one_shot=True)
    except (APIError, requests.RequestException):
        return UNKNOWN
    return format_usage(stats.get("memory_stats") or {})


def format_usage(memory: Mapping[str, Any]) -> str:
    """Return memory usage and limit: `61 / 512 MiB`. Like `docker stats`, usage excludes the inactive file cache."""
    if "usage" not in memory or not memory.get("limit"):
        return UNKNOWN
    details = memory.get("stats") or {}
    # The first key is that of cgroups v1, the second that of v2.
    idle = details.get("total_inactive_file", details.get("inactive_file", 0))
    return f"{max(0, memory['usage'] - idle) / 2**20:.0f} / {memory['limit'] / 2**20:.0f} MiB"


def of_service(
    statuses: Sequence[ContainerStatus], service: str | None, names: Collection[str], stack: str
) -> list[ContainerStatus]:
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
            raise SetupError(f"nothing of the stack {stack} runs", f"bring it up: ./dockyard up {stack}")
        running = ", ".join(sorted({status.service for status in statuses}))
        raise SetupError(f"the stack {stack} runs no service {service}", f"it runs: {running}")
    return chosen


def wait_until_settled(state: State, client: docker.DockerClient, seconds: int) -> None:
    """Wait until no container is starting, at most `seconds`.

    An unhealthy container gets the time of two more health checks plus one second: a backend whose Redis has just come
    back reports that only with its next check.
    """
    began = time.monotonic()
    while time.monotonic() < began + seconds:
        statuses = container_statuses(state, client)
        patiences = [
            2 * status.check + 1 for status in statuses if status.health == "unhealthy" and not status.replaced
        ]
        recovering = any(time.monotonic() < began + patience for patience in patiences)
        if not recovering and not any(status.health == "starting" for status in statuses):
            return
        time.sleep(0.5)


def print_table(title: str, statuses: list[ContainerStatus], notes: list[str]) -> None:
    """Print the table, containers with a URL first, and the notes below it."""
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
