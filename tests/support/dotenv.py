"""A checkout with one stack of a small product, to import `.env` files into, with an engine that only keeps secrets."""

import json
import subprocess
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from machine.progress import Progress
from machine.workdir import WorkDir
from ops import pulumi_cli
from ops.dotenv import command
from tests.support.checkout import SOURCE

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


class FakePulumi:
    """The Pulumi program, in place of a process: it keeps secrets outside of the stack file, and marks them there."""

    def __init__(self) -> None:
        self.secrets: dict[str, str] = {}
        self.commands: list[str] = []  # every command line that it was given
        self.broken = False  # it keeps one secret, and fails from then on

    def run(self, words: Sequence[str], *, cwd: Path, input: str | None = None, **_: Any) -> SimpleNamespace:
        """Stand for `subprocess.run`. Raises CalledProcessError where it fails."""
        self.commands.append(" ".join(words))
        assert "--non-interactive" in words
        if "--show-secrets" in words:
            printed = {name: {"value": value, "secret": True} for name, value in self.secrets.items()}
            return SimpleNamespace(stdout=json.dumps(printed), returncode=0)
        assert list(words[:3]) == ["pulumi", "config", "set"] and words[-2] == "--secret"
        if self.broken and self.secrets:
            raise subprocess.CalledProcessError(1, list(words), stderr="error: the disk is full")
        name, stack = words[-1], words[list(words).index("--stack") + 1]
        assert input is not None
        self.secrets[name] = input
        file = cwd / f"Pulumi.{stack}.yaml"
        lines = [line for line in file.read_text().splitlines() if not line.startswith(f"  {name}")]
        file.write_text("\n".join([*lines, f"  {name}: {{secure: v1:{len(self.secrets)}}}"]) + "\n")
        return SimpleNamespace(stdout="", returncode=0)


class Shop:
    """The checkout; `take` imports a file into its one stack, staging."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self.work = WorkDir(folder)
        self.capsys = capsys
        for name in ("products", "components"):
            (folder / name).mkdir()
        (folder / "components/images.yaml").write_text((SOURCE / "components/images.yaml").read_text())
        self.stack_file, self.product_file = folder / "Pulumi.staging.yaml", folder / "products/shop.yaml"
        self.stack_file.write_text(STACK)
        self.product_file.write_text(PRODUCT)
        self.pulumi = FakePulumi()
        self.engines = 0
        monkeypatch.setenv("COLUMNS", "220")
        monkeypatch.setattr(command, "prepare_pulumi", self._engine)
        process = SimpleNamespace(run=self.pulumi.run, CalledProcessError=subprocess.CalledProcessError)
        monkeypatch.setattr(pulumi_cli, "subprocess", process)

    def _engine(self, work: WorkDir, stack: str, _progress: Progress) -> pulumi_cli.PulumiCli:
        self.engines += 1
        return pulumi_cli.PulumiCli(work, stack, {})

    def take(self, text: str, **options: Any) -> dict[str, str]:
        """Import a file; return variable → all that was printed of it."""
        file = self.work.checkout / ".env"
        file.write_text(text)
        assert command.import_env(self.work, file, "staging", Progress(quiet=True), **options) == 0
        self.printed = self.capsys.readouterr().out
        answers: dict[str, str] = {}
        name = ""
        for line in self.printed.splitlines():
            if line.startswith("│"):
                variable, *rest = (cell.strip() for cell in line.strip("│").split("│"))
                name = variable or name
                answers[name] = f"{answers[name]} / {': '.join(rest)}" if name in answers else ": ".join(rest)
        return answers

    @property
    def config(self) -> dict[str, Any]:
        return dict(yaml.safe_load(self.stack_file.read_text())["config"])

    @property
    def secrets(self) -> dict[str, str]:
        return {name.removeprefix("dockyard:"): value for name, value in self.pulumi.secrets.items()}

    @property
    def commands(self) -> str:
        return "\n".join(self.pulumi.commands)
