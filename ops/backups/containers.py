"""The containers that take backups, and how commands run in them: only they have the keys and the clients."""

from __future__ import annotations

import sys
import tarfile
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import docker
from docker.models.containers import Container

from machine.progress import Progress, SetupError
from machine.workdir import WorkDir
from ops.session import StackSession, connect
from ops.state.snapshot import State
from runtime.instances import find_instance

SCRIPTS = "/run/backup"
"""Folder in the container with the scripts of components/backups/scripts."""

SCRATCH = "/scratch"
"""Mount point of a volume for temporary files, in the container that backs up Postgres."""

STORES = ("postgres", "redis", "monitoring")
STOP_SECONDS = 60.0
"""How long an interrupted script may take to clean up."""

# A command started in a container keeps running when the user's terminal closes or is interrupted. Its process id is
# written to a file, so that an interrupt can be forwarded. Docker starts it as the leader of its own process group.
_START = 'echo $$ >"$0" && exec "$@"'
_STOP = 'read -r group <"$0" && kill -TERM -- "-$group"'


@dataclass(frozen=True)
class BackupContainer:
    """A running container that takes backups of one store."""

    store: str
    container: Container

    @property
    def variables(self) -> dict[str, str]:
        """The container's environment variables; none of them is a secret."""
        pairs = (entry.partition("=") for entry in self.container.attrs["Config"]["Env"] or ())
        return {name: value for name, _, value in pairs}

    @property
    def _api(self) -> docker.APIClient:
        if self.container.client is None:
            raise ValueError("a container that no client found")
        return self.container.client.api

    def run(self, *command: str, environment: Mapping[str, str] | None = None) -> int:
        """Run a command, stream its output to the terminal, and return its exit code.

        An interrupt also stops the command; KeyboardInterrupt is raised again after the command has cleaned up.
        """
        pid_file = f"/tmp/dockyard-{uuid.uuid4().hex}"  # noqa: S108 - a folder in the container's own memory
        exec_id = self._create(["/bin/sh", "-c", _START, pid_file, *command], environment)
        try:
            for pair in self._start(exec_id):
                for stream, chunk in zip((sys.stdout, sys.stderr), pair, strict=True):
                    stream.write((chunk or b"").decode(errors="replace"))
                    stream.flush()
        except KeyboardInterrupt:
            self.container.exec_run(["/bin/sh", "-c", _STOP, pid_file])
            deadline = time.monotonic() + STOP_SECONDS
            while self._api.exec_inspect(exec_id)["Running"] and time.monotonic() < deadline:
                time.sleep(0.2)
            raise
        finally:
            self.container.exec_run(["rm", "-f", pid_file])
        return int(self._api.exec_inspect(exec_id)["ExitCode"])

    def read(self, *command: str, environment: Mapping[str, str] | None = None) -> str:
        """Run a command and return its output. Raises SetupError with its last line of errors where it fails."""
        return b"".join(self.stream(*command, environment=environment)).decode(errors="replace")

    def stream(self, *command: str, environment: Mapping[str, str] | None = None) -> Iterator[bytes]:
        """Run a command and yield its output. Raises SetupError with its last line of errors where it fails."""
        exec_id = self._create(command, environment)
        output_tail = error_tail = b""
        for output, errors in self._start(exec_id):
            error_tail = (error_tail + (errors or b""))[-2000:]
            output_tail = (output_tail + (output or b""))[-2000:]
            if output:
                yield output
        if code := self._api.exec_inspect(exec_id)["ExitCode"]:
            lines = (error_tail or output_tail).decode(errors="replace").strip().splitlines()
            raise SetupError(
                f"{command[0]} failed in the container {self.container.name}: {lines[-1] if lines else code}",
                f"see: ./dockyard logs STACK backup-{self.store}",
            )

    def _create(self, command: Sequence[str], environment: Mapping[str, str] | None) -> str:
        """Create a command without starting it; return its id."""
        created = self._api.exec_create(self.container.id, list(command), environment=dict(environment or {}))
        return str(created["Id"])

    def _start(self, exec_id: str) -> Iterable[tuple[bytes | None, bytes | None]]:
        """Start a command; return chunks of its output and errors."""
        chunks: Iterable[tuple[bytes | None, bytes | None]] = self._api.exec_start(exec_id, stream=True, demux=True)
        return chunks

    @contextmanager
    def uploaded(self, file: Path) -> Iterator[str]:
        """Copy a file of this machine into the container, yield its path there, and remove it afterwards."""
        name = f"upload-{uuid.uuid4().hex[:12]}"
        path = f"{SCRATCH}/{name}"
        try:
            with file.open("rb") as source:
                chunks = iter(lambda: source.read(1 << 20), b"")
                archive = tar_stream(name, file.stat().st_size, owner_of(self.container), chunks)
                self.container.put_archive(SCRATCH, archive)
            yield path
        finally:
            self.container.exec_run(["rm", "-f", path])


def owner_of(container: Container) -> int:
    """Return the user id of a container's processes."""
    return int(str(container.attrs["Config"]["User"]).partition(":")[0] or 0)


def tar_stream(name: str, size: int, owner: int, chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Yield a tar archive of one file in chunks: the file may be larger than the memory."""
    member = tarfile.TarInfo(name)
    member.size, member.mode, member.uid, member.gid = size, 0o600, owner, owner
    yield member.tobuf()
    yield from chunks
    yield bytes(-size % tarfile.BLOCKSIZE + 2 * tarfile.BLOCKSIZE)


def open_stack(work: WorkDir, stack: str, progress: Progress) -> tuple[StackSession, dict[str, BackupContainer]]:
    """Return a stack and its running backup containers, by store.

    Raises SetupError if the stack declares no backup container.
    """
    session = connect(work, stack, progress)
    state = State.of(session.pulumi_cli)
    declared = {store: instance.id for store in STORES if (instance := state.instance_of(f"backup-{store}"))}
    if not declared:
        raise SetupError(
            f"backups of the stack {stack} are not enabled",
            f"set `dockyard:backups: {{enabled: true}}` in Pulumi.{stack}.yaml, then run: ./dockyard up {stack}",
        )
    running = running_containers(session)
    containers = {
        store: BackupContainer(store, running[identity]) for store, identity in declared.items() if identity in running
    }
    if missing := [f"backup-{store}" for store in declared if store not in containers]:
        progress.line(f"  ! not running: {', '.join(missing)}; see: ./dockyard logs {stack} {missing[0]}", "yellow")
    return session, containers


def running_containers(session: StackSession) -> dict[str, Container]:
    """Return id → container of all running containers of the stack's Docker engine."""
    running = session.docker_client().containers.list(ignore_removed=True)
    return {str(container.id): container for container in running}


def container_for_role(session: StackSession, role: str) -> Container:
    """Return the container of a role, running or not.

    Raises SetupError if the state has no such container, or Docker no longer has it.
    """
    declared = State.of(session.pulumi_cli).instance_of(role)
    if declared and (instance := find_instance(session.docker_client(), declared.id)):
        return instance.container
    stack = session.pulumi_cli.stack
    raise SetupError(f"the container {role} of the stack {stack} is gone", f"recreate it: ./dockyard up {stack}")


def container_for_store(containers: Mapping[str, BackupContainer], store: str, stack: str) -> BackupContainer:
    """Return the backup container of one store. Raises SetupError if none runs."""
    if store not in containers:
        running_stores = ", ".join(containers) or "none"
        raise SetupError(
            f"the stack {stack} has no running backup container for {store}; it has: {running_stores}",
            f"start it: ./dockyard up {stack}",
        )
    return containers[store]


def scripts(store: str, verb: str) -> Sequence[str]:
    """Return the command line of a script."""
    return ("/bin/sh", f"{SCRIPTS}/{verb}-{store}.sh")
