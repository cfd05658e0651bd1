"""Runs amtool inside the Alertmanager container, because Alertmanager publishes no port for it."""

from __future__ import annotations

import getpass
import sys
from collections.abc import Sequence

import docker
from docker.models.containers import Container

from machine.progress import Progress, SetupError
from machine.workdir import WorkDir
from ops.inspect.status import instance_statuses, of_service
from ops.session import StackSession, connect
from ops.state.snapshot import State

SERVICE = "alertmanager"
URL = "http://127.0.0.1:9093"
"""Alertmanager's address inside its own container."""


def amtool(work: WorkDir, stack: str, arguments: Sequence[str], progress: Progress) -> int:
    """Run amtool in the stack's Alertmanager and print its output; return its exit code.

    The author of a silence defaults to the name of the current user of this machine.
    """
    session = connect(work, stack, progress)
    container = instances(session)[0]
    return run_amtool(session.docker_client().api, str(container.id), [*arguments, *_author(arguments)])


def run_amtool(api: docker.APIClient, container: str, arguments: Sequence[str]) -> int:
    """Run amtool in a container, stream its output and errors, and return its exit code."""
    command = ["amtool", f"--alertmanager.url={URL}", *arguments]
    run = api.exec_create(container, command)["Id"]
    for output, errors in api.exec_start(run, stream=True, demux=True):
        for stream, chunk in ((sys.stdout, output), (sys.stderr, errors)):
            if chunk:
                stream.write(chunk.decode(errors="replace"))
                stream.flush()
    return int(api.exec_inspect(run)["ExitCode"])


def instances(session: StackSession) -> list[Container]:
    """Return the stack's running Alertmanagers in order of service name. Raises SetupError if none is running."""
    stack, client = session.pulumi_cli.stack, session.docker_client()
    current = [status for status in instance_statuses(State.of(session.pulumi_cli), client) if not status.replaced]
    chosen = of_service(current, SERVICE, session.settings.product.workloads, stack)
    in_order = sorted(chosen, key=lambda status: status.service)
    running = [client.containers.get(status.id) for status in in_order if status.health in ("healthy", "running")]
    if not running:
        how = ", ".join(f"{status.service} is {status.health}" for status in chosen)
        raise SetupError(
            f"no Alertmanager of the stack {stack} is running: {how}", f"see: ./dockyard logs {stack} {SERVICE}"
        )
    return running


def _author(arguments: Sequence[str]) -> list[str]:
    """Return the option that names the author of a silence: amtool's own default is the container's user."""
    has_author = any(argument.startswith(("-a", "--author")) for argument in arguments)
    adds_silence = list(arguments[:2]) == ["silence", "add"]
    return [f"--author={getpass.getuser()}"] if adds_silence and not has_author else []
