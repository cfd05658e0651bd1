"""Ports on the host: a block for each checkout, and a clear word where one is taken."""

from __future__ import annotations

import fcntl
from collections.abc import Collection
from pathlib import Path

import yaml

from settings.loader import Settings
from toolchain.ports import port_is_free
from toolchain.progress import SetupError
from toolchain.workdir import WorkDir

STEP = 100
"""Between the blocks of two checkouts; a stack publishes far fewer ports than that."""


def claim_port_offset(work: WorkDir) -> int:
    """Return what this checkout adds to its ports: 0 for the first on the machine, 100 for the second, and so on.

    Claims are kept machine-wide, so that the answer does not depend on what happens to run. A checkout whose work
    folder is gone loses its claim.
    """
    work.cache.mkdir(parents=True, exist_ok=True)
    with (work.cache / "checkouts.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        ledger = work.cache / "checkouts.yaml"
        said = yaml.safe_load(ledger.read_text()) if ledger.exists() else None
        claims: dict[str, int] = {folder: offset for folder, offset in (said or {}).items() if Path(folder).is_dir()}
        own = str(work.root)
        if own not in claims:
            taken = set(claims.values())
            claims[own] = next(offset for offset in range(0, 65536, STEP) if offset not in taken)
            draft = ledger.with_suffix(".new")
            draft.write_text(yaml.safe_dump(claims))
            draft.replace(ledger)
        return claims[own]


def check_ports(settings: Settings, held: Collection[int]) -> None:
    """Make sure that each port the stack publishes is free, or held by the stack itself (`held`).

    Raises SetupError naming every port that is taken.
    """
    taken = []
    for name in settings.wanted_ports:
        port = settings.port(name)
        if port is not None and port not in held and not port_is_free(port):
            taken.append(f"{name} wants 127.0.0.1:{port}")
    if taken:
        raise SetupError(
            f"ports are taken by another program: {', '.join(taken)}",
            f"`ss -ltnp` names the program; stop it, or change dockyard:publish in Pulumi.{settings.stack_name}.yaml",
        )
