"""The verbs that change a stack: up, preview, down."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence

import docker

from ops.events import Outcome
from ops.host import check_host
from ops.ports import check_ports
from ops.setup import Ready, prepare, prepare_engine, reach, stack_settings
from ops.state import State, remove_strays, settle_locks
from ops.status import follow_logs, last_words, print_table, rows, wait_until_settled
from toolchain.engine import ensure_engine
from toolchain.progress import Progress, SetupError, spell_seconds
from toolchain.workdir import WorkDir


def up(work: WorkDir, stack: str, progress: Progress) -> int:
    """Set up what is missing, bring the stack to what its files say, and print what runs; return the exit code."""
    began = time.monotonic()
    ready = prepare(work, stack, progress)
    client = ready.docker_client()
    check_host(ready.settings, client)
    state = _mended_state(work, ready, client, progress)
    check_ports(ready.settings, _ports_held(client, stack))
    again = [f"--replace={urn}" for urn in state.failed_jobs()]
    with progress.step(f"Stack {stack}") as step:
        # With a refresh, or a container that was killed or removed by hand would be taken for a running one.
        code, outcome = ready.engine.change("up", ["--refresh", *again], progress)
        step.outcome, step.failed = outcome.summary(), code != 0
    if code:
        _tell_errors(outcome, progress, work, "up", stack)
    else:
        # A container that only had to be started again is not waited for by the engine.
        wait_until_settled(State.of(ready.engine), client, ready.settings.product.docker.wait_timeout)
        code = _print_status(ready, client)
    for service, lines in last_words(client, stack) if code else ():
        progress.line(f"{service} is not healthy. Its last lines:", "bold red")
        progress.line("\n".join(f"    {line}" for line in lines))
    progress.line(f"{outcome.summary()} in {spell_seconds(time.monotonic() - began)}")
    return code


def preview(work: WorkDir, stack: str, arguments: Sequence[str], progress: Progress) -> int:
    """Show what an `up` would change; extra arguments go to the engine."""
    stack_settings(work, stack, preview=True)
    return prepare_engine(work, stack, progress).show("preview", list(arguments))


def down(work: WorkDir, stack: str, progress: Progress, *, volumes: bool) -> int:
    """Remove everything that the stack made; data volumes, and the secrets that open them, only with `volumes`."""
    # A stack is taken down also where its files are broken by now; the program is not run.
    ensure_engine(work, progress)
    engine = prepare_engine(work, stack, progress)
    settle_locks(work.state, stack, progress)
    state = State.of(engine)
    kept = [] if volumes else state.kept_with_data()
    with progress.step(f"Stack {stack}") as step:
        code, outcome = engine.change("destroy", [f"--exclude={urn}" for urn in kept], progress)
        step.outcome, step.failed = outcome.summary(), code != 0
    if code:
        _tell_errors(outcome, progress, work, "destroy", stack)
    return code


def _mended_state(work: WorkDir, ready: Ready, client: docker.DockerClient, progress: Progress) -> State:
    """Return the state, after what an interrupted run left has been put right."""
    settle_locks(work.state, ready.engine.stack, progress)
    state = State.of(ready.engine)
    if state.interrupted:
        remove_strays(state, client, ready.engine.stack, progress)
    return state


def _ports_held(client: docker.DockerClient, stack: str) -> set[int]:
    """Return the ports on the host that the stack's own containers have."""
    containers = client.containers.list(filters={"label": f"dockyard.stack={stack}"})
    return {
        int(binding["HostPort"])
        for container in containers
        for bindings in container.ports.values()
        for binding in bindings or ()
    }


def _tell_errors(outcome: Outcome, progress: Progress, work: WorkDir, verb: str, stack: str) -> None:
    """Print what the engine called an error; where it called nothing so, the end of what it printed."""
    log = work.logs / f"{verb}-{stack}.log"
    for error in outcome.errors or ["\n".join(log.read_text(errors="replace").splitlines()[-10:])]:
        progress.line(error, "bold red")
    progress.line(f"All that the engine printed is in {log.relative_to(work.checkout)}", "dim")


def logs(work: WorkDir, stack: str, service: str | None, *, follow: bool, tail: int, progress: Progress) -> int:
    """Print what the stack's containers wrote, each line with its service's name."""
    ready = reach(work, stack, progress)
    found = [row for row in rows(State.of(ready.engine), ready.docker_client()) if service in (None, row.service)]
    if not found:
        raise SetupError(f"the stack {stack} runs no service {service or 'at all'}")
    return follow_logs(ready.docker_client(), found, follow=follow, tail=tail)


def show_status(work: WorkDir, stack: str, progress: Progress) -> int:
    """Print what runs; exit code 1 where something is not well."""
    ready = reach(work, stack, progress)
    return _print_status(ready, ready.docker_client())


def _print_status(ready: Ready, client: docker.DockerClient) -> int:
    stack = ready.engine.stack
    found = rows(State.of(ready.engine), client)
    user = ready.settings.product.monitoring.grafana.admin_user
    notes = [f"Grafana: user {user}; its password: ./dockyard secret {stack} grafana-admin-password"]
    sys.stderr.flush()
    print_table(f"{ready.settings.product.name} · {stack}", found, notes if found else [])
    return 0 if all(row.health in ("healthy", "running", "done") for row in found) else 1
