"""A checkout of this repository, used from the outside as a person uses it."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import docker

from machine.workdir import WorkDir
from tests.support.engine import engine_of, watched
from toolchain.docker_client import DockerClient

SOURCE = Path(__file__).resolve().parents[2]  # the checkout that the tests run from

MINUTES = 60


@dataclass(frozen=True)
class Finished:
    code: int
    output: str
    seconds: float
    cpu_seconds: float  # of both kinds, of the command and all that it waited for: a busy machine changes it little

    def good(self) -> Finished:
        """Return this, once it is sure that the command ended well."""
        assert self.code == 0, self.output
        return self


@dataclass(frozen=True)
class Checkout:
    folder: Path

    def dockyard(self, *arguments: str, limit: int = 15 * MINUTES) -> Finished:
        """Run `./dockyard`. `limit` is in seconds."""
        return run([str(self.folder / "dockyard"), *arguments], self.folder, clean_environment(), limit)

    @cached_property
    def _exported(self) -> dict[str, str]:
        """The variables that `./dockyard env` exports, asked for once: it takes a second."""
        clean = clean_environment()
        printed = _printed(["/bin/sh", "-c", 'eval "$(./dockyard env)"; env -0'], self.folder, clean)
        variables = dict(item.split("=", 1) for item in printed.split("\0") if item)
        return {name: value for name, value in variables.items() if clean.get(name) != value}

    @property
    def environment(self) -> dict[str, str]:
        """The variables that `./dockyard env` exports, on top of a clean environment. The checkout must be set up."""
        return {**clean_environment(), **self._exported}

    def pulumi(self, *arguments: str) -> Finished:
        return run(["pulumi", *arguments], self.folder, self.environment, 10 * MINUTES)

    def export(self, stack: str) -> dict:
        """Return the state of a stack. Unlike `pulumi`, prints nothing: a state is long."""
        command = ["pulumi", "stack", "export", "-s", stack]
        return json.loads(_printed(command, self.folder, self.environment))["deployment"]

    def docker(self) -> docker.DockerClient:
        return DockerClient(self.environment["DOCKER_HOST"])


def run(command: list[str], folder: Path, environment: Mapping[str, str], limit: int) -> Finished:
    """Run a command to its end. pytest shows the printed output where a test fails."""
    began, cpu_before = time.monotonic(), _cpu_seconds_of_children()
    finished = subprocess.run(
        command,
        cwd=folder,
        env=dict(environment),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=limit,
    )
    seconds, cpu_seconds = time.monotonic() - began, _cpu_seconds_of_children() - cpu_before
    used = f"{finished.returncode}, {seconds:.1f} s, {cpu_seconds:.1f} s of CPU"
    print(f"$ {' '.join(command)}  [{used}]\n{finished.stdout}")  # noqa: T201 - see above
    return Finished(finished.returncode, finished.stdout, seconds, cpu_seconds)


def _cpu_seconds_of_children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _printed(command: list[str], folder: Path, environment: Mapping[str, str] | None = None) -> str:
    """Return what a command prints that must end well."""
    ran = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=True)
    return ran.stdout


def clean_environment() -> dict[str, str]:
    """Return this process's environment without the variables that name a stack, an engine or a Python."""
    dropped = ("PULUMI_", "DOCKER_", "VIRTUAL_ENV", "PYTHON")
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith(dropped)},
        "DOCKYARD_ENGINE": "private",
    }


def copy_checkout(folder: Path, prepare: Callable[[Path], None] | None = None) -> Checkout:
    """Copy the tree as it stands, uncommitted changes included, `prepare` the copy and commit it."""
    listed = _printed(["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], SOURCE)
    for name in filter(None, listed.split("\0")):
        if (SOURCE / name).exists():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(SOURCE / name, folder / name)
    if prepare:
        prepare(folder)
    git = ["git", "-c", "user.name=test", "-c", "user.email=test@example.com"]
    for command in (["init", "-q"], ["add", "-A"], ["commit", "-q", "-m", "Copy of the tree under test"]):
        subprocess.run([*git, *command], cwd=folder, check=True)
    # Pulumi's automatic debug log takes a quarter of the processor time of a `preview`. No setting switches it off, but
    # a file where its folder should be.
    home = WorkDir(folder).pulumi_home
    home.mkdir(parents=True)
    (home / "logs").touch()
    return Checkout(folder)


@contextlib.contextmanager
def disposable_checkout(prepare: Callable[[Path], None] | None = None) -> Iterator[Checkout]:
    """Yield a copy of the tree, `prepare`d; at the end its engine, every stack on it and its folder are removed."""
    folder = Path(tempfile.mkdtemp(prefix="dockyard-checkout-"))
    checkout = copy_checkout(folder, prepare)
    try:
        with watched(engine_of(folder)):
            yield checkout
    finally:
        stopped = checkout.dockyard("stop")
        shutil.rmtree(folder)
        stopped.good()
