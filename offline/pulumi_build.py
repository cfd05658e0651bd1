"""Build the Pulumi CLI and its Python support from the Go modules that are pinned in offline/go."""

from __future__ import annotations

import importlib.metadata
import shutil
from pathlib import Path

from machine.progress import Say
from machine.workdir import WorkDir
from offline.golang import Go, GoProgram, build, ensure_go

GO_MODULES = Path(__file__).parent / "go"
SDK = "github.com/pulumi/pulumi/sdk/v3"
SCRIPTS = {"pulumi-language-python-exec": "python/cmd", "pulumi-resource-pulumi-python": "python/dist"}
"""Program that is a script, copied as it is → its folder in the SDK's module."""


def modules_key() -> str:
    """Return a hash of the pinned modules."""
    return GoProgram(GO_MODULES, "all").key(Go(Path(), "any"))


def build_from_modules(work: WorkDir, names: set[str], target: Path, say: Say) -> None:
    """Build the named programs into the folder `target`. Raises SetupError."""
    stamps = {f"{SDK}/go/common/version.Version": f"v{importlib.metadata.version('pulumi')}"}
    cli = GoProgram(GO_MODULES / "pulumi", "github.com/pulumi/pulumi/pkg/v3/cmd/pulumi", stamps)
    # The language host's module moved out of this repository path after 3.78.1; that version works with today's CLI.
    host = GoProgram(GO_MODULES / "language-python", f"{SDK}/python/cmd/pulumi-language-python")
    go = ensure_go(work, cli.module, say)
    for program in (host, cli):
        if program.name in names:
            shutil.copy2(build(work, go, program, say), target / program.name)
    if scripts := names & SCRIPTS.keys():
        go.run("mod", "download", SDK, cwd=cli.module)
        module = Path(go.run("list", "-m", "-f", "{{.Dir}}", SDK, cwd=cli.module))
        for name in scripts:
            shutil.copyfile(module / SCRIPTS[name] / name, target / name)
