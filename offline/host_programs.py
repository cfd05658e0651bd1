"""Run programs from Debian's packages on this machine itself, independent of its C library."""

from __future__ import annotations

import shutil
from pathlib import Path

from machine.files import new_folder, write_file, write_link
from machine.lock import locked
from machine.progress import Progress, Say
from machine.workdir import WorkDir
from offline.debian import Suite

_WRAPPER = """#!/bin/sh
# Runs the program with the C library it was built for; the machine's own may be older.
here=$(dirname "$(readlink -f "$0")")
exec "$here/tree/{loader}" --library-path "$here/tree/{libraries}" "$here/tree/usr/bin/{program}" "$@"
"""

PROMTOOLS = ("promtool", "amtool", "alertmanager")

_ALERTMANAGER = """#!/bin/sh
# Runs Debian's alertmanager where its own templates are.
cd "{tree}/usr"
ZONEINFO="{tree}/usr/share/zoneinfo" exec "{loader}" --library-path "{libraries}" "{program}" "$@"
"""
_INSTALLED = b"/usr/share/prometheus/alertmanager"
_RELOCATED = b".////share/prometheus/alertmanager"
"""Replacement for the path that Debian compiled in: equally long, and relative to the program's working directory."""


def host_program(work: WorkDir, suite: str, package: str, program: str, say: Say) -> Path:
    """Return the path of a program from a Debian package that can be started on this machine.

    It is in the shared cache; the first call fetches and unpacks it. Raises SetupError when it is not available.
    """
    folder = work.cache / "programs" / f"{package}-{suite}"
    path = folder / program
    if path.exists():
        return path
    say(f"fetching Debian's {package}")
    with locked(folder.with_name(f"{folder.name}.lock"), say), new_folder(folder) as draft:
        if path.exists():
            return path
        tree = draft / "tree"
        for fetched in Suite(work, suite).fetch([package], without=("adduser", "debconf", "init-system-helpers")):
            fetched.unpack(tree)
        loader, libraries = (path.relative_to(tree) for path in loader_of(tree))
        write_file(draft / program, _WRAPPER.format(loader=loader, libraries=libraries, program=program), 0o755)
        shutil.rmtree(folder, ignore_errors=True)
    return path


def loader_of(tree: Path) -> tuple[Path, Path]:
    """Return the dynamic loader and the library folder of an unpacked C library."""
    libc = next(iter(tree.glob("usr/lib/*/libc.so.6")))
    loader = next(iter(sorted(libc.parent.glob("ld-linux*.so.*"))))
    return loader, libc.parent


def ensure_promtools(work: WorkDir, progress: Progress) -> Path:
    """Return a folder with `promtool`, `amtool` and `alertmanager`, from the same packages as the kit's images.

    The programs come with their own C library, so that they run on any machine. Paths passed to `alertmanager` must
    be absolute. Raises SetupError when the packages are not available.
    """
    folder = work.cache / "programs" / "promtools"
    if all((folder / program).exists() for program in PROMTOOLS):
        return folder
    with progress.step(", ".join(PROMTOOLS)) as step:
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
    write_file(wrapper, _ALERTMANAGER.format(tree=tree, loader=loader, libraries=libraries, program=program), 0o755)
