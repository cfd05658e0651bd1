"""What runs, how it is, and the table that says so."""

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

from ops.state import CONTAINER, State, labels
from toolchain.progress import SetupError

STYLES = {"healthy": "green", "running": "green", "done": "dim", "starting": "yellow"}
WELL = ("healthy", "running", "done")
UNKNOWN = "\N{EN DASH}"
AT_ONCE = 16
"""Containers asked side by side."""


@dataclass(frozen=True)
class Row:
    """One container of the stack."""

    container: str
    """Its id."""

    service: str
    health: str
    uptime: str
    restarts: str
    image: str
    memory: str
    url: str
    one_shot: bool
    replaced: bool
    """It goes once what takes its place is healthy: the version from before a failed release."""

    check: float = 0
    """Seconds within which its health check gives a new answer."""

    @property
    def well(self) -> bool:
        """Whether nobody need look after it."""
        return self.replaced or self.health in WELL


def rows(state: State, client: docker.DockerClient, *, memory: bool = False) -> list[Row]:
    """Return a row for each container in the state, in the order in which they were made.

    Those of finished config writers are left out, and of what a failed release left behind, what runs no more. How
    much memory each uses is asked only with `memory`: the engine takes a moment for it.
    """
    urls: Mapping[str, str] = state.outputs.get("urls") or {}
    shown = [one for one in state.of_type(CONTAINER) if not one["urn"].endswith("-writer")]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        found = list(pool.map(lambda resource: _row(resource, urls, client, memory), shown))
    return [row for row in found if not (row.replaced and row.health in ("gone", "done"))]


def _row(resource: Mapping[str, Any], urls: Mapping[str, str], client: docker.DockerClient, memory: bool) -> Row:
    service = labels(resource)["dockyard.service"]
    replaced = bool(resource.get("delete"))
    try:
        attrs = client.api.inspect_container(resource["id"])
    except NotFound:
        attrs = None
    runs = attrs is not None and attrs["State"]["Status"] == "running"
    return Row(
        container=resource["id"],
        service=service,
        health=_health(attrs["State"]) if attrs else "gone",
        uptime=spell_uptime(attrs["State"]["StartedAt"], datetime.now(UTC)) if attrs and runs else UNKNOWN,
        restarts=str(attrs["RestartCount"]) if attrs else UNKNOWN,
        # Without registry and digest: those are in the state, and this is for the eye.
        image=str(resource["inputs"]["image"]).split("@")[0].rsplit("/", 1)[-1],
        memory=_memory(resource["id"], client) if memory and runs else UNKNOWN,
        url="" if replaced else urls.get(service, ""),
        one_shot=resource["inputs"].get("mustRun") is False,
        replaced=replaced,
        check=_seconds_to_answer(attrs["Config"].get("Healthcheck") or {}) if attrs else 0,
    )


def _seconds_to_answer(check: Mapping[str, Any]) -> float:
    # Nanoseconds; 0 stands for the engine's own default, 30 s.
    return sum((check.get(part) or 30 * 10**9) / 10**9 for part in ("Interval", "Timeout"))


def _health(state: Mapping[str, Any]) -> str:
    if state["Status"] == "exited":
        return "done" if state["ExitCode"] == 0 else f"failed ({state['ExitCode']})"
    if state["Status"] != "running":
        return str(state["Status"])
    return str((state.get("Health") or {}).get("Status", "running"))


def spell_uptime(since: str, now: datetime) -> str:
    """Return how long ago a time of the engine's was, in its two largest units: `3d 4h`, `12m 5s`, `8s`."""
    # `2026-11-21T13:00:01.123456789Z`, in UTC: whole seconds are enough.
    began = datetime.fromisoformat(since[:19]).replace(tzinfo=UTC)
    seconds = max(0, int((now - began).total_seconds()))
    units = {"d": seconds // 86400, "h": seconds // 3600 % 24, "m": seconds // 60 % 60, "s": seconds % 60}
    first = next((position for position, count in enumerate(units.values()) if count), 3)
    return " ".join(f"{count}{unit}" for unit, count in list(units.items())[first : first + 2])


def _memory(container: str, client: docker.DockerClient) -> str:
    try:
        said = client.api.stats(container, stream=False, one_shot=True)
    except (APIError, requests.RequestException):
        return UNKNOWN
    return spell_usage(said.get("memory_stats") or {})


def spell_usage(memory: Mapping[str, Any]) -> str:
    """Return memory used and its limit: `61 / 512 MiB`. As `docker stats` counts it: without what can be given back."""
    if "usage" not in memory or not memory.get("limit"):
        return UNKNOWN
    details = memory.get("stats") or {}
    # The first is of control groups v1, the second of v2.
    idle = details.get("total_inactive_file", details.get("inactive_file", 0))
    return f"{max(0, memory['usage'] - idle) / 2**20:.0f} / {memory['limit'] / 2**20:.0f} MiB"


def of_service(found: Sequence[Row], service: str | None, names: Collection[str], stack: str) -> list[Row]:
    """Return the rows of a service, its replicas (`backend-2`) included; all rows where none is asked for.

    `names` are what the product calls its workloads: a service of its own named `backend-2` is nobody's replica.
    Raises SetupError naming what there is.
    """
    if service is None:
        chosen = list(found)
    else:
        replica = re.compile(rf"{re.escape(service)}-\d+")
        chosen = [
            row
            for row in found
            if row.service == service or (replica.fullmatch(row.service) and row.service not in names)
        ]
    if not chosen:
        if not found:
            raise SetupError(f"nothing of the stack {stack} runs", f"bring it up: ./dockyard up {stack}")
        known = ", ".join(sorted({row.service for row in found}))
        raise SetupError(f"the stack {stack} runs no service {service}", f"it runs: {known}")
    return chosen


def wait_until_settled(state: State, client: docker.DockerClient, seconds: int) -> None:
    """Wait while a container's health is not known yet, at most so many seconds.

    One that is unhealthy gets the time of two more answers of its check, and a moment: a backend whose Redis was away
    until now knows it only from its next check on.
    """
    began = time.monotonic()
    while time.monotonic() < began + seconds:
        found = rows(state, client)
        asked = [2 * row.check + 1 for row in found if row.health == "unhealthy" and not row.replaced]
        recovering = any(time.monotonic() < began + patience for patience in asked)
        if not recovering and not any(row.health == "starting" for row in found):
            return
        time.sleep(0.5)


def print_table(title: str, found: list[Row], notes: list[str]) -> None:
    """Print the table, what can be reached from outside first, and below it notes for the person."""
    # Where nobody looks at it (CI, a pipe) there is no width to keep to.
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 160)
    table = Table(title=title, title_justify="left", title_style="bold")
    for column in ("service", "health", "uptime", "restarts", "image", "memory", "URL"):
        right = column in ("uptime", "restarts", "memory")
        table.add_column(column, no_wrap=column != "image", overflow="fold", justify="right" if right else "left")
    for row in sorted(found, key=lambda row: (not row.url, row.service, row.replaced)):
        style = STYLES.get(row.health, "bold red")
        name = f"{row.service} (before)" if row.replaced else row.service
        health = f"[{style}]{row.health}[/{style}]"
        table.add_row(name, health, row.uptime, row.restarts, row.image, row.memory, row.url)
    console.print(table)
    for note in notes:
        console.print(note, markup=False)
