"""Add programs that are not in Debian to images: our own programs below offline/kit, and npm."""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping
from pathlib import Path

from machine.progress import Say
from machine.sites import ensure_site
from machine.workdir import WorkDir
from offline.debian import architecture
from offline.golang import GoProgram, build, ensure_go


def is_compiled(source: Path) -> bool:
    """Tell whether the program of a folder is a Go module, whose build takes minutes on all cores."""
    return (source / "go.mod").exists()


def add_program(work: WorkDir, source: Path, tree: Path, folder: str, stamps: Mapping[str, str], say: Say) -> None:
    """Add the program of a folder to an image's files.

    A Go module is built into `folder`, with `stamps` linked in: its own package, or the one of its `tool` line. A
    Python program's package is copied to /usr/share/<name>, and its libraries to `site-packages` beside it; the
    recipe's `compiles` compiles both, see `offline.kit.tree.compile_python`. A folder with neither pins a
    distribution of Node.js, from which npm is copied.
    Raises SetupError when the program cannot be built or its libraries are not available.
    """
    if is_compiled(source):
        _add_go(work, source, tree / folder.lstrip("/"), stamps, say)
    elif list(source.glob("*/__main__.py")):
        _add_python(work, source, tree, say)
    else:
        _add_npm(work, source, tree, say)


def _add_go(work: WorkDir, source: Path, folder: Path, stamps: Mapping[str, str], say: Say) -> None:
    declared = (source / "go.mod").read_text()
    package = [*re.findall(r"^tool (\S+)$", declared, re.M), *re.findall(r"^module (\S+)$", declared, re.M)][0]
    program = build(work, ensure_go(work, source, say), GoProgram(source, package, dict(stamps)), say)
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy2(program, folder / program.name)


def _add_python(work: WorkDir, source: Path, tree: Path, say: Say) -> None:
    package = next(path.parent for path in sorted(source.glob("*/__main__.py")))
    home = tree / "usr/share" / package.name.replace("_", "-")
    unwanted = shutil.ignore_patterns("__pycache__", "*.pyc")
    shutil.copytree(package, home / package.name, ignore=unwanted)
    site = ensure_site(work, source / "requirements.txt", architecture(), say)
    shutil.copytree(site, home / "site-packages", ignore=unwanted)


def _add_npm(work: WorkDir, source: Path, tree: Path, say: Say) -> None:
    site = ensure_site(work, source / "requirements.txt", architecture(), say)
    npm = next(site.glob("*/lib/node_modules/npm"))
    unwanted = shutil.ignore_patterns("docs", "man", "*.md")
    shutil.copytree(npm, tree / "usr/local/lib/node_modules/npm", ignore=unwanted)
