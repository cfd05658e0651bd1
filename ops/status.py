"""The table of what runs."""

from __future__ import annotations

import sys
import threading
import time
from dataclasses import dataclass

import docker
from docker.errors import NotFound
from rich.console import Console
from rich.table import Table

from ops.state import CONTAINER, State

STYLES = {"healthy": "green", "running": "green", "done": "dim", "starting": "yellow"}


@dataclass(frozen=True)
class Row:
    """One container of the stack."""

    container: str
    """Its id."""

    service: str
    health: str
    url: str
    image: str


def rows(state: State, client: docker.DockerClient) -> list[Row]:
    """Return a row for each container in the state, those of finished config writers left out."""
    found = []
    for resource in state.of_type(CONTAINER):
        if resource.get("delete") or resource["urn"].endswith("-writer"):
            continue
        labels = {item["label"]: item["value"] for item in resource["inputs"].get("labels") or ()}
        ports = resource["inputs"].get("ports") or ()
        url = " ".join(f"http://{port['ip']}:{port['external']}" for port in ports)
        # Without registry and digest: those are in the state, and this is for the eye.
        image = str(resource["inputs"]["image"]).split("@")[0].rsplit("/", 1)[-1]
        found.append(Row(resource["id"], labels["dockyard.service"], _health(resource["id"], client), url, image))
    return sorted(found, key=lambda row: (not row.url, row.service))


def wait_until_settled(state: State, client: docker.DockerClient, seconds: int) -> None:
    """Wait while a container's health is not known yet, at most so many seconds."""
    limit = time.monotonic() + seconds
    while any(row.health == "starting" for row in rows(state, client)) and time.monotonic() < limit:
        time.sleep(0.5)


def _health(container_id: str, client: docker.DockerClient) -> str:
    try:
        state = client.api.inspect_container(container_id)["State"]
    except NotFound:
        return "gone"
    if state["Status"] == "exited":
        return "done" if state["ExitCode"] == 0 else f"failed ({state['ExitCode']})"
    if state["Status"] != "running":
        return str(state["Status"])
    return str(state.get("Health", {}).get("Status", "running"))


def print_table(title: str, found: list[Row], notes: list[str]) -> None:
    """Print the table and, below it, notes for the person."""
    # Where nobody looks at it (CI, a pipe) there is no width to keep to.
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 120)
    table = Table(title=title, title_justify="left", title_style="bold")
    for column in ("service", "health", "URL", "image"):
        table.add_column(column, no_wrap=column != "image", overflow="fold")
    for row in found:
        style = STYLES.get(row.health, "bold red")
        table.add_row(row.service, f"[{style}]{row.health}[/{style}]", row.url, row.image)
    console.print(table)
    for note in notes:
        console.print(note, markup=False)


def last_words(client: docker.DockerClient, stack: str, count: int = 10) -> list[tuple[str, list[str]]]:
    """Return the last log lines of each container of the stack that should be healthy and is not."""
    found = []
    for container in client.containers.list(all=True, filters={"label": f"dockyard.stack={stack}"}):
        health = container.attrs["State"].get("Health", {}).get("Status", "healthy")
        if health != "healthy":
            lines = container.logs(tail=count).decode(errors="replace").splitlines()
            checks = container.attrs["State"]["Health"]["Log"]
            said = [f"health check: {checks[-1]['Output'].strip()}"] if checks else []
            found.append((container.labels["dockyard.service"], lines + said))
    return found


def follow_logs(client: docker.DockerClient, found: list[Row], *, follow: bool, tail: int) -> int:
    """Print the last lines of each container, and with `follow` those to come; return the exit code."""
    threads = [threading.Thread(target=_print_logs, args=(client, row, follow, tail), daemon=True) for row in found]
    for thread in threads:
        thread.start()
        if not follow:
            thread.join()
    for thread in threads:
        thread.join()
    return 0


def _print_logs(client: docker.DockerClient, row: Row, follow: bool, tail: int) -> None:
    stream = client.containers.get(row.container).logs(stream=True, follow=follow, tail=tail)
    rest = b""
    for chunk in stream:
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            print(f"{row.service} | {line.decode(errors='replace')}", flush=True)  # noqa: T201 - this IS the output
