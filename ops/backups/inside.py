"""The containers that take backups, and how commands run in them: only they have the keys and the clients."""

from __future__ import annotations

import sys
import tarfile
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
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
        api = self._api
        exec_id = api.exec_create(
            self.container.id, ["/bin/sh", "-c", _START, pid_file, *command], environment=dict(environment or {})
        )["Id"]
        try:
            for output, errors in api.exec_start(exec_id, stream=True, demux=True):
                for stream, chunk in ((sys.stdout, output), (sys.stderr, errors)):
                    if chunk:
                        stream.write(chunk.decode(errors="replace"))
                        stream.flush()
        except KeyboardInterrupt:
            self.container.exec_run(["/bin/sh", "-c", _STOP, pid_file])
            deadline = time.monotonic() + STOP_SECONDS
            while api.exec_inspect(exec_id)["Running"] and time.monotonic() < deadline:
                time.sleep(0.2)
            raise
        finally:
            self.container.exec_run(["rm", "-f", pid_file])
        return int(api.exec_inspect(exec_id)["ExitCode"])

    def read(self, *command: str, environment: Mapping[str, str] | None = None) -> str:
        """Run a command and return its output. Raises SetupError with its last line of output where it fails."""
        exec_id = self._api.exec_create(self.container.id, list(command), environment=dict(environment or {}))["Id"]
        output, errors = self._api.exec_start(exec_id, demux=True)
        if code := self._api.exec_inspect(exec_id)["ExitCode"]:
            lines = (errors or output or b"").decode(errors="replace").strip().splitlines()
            raise SetupError(
                f"{command[0]} failed in the container {self.container.name}: {lines[-1] if lines else code}",
                f"look at: ./dockyard logs STACK backup-{self.store}",
            )
        return (output or b"").decode(errors="replace")

    def stream(self, *command: str, environment: Mapping[str, str] | None = None) -> Iterator[bytes]:
        """Run a command and yield its output. Raises SetupError with its errors, after the output, where it fails."""
        exec_id = self._api.exec_create(self.container.id, list(command), environment=dict(environment or {}))["Id"]
        error_tail = b""
        for output, errors in self._api.exec_start(exec_id, stream=True, demux=True):
            error_tail = (error_tail + (errors or b""))[-2000:]
            if output:
                yield output
        if self._api.exec_inspect(exec_id)["ExitCode"]:
            raise SetupError(
                f"{command[0]} failed in {self.container.name}: {error_tail.decode(errors='replace').strip()}"
            )

    @contextmanager
    def uploaded(self, file: Path) -> Iterator[str]:
        """Copy a file of this machine into the container, yield its path there, and remove it afterwards."""
        name = f"upload-{uuid.uuid4().hex[:12]}"
        path = f"{SCRATCH}/{name}"
        owner = int(self.container.attrs["Config"]["User"].partition(":")[0] or 0)
        try:
            self.container.put_archive(SCRATCH, _packed(file, name, owner))
            yield path
        finally:
            self.container.exec_run(["rm", "-f", path])


def _packed(file: Path, name: str, owner: int) -> Iterator[bytes]:
    """Yield a tar archive of one file in chunks: it may be larger than the memory."""
    member = tarfile.TarInfo(name)
    member.size, member.mode, member.uid, member.gid = file.stat().st_size, 0o400, owner, owner
    yield member.tobuf()
    with file.open("rb") as source:
        while piece := source.read(1 << 20):
            yield piece
    yield bytes(-member.size % tarfile.BLOCKSIZE + 2 * tarfile.BLOCKSIZE)


def open_stack(work: WorkDir, stack: str, progress: Progress) -> tuple[StackSession, dict[str, BackupContainer]]:
    """Return a stack and its running backup containers, by store.

    Raises SetupError where the stack declares no backup container.
    """
    session = connect(work, stack, progress)
    client = session.docker_client()
    state = State.of(session.pulumi_cli)
    declared = {store: instance.id for store in STORES if (instance := state.instance_of(f"backup-{store}"))}
    if not declared:
        raise SetupError(
            f"no backups are taken of the stack {stack}",
            f"say `dockyard:backups: {{enabled: true}}` in Pulumi.{stack}.yaml, then: ./dockyard up {stack}",
        )
    running = {container.id: container for container in client.containers.list(ignore_removed=True)}
    containers = {
        store: BackupContainer(store, running[identity]) for store, identity in declared.items() if identity in running
    }
    if missing := [f"backup-{store}" for store in STORES if store in declared and store not in containers]:
        progress.line(f"  ! not running: {', '.join(missing)}; look at: ./dockyard logs {stack} {missing[0]}", "yellow")
    return session, containers


def container_for_role(session: StackSession, role: str) -> Container:
    """Return the container of a role, running or not.

    Raises SetupError where the state has no such container, or Docker no longer has it.
    """
    declared = State.of(session.pulumi_cli).instance_of(role)
    if declared and (found := find_instance(session.docker_client(), declared.id)):
        return found.container
    raise SetupError(
        f"{role} of the stack {session.pulumi_cli.stack} is gone", f"./dockyard up {session.pulumi_cli.stack}"
    )


def container_for_store(containers: Mapping[str, BackupContainer], store: str, stack: str) -> BackupContainer:
    """Return the backup container of one store. Raises SetupError where none runs."""
    if store not in containers:
        running_stores = ", ".join(containers) or "none"
        raise SetupError(
            f"no container of the stack {stack} that takes backups of {store} runs; of others: {running_stores}",
            f"bring it up: ./dockyard up {stack}",
        )
    return containers[store]


def scripts(store: str, verb: str) -> Sequence[str]:
    """Return the command line of a script."""
    return ("/bin/sh", f"{SCRIPTS}/{verb}-{store}.sh")
