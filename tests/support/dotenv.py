"""A checkout with one stack of a small product, to import `.env` files into, with an engine that only keeps secrets."""

from __future__ import annotations

import json
import os
import stat
import sys
from pathlib import Path

import pytest
import yaml

from ops import env_import
from ops.engine import Engine
from toolchain.progress import Progress
from toolchain.workdir import WorkDir

CHECKOUT = Path(__file__).resolve().parents[2]

STACK = """\
# A shop's staging.
config:
  dockyard:product: products/shop.yaml
  dockyard:environment: staging # as it stands
  dockyard:services:
    api: {image: demo}
"""
PRODUCT = """\
name: shop
services:
  api:
    image: demo
    port: 3000
    health: {http: /ready}
    needs: [postgres, redis]
    secrets: [jwt-secret, app-key]
    env: {PORT: "3000", NODE_ENV: production, RATE_LIMIT_DEFAULT: "100", DB_TRACE: "false"}
    after: [migrate]
  frontend:
    image: demo
    port: 8080
    health: {http: /}
    env: {NODE_ENV: production}
    secrets: [frontend-key]
jobs:
  migrate: {image: demo, needs: [postgres]}
  tidy: {image: demo, needs: [postgres], schedule: "0 3 * * *", command: [tidy]}
postgres: {database: shop, user: shop}
redis: {}
publish: {postgres: 5433}
"""

PULUMI = '''\
#!{python}
"""Stands for the engine: keeps secrets outside of the stack file, and writes there what a real one would."""
import json, sys
from pathlib import Path
here = Path({folder!r})
kept = here / "kept.json"
known = json.loads(kept.read_text()) if kept.exists() else {{}}
with (here / "commands").open("a") as commands:
    commands.write(" ".join(sys.argv[1:]) + "\\n")
if "--show-secrets" in sys.argv:
    print(json.dumps({{name: {{"value": value, "secret": True}} for name, value in known.items()}}))
    sys.exit()
assert sys.argv[1:4] == ["config", "set", "--secret"] and "--non-interactive" in sys.argv
name, stack = sys.argv[4], sys.argv[sys.argv.index("--stack") + 1]
if (here / "broken").exists() and known:
    sys.exit("error: the disk is full")
known[name] = sys.stdin.read()
kept.write_text(json.dumps(known))
file = Path(f"Pulumi.{{stack}}.yaml")
lines = [line for line in file.read_text().splitlines() if not line.startswith("  " + name)]
file.write_text("\\n".join([*lines, f"  {{name}}: {{{{secure: v1:{{len(known)}}}}}}"]) + "\\n")
'''


class Shop:
    """The checkout; `take` imports a file into its one stack, staging."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self.work = WorkDir(folder)
        self.capsys = capsys
        self.bin = folder / "bin"
        for made in ("products", "components", "bin"):
            (folder / made).mkdir()
        (folder / "components/images.yaml").write_text((CHECKOUT / "components/images.yaml").read_text())
        self.stack_file, self.product_file = folder / "Pulumi.staging.yaml", folder / "products/shop.yaml"
        self.stack_file.write_text(STACK)
        self.product_file.write_text(PRODUCT)
        program = self.bin / "pulumi"
        program.write_text(PULUMI.format(python=sys.executable, folder=str(self.bin)))
        program.chmod(program.stat().st_mode | stat.S_IXUSR)
        self.engines = 0
        monkeypatch.setenv("COLUMNS", "220")
        monkeypatch.setattr(env_import, "prepare_engine", self._engine)
        # The subprocess is looked up by this process's PATH.
        monkeypatch.setenv("PATH", f"{self.bin}{os.pathsep}{os.environ['PATH']}")

    def _engine(self, work, stack, _progress):
        self.engines += 1
        return Engine(work, stack, dict(os.environ))

    def take(self, text: str, **options) -> dict[str, str]:
        """Import a file; return variable → all that was said of it."""
        file = self.work.checkout / ".env"
        file.write_text(text)
        assert env_import.import_env(self.work, file, "staging", Progress(quiet=True), **options) == 0
        self.printed = self.capsys.readouterr().out
        said, name = {}, ""
        for line in self.printed.splitlines():
            if line.startswith("│"):
                variable, *rest = (cell.strip() for cell in line.strip("│").split("│"))
                name = variable or name
                said[name] = f"{said[name]} / {': '.join(rest)}" if name in said else ": ".join(rest)
        return said

    @property
    def config(self):
        """The stack's own plain settings."""
        return dict(yaml.safe_load(self.stack_file.read_text())["config"])

    @property
    def secrets(self) -> dict[str, str]:
        """Secrets that the engine keeps."""
        kept = self.bin / "kept.json"
        found = json.loads(kept.read_text()) if kept.exists() else {}
        return {name.removeprefix("dockyard:"): value for name, value in found.items()}

    @property
    def commands(self) -> str:
        """Every command line that the engine was given."""
        log = self.bin / "commands"
        return log.read_text() if log.exists() else ""
