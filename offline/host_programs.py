"""Run programs from Debian's packages on this machine itself, independent of its C library."""

from __future__ import annotations

import shutil
from pathlib import Path

from machine.files import new_folder, write_file
from machine.lock import locked
from machine.progress import Say
from machine.workdir import WorkDir
from offline.debian import Suite

_WRAPPER = """#!/bin/sh
# Runs the program with the C library it was built for; the machine's own may be older.
here=$(dirname "$(readlink -f "$0")")
exec "$here/tree/{loader}" --library-path "$here/tree/{libraries}" "$here/tree/usr/bin/{program}" "$@"
"""


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
