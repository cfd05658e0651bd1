"""Ports on the host: a port offset for each stack, and a clear error if a port is taken."""

from __future__ import annotations

from collections.abc import Callable, Collection
from pathlib import Path

import docker
import yaml

from machine.files import write_file
from machine.lock import locked
from machine.ports import port_is_free
from machine.progress import SetupError
from machine.workdir import WorkDir
from runtime.labels import stack_filter
from settings.loader import EDGE_HTTP, EDGE_HTTPS, Settings

STEP = 100
LARGEST_OFFSET, LARGEST_PORT = 20_000, 65_535


def claim_port_offset(
    work: WorkDir,
    stack: str,
    requested: Collection[int],
    *,
    movable: bool = True,
    is_free: Callable[[int], bool] = port_is_free,
) -> int:
    """Return the offset that is added to a stack's ports: the smallest that avoids conflicts on this machine.

    It is 0 as a rule, 100 if two stacks request the same port or another program has it at the stack's first start,
    and so on in steps of 100. Claims are stored machine-wide, so that the result does not depend on what is running. A
    stack keeps its claim after `down`; a checkout whose work folder is gone loses its claims.
    A stack that is not `movable` (staging, production) has offset 0, whoever has claimed its ports.
    Raises SetupError if there is no such offset.
    """
    with locked(work.cache / "ports.lock", lambda _: None):
        ledger = work.cache / "ports.yaml"
        stored = yaml.safe_load(ledger.read_text()) if ledger.exists() else None
        claims: dict[str, dict[str, list[int]]] = {
            folder: claimed for folder, claimed in (stored or {}).items() if Path(folder).is_dir()
        }
        checkout_claims = claims.setdefault(str(work.root), {})
        previous_claim: list[int] = checkout_claims.pop(stack, [])
        claimed_ports = {port for claimed in claims.values() for ports in claimed.values() for port in ports[1:]}
        offset = _offset(previous_claim, requested, claimed_ports, is_free) if movable else 0
        if offset is None:
            raise SetupError(
                f"the ports of the stack {stack} conflict with those of other stacks on this machine",
                f"all are listed in {ledger}; publish fewer ports, or different ones",
            )
        # The offset first, then the ports themselves.
        checkout_claims[stack] = [offset, *sorted(port + offset for port in requested)]
        write_file(ledger, yaml.safe_dump(claims))
        return offset


def _offset(
    previous_claim: list[int],
    requested: Collection[int],
    claimed_ports: Collection[int],
    is_free: Callable[[int], bool],
) -> int | None:
    """Return a stack's previous offset if it still fits, else the smallest that fits, None if none does."""
    previous_offset, previous_ports = previous_claim[:1], {*previous_claim[1:]}
    offset: int
    for offset in (*previous_offset, *range(0, LARGEST_OFFSET + 1, STEP)):
        ports = {port + offset for port in requested}
        if max(ports, default=0) > LARGEST_PORT or not ports.isdisjoint(claimed_ports):
            continue
        if offset in previous_offset or all(map(is_free, ports - previous_ports)):
            return offset
    return None


def published_ports(client: docker.DockerClient, stack: str) -> set[int]:
    """Return the host ports that the stack's own containers publish."""
    containers = client.containers.list(filters={"label": stack_filter(stack)}, ignore_removed=True)
    return {
        int(binding["HostPort"])
        for container in containers
        for bindings in container.ports.values()
        for binding in bindings or ()
    }


def check_ports(settings: Settings, own_ports: Collection[int]) -> None:
    """Check that each port that the stack publishes is free, or published by the stack itself (`own_ports`).

    Raises SetupError with every port that is taken.
    """
    conflicts, sections = [], set()
    for name in settings.requested_ports:
        port = settings.port(name)
        if port is not None and port not in own_ports and not port_is_free(port):
            routed = name in (EDGE_HTTP, EDGE_HTTPS)
            address = settings.product.edge.address if routed else "127.0.0.1"
            conflicts.append(f"{name} needs {address}:{port}")
            sections.add("dockyard:edge" if routed else "dockyard:publish")
    if conflicts:
        where = f"{' and '.join(sorted(sections))} in Pulumi.{settings.stack_name}.yaml"
        raise SetupError(
            f"ports are taken by another program: {', '.join(conflicts)}",
            f"`ss -ltnp` names the program; stop it, or change {where}",
        )
