"""Install a stand-in where Pulumi looks for the official plugin."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Literal

VERSIONS = {"docker": "5.2.0", "cloudflare": "6.23.1"}
"""Official plugin that has a stand-in → its version, as pinned in requirements.txt."""


def install_standin(name: Literal["docker", "cloudflare"], plugins_dir: Path, python: Path, checkout: Path) -> None:
    """Write the plugin folder `resource-<name>-v<version>` with a program that runs the stand-in.

    Idempotent: the program is rewritten atomically each time, which also repairs it after a move of the checkout or a
    new Python environment.
    """
    folder = plugins_dir / f"resource-{name}-v{VERSIONS[name]}"
    folder.mkdir(parents=True, exist_ok=True)
    program = folder / f"pulumi-resource-{name}"
    draft = program.with_suffix(".new")
    draft.write_text(
        "#!/bin/sh\n"
        f"# Stand-in for the official {name} plugin; see offline/standins in the checkout.\n"
        f"PYTHONPATH={shlex.quote(str(checkout))} "
        f'exec {shlex.quote(str(python))} -m offline.standins.{name} "$@"\n'
    )
    draft.chmod(0o755)
    draft.replace(program)
