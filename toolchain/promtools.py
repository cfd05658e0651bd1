"""`promtool`, `amtool` and `alertmanager` on this machine, for checking rules, configurations and routes without an
engine."""

from __future__ import annotations

from pathlib import Path

from toolchain.kit.hostprograms import host_program, loader_of
from toolchain.progress import Progress
from toolchain.workdir import WorkDir

PROGRAMS = ("promtool", "amtool", "alertmanager")


def ensure_promtools(work: WorkDir, progress: Progress) -> Path:
    """Return a folder with `promtool`, `amtool` and `alertmanager`, of the same packages as the kit's images.

    The programs bring their own C library, so that they run whatever this machine has.
    Raises SetupError when the packages cannot be had.
    """
    folder = work.cache / "programs" / "promtools"
    if all((folder / program).exists() for program in PROGRAMS):
        return folder
    with progress.step(", ".join(PROGRAMS)) as step:
        folder.mkdir(parents=True, exist_ok=True)
        promtool = host_program(work, "sid", "promtool", "promtool", step.say)
        amtool = host_program(work, "sid", "prometheus-alertmanager", "amtool", step.say)
        _link(promtool, folder / "promtool")
        _link(amtool, folder / "amtool")
        # Of the same package, so it is there already.
        tree = amtool.parent / "tree"
        loader, libraries = loader_of(tree)
        draft = folder / ".alertmanager"
        draft.write_text(
            f'#!/bin/sh\nexec "{loader}" --library-path "{libraries}" "{tree}/usr/bin/prometheus-alertmanager" "$@"\n'
        )
        draft.chmod(0o755)
        draft.replace(folder / "alertmanager")
        step.outcome = str(folder)
    return folder


def _link(program: Path, link: Path) -> None:
    draft = link.with_name(f".{link.name}")
    draft.unlink(missing_ok=True)
    draft.symlink_to(program)
    draft.replace(link)
