"""Ports on the host: every stack's own, and a clear word where one is taken."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import yaml

from settings.loader import Settings
from toolchain.lock import locked
from toolchain.ports import port_is_free
from toolchain.progress import SetupError
from toolchain.workdir import WorkDir

STEP = 100
LARGEST_OFFSET, LARGEST_PORT = 20_000, 65_535


def claim_port_offset(work: WorkDir, stack: str, wanted: Collection[int]) -> int:
    """Return what is added to the ports that a stack wants: the least that keeps all stacks of the machine apart.

    That is 0, as a rule; 100 where two stacks want the same port, and so on. Claims are kept machine-wide, so that
    the answer does not depend on what happens to run. A checkout whose work folder is gone loses its claims.
    Raises SetupError where there is no such offset.
    """
    with locked(work.cache / "ports.lock", lambda _: None):
        ledger = work.cache / "ports.yaml"
        said = yaml.safe_load(ledger.read_text()) if ledger.exists() else None
        claims: dict[str, dict[str, list[int]]] = {
            folder: claimed for folder, claimed in (said or {}).items() if Path(folder).is_dir()
        }
        own = claims.setdefault(str(work.root), {})
        before: list[int] = own.pop(stack, [])
        taken = {port for claimed in claims.values() for ports in claimed.values() for port in ports[1:]}
        candidates: list[int] = [*before[:1], *range(0, LARGEST_OFFSET + 1, STEP)]
        offset: int | None = next((one for one in candidates if _fits(one, wanted, taken)), None)
        if offset is None:
            raise SetupError(
                f"the ports of the stack {stack} cannot be kept apart from those of other stacks of this machine",
                f"they are listed in {ledger}; publish fewer, or others",
            )
        # The offset first, then the ports themselves.
        own[stack] = [offset, *sorted(port + offset for port in wanted)]
        draft = ledger.with_suffix(".new")
        draft.write_text(yaml.safe_dump(claims))
        draft.replace(ledger)
        return offset


def _fits(offset: int, wanted: Collection[int], taken: Collection[int]) -> bool:
    return all(port + offset <= LARGEST_PORT and port + offset not in taken for port in wanted)


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
