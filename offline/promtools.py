"""`promtool`, `amtool` and `alertmanager` on this machine, to check rules, configurations and routes without Docker."""

from __future__ import annotations

from pathlib import Path

from machine.files import write_file, write_link
from machine.progress import Progress
from machine.workdir import WorkDir
from offline.host_programs import host_program, loader_of

PROGRAMS = ("promtool", "amtool", "alertmanager")

_WRAPPER = """#!/bin/sh
# Runs the program with the C library it was built for, where its own templates are.
cd "{tree}/usr"
ZONEINFO="{tree}/usr/share/zoneinfo" exec "{loader}" --library-path "{libraries}" "{program}" "$@"
"""
_INSTALLED = b"/usr/share/prometheus/alertmanager"
_RELOCATED = b".////share/prometheus/alertmanager"
"""Replacement for the path that Debian compiled in: equally long, and relative to the program's working directory."""


def ensure_promtools(work: WorkDir, progress: Progress) -> Path:
    """Return a folder with `promtool`, `amtool` and `alertmanager`, from the same packages as the kit's images.

    The programs come with their own C library, so that they run on any machine. Paths passed to `alertmanager` must
    be absolute. Raises SetupError when the packages are not available.
    """
    folder = work.cache / "programs" / "promtools"
    if all((folder / program).exists() for program in PROGRAMS):
        return folder
    with progress.step(", ".join(PROGRAMS)) as step:
        promtool = host_program(work, "sid", "promtool", "promtool", step.say)
        amtool = host_program(work, "sid", "prometheus-alertmanager", "amtool", step.say)
        write_link(folder / "promtool", promtool)
        write_link(folder / "amtool", amtool)
        # From the same package as amtool, so it is unpacked already.
        _relocate(amtool.parent / "tree", folder / "alertmanager")
        step.outcome = str(folder)
    return folder


def _relocate(tree: Path, wrapper: Path) -> None:
    """Make Debian's alertmanager run from an unpacked package, with the default templates of that package."""
    loader, libraries = loader_of(tree)
    program = wrapper.with_name("alertmanager.program")
    content = (tree / "usr/bin/prometheus-alertmanager").read_bytes().replace(_INSTALLED, _RELOCATED)
    write_file(program, content, 0o755)
    write_file(wrapper, _WRAPPER.format(tree=tree, loader=loader, libraries=libraries, program=program), 0o755)
