"""The verb `down`: removes everything that a stack created, and its data only on explicit request."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import docker
import typer

from machine.progress import Progress, SetupError
from machine.workdir import WorkDir
from ops.deploy import data_volumes, up
from ops.deploy.networks import free_networks, networks_in_use, restart_own_engine
from ops.events import RunOutcome
from ops.pulumi_cli import PulumiCli
from ops.session import prepare_pulumi
from ops.state.locks import wait_for_locks
from ops.state.snapshot import State, recover
from toolchain.docker_engine import ensure_engine


def down(
    work: WorkDir,
    stack: str,
    service: str | None,
    progress: Progress,
    *,
    volumes: bool,
    yes: bool = False,
    named: str = "",
) -> int:
    """Remove everything that the stack created; data volumes, and the secrets that open them, only with `volumes`.

    If the stack protects its data, the user must type the stack's name or pass it as `named`; otherwise `yes` answers
    the question. With a service: deploy the running release without that service or job. The next `up` restores it.

    Raises SetupError, before anything is removed, if foreign containers use a network or a data volume of the stack.
    """
    if service:
        if volumes:
            raise SetupError("--volumes applies to a whole stack only: a service has no data of its own")
        return up.without_service(work, stack, service, progress)
    # `down` does not run the program, so that it works with broken stack files too.
    quiet = Progress(progress.console, quiet=True)
    host = ensure_engine(work, quiet)
    client = docker.DockerClient(base_url=host)
    pulumi_cli = prepare_pulumi(work, stack, quiet)
    wait_for_locks(work, stack, progress)
    state = recover(State.of(pulumi_cli), pulumi_cli, client, progress)
    # Pulumi refuses to delete these.
    protected = [resource.urn for resource in state.declared if resource.protect and volumes]
    if volumes:
        _ask(state, client, stack, progress, yes=yes, named=named, protected=bool(protected))
        data_volumes.refuse_other_users(state, client, stack)
    free_networks(state, client, stack, progress)
    destroy = partial(_destroy, work, pulumi_cli, host, client, progress)
    if protected:
        # First destroy all but the data, so that nothing uses the volumes any more. Then delete the volumes directly:
        # Pulumi would only remove them from the state. A volume leaves the state only after its deletion.
        if code := destroy(state.kept_with_data()):
            return code
        data_volumes.remove(state, client, progress)
        pulumi_cli.run("state unprotect", "--yes", *protected)
    return destroy([] if volumes else state.kept_with_data())


def _destroy(
    work: WorkDir,
    pulumi_cli: PulumiCli,
    host: str,
    client: docker.DockerClient,
    progress: Progress,
    keep: Sequence[str],
) -> int:
    """Destroy all resources except `keep` (URNs). Free networks that are still in use, and retry once."""

    def run() -> tuple[int, RunOutcome]:
        with progress.step(f"Stack {stack}") as step:
            code, outcome = pulumi_cli.change("destroy", [f"--exclude={urn}" for urn in keep], progress)
            step.outcome, step.failed = outcome.summary(), code != 0
        return code, outcome

    stack = pulumi_cli.stack
    code, outcome = run()
    if code and networks_in_use(outcome):
        free_networks(State.of(pulumi_cli), client, stack, progress)
        code, outcome = run()
    if code and (networks := networks_in_use(outcome)):
        if restart_own_engine(work, host, client, progress):
            code, outcome = run()
        else:
            progress.line(f"{networks}: no container is connected, but the Docker engine still counts one:")
            progress.line("  → restart Docker, then run this again (moby/moby#17217)", "red")
    if code and outcome.interrupted:
        progress.line(f"Stopped. The next ./dockyard down {stack} continues from here", "yellow")
        return up.INTERRUPTED
    if code:
        up.print_errors(outcome, progress, work, "destroy", stack)
    return code


def _ask(
    state: State,
    client: docker.DockerClient,
    stack: str,
    progress: Progress,
    *,
    yes: bool,
    named: str,
    protected: bool,
) -> None:
    """Describe the data to delete, and ask for confirmation. Raises SetupError or Abort if the user declines."""
    if named and named != stack:
        raise SetupError(f"--yes-delete-data names {named}, but the stack is {stack}")
    for line in data_volumes.describe_volumes(state, client):
        progress.line(line)
    if named or (yes and not protected):
        return
    question = f"Delete all data of the stack {stack}? This cannot be undone"
    if not protected:
        typer.confirm(question, abort=True)
        return
    if yes:
        raise SetupError(
            f"the stack {stack} protects its data: --yes alone does not delete it",
            f"name the stack: ./dockyard down {stack} --volumes --yes-delete-data {stack}",
        )
    if typer.prompt(f"{question}. Type the stack's name to continue", default="", show_default=False) != stack:
        raise SetupError("that is not the stack's name: nothing was removed")
