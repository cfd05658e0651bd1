"""The verbs that deploy a stack: up, preview, rollback."""

from __future__ import annotations

import time
from collections.abc import Sequence

import docker

from ops import history, metrics_file, releases
from ops.events import Outcome
from ops.host import check_host
from ops.log_data import leave_other_stores_data
from ops.logs import tail_unhealthy
from ops.ports import check_ports, ports_held
from ops.setup import Ready, prepare, prepare_engine, stack_settings
from ops.show import print_status
from ops.state import State, recover
from ops.state_locks import lock_error_from_output, settle_locks
from ops.status import wait_until_settled
from settings.loader import Settings
from settings.release import Release
from toolchain.engine import ensure_engine
from toolchain.images import ensure_images
from toolchain.progress import Progress, SetupError, spell_seconds
from toolchain.workdir import WorkDir

MAX_LISTED_CHANGES = 12
"""Number of changes that a rollback prints one by one."""

INTERRUPTED = 130
"""Exit code of an interrupted run: the shells' code for SIGINT."""


def up(work: WorkDir, stack: str, service: str | None, progress: Progress) -> int:
    """Set up what is missing, deploy the stack as its files describe it, and print the status; return the exit code.

    With a service: deploy the running release, in which only that service or job, and the jobs that must run before
    it, are as the files describe them.
    """
    began = time.monotonic()
    if service:
        settings = stack_settings(work, stack)
        names = releases.part(settings, service)
        # Quiet, because the full preparation below prints the same messages.
        quiet = Progress(progress.console, quiet=True)
        docker_host = ensure_engine(work, quiet)
        running = _running(work, stack, quiet)
        image_names = releases.part_images(settings, names)
        mirror = settings.product.docker.mirror
        resolved = ensure_images(work, progress, docker_host, sorted({*image_names.values()}), mirror, settings.builds)
        references = {
            name: resolved.get(image_names[name]) or settings.images.reference(image_names[name], mirror)
            for name in names
        }
        releases.use(work, stack, releases.with_service(running, settings, names, references))
    return _bring_up(work, stack, progress, began)


def _bring_up(work: WorkDir, stack: str, progress: Progress, began: float, message: str = "") -> int:
    ready = prepare(work, stack, progress)
    client = ready.docker_client()
    check_host(ready.settings, client)
    state = _recovered_state(work, ready, client, progress)
    check_ports(ready.settings, ports_held(client, stack))
    state = leave_other_stores_data(state, ready.engine, ready.settings.product.monitoring.logs, progress)
    arguments = [f"--replace={urn}" for urn in _jobs_to_rerun(state, ready.settings)]
    arguments += [f"--message={message}"] if message else []
    released = time.monotonic()
    with progress.step(f"Stack {stack}") as step:
        # Refresh, or the engine would take a container that was killed or removed by hand for a running one.
        code, outcome = ready.engine.change("up", ["--refresh", *arguments], progress)
        step.outcome, step.failed = outcome.summary(), code != 0
    after = State.of(ready.engine)
    if code and outcome.interrupted:
        progress.line(f"Stopped. The next ./dockyard up {stack} goes on from here", "yellow")
        code = INTERRUPTED
    elif code:
        print_errors(outcome, progress, work, "up", stack)
    else:
        # The engine does not wait for a container that it only had to start again.
        wait_until_settled(after, client, ready.settings.product.docker.wait_timeout)
        code = print_status(ready, after, client)
    seconds = time.monotonic() - released
    metrics_file.tell_deploy(after, client, outcome, progress, seconds=seconds, succeeded=code == 0)
    for name, lines in tail_unhealthy(client, stack, after.replaced()) if code else ():
        progress.line(f"{name} is not healthy. Its last lines:", "bold red")
        progress.line("\n".join(f"    {line}" for line in lines))
    progress.line(f"{outcome.summary()} in {spell_seconds(time.monotonic() - began)}")
    return code


def rollback(work: WorkDir, stack: str, progress: Progress) -> int:
    """Roll back to the newest good release that differs from the running one; return the exit code.

    Images, settings and files are rolled back; data and migrations are not. Raises SetupError if there is no earlier
    release.
    """
    began = time.monotonic()
    backend = history.history_store(work)
    engine = prepare_engine(work, stack, Progress(progress.console, quiet=True))
    settle_locks(work, stack, progress)
    state = State.of(engine)
    running = releases.running_release(state, stack)
    updates = history.updates(backend, stack)
    target = history.rollback_target(updates, running, broken=history.is_broken(updates, state))
    if target is None or target.release is None:
        raise SetupError(
            f"the history of the stack {stack} has no earlier release to go back to",
            "return its files to what they were in git, then run `up`",
        )
    since = f"{target.ended.astimezone():%d %B %Y, %H:%M:%S}"
    progress.line(f"Back to the release of {since}", "bold")
    differences = history.changes(running, target.release) or ["what ran before the run that failed"]
    remainder = [f"and {len(differences) - MAX_LISTED_CHANGES} more"] if len(differences) > MAX_LISTED_CHANGES else []
    for line in differences[:MAX_LISTED_CHANGES] + remainder:
        progress.line(f"  · {line}")
    releases.use(work, stack, target.release)
    code = _bring_up(work, stack, progress, began, f"{history.ROLLBACK} to {since}")
    progress.line(
        f"The files still describe the newer release: mend them before the next ./dockyard up {stack}", "yellow"
    )
    return code


def preview(work: WorkDir, stack: str, service: str | None, arguments: Sequence[str], progress: Progress) -> int:
    """Show what an `up` would change; pass extra arguments to the engine."""
    settings = stack_settings(work, stack, preview=True)
    if service:
        names = releases.part(settings, service)
        running = _running(work, stack, progress)
        image_names = releases.part_images(settings, names)
        references = {name: settings.image(image_names[name]) for name in names}
        releases.use(work, stack, releases.with_service(running, settings, names, references))
    return prepare_engine(work, stack, progress).show("preview", list(arguments))


def without_service(work: WorkDir, stack: str, service: str, progress: Progress) -> int:
    """Deploy the running release without one service or job; return the exit code. The next `up` restores it."""
    began = time.monotonic()
    running = _running(work, stack, Progress(progress.console, quiet=True))
    releases.use(work, stack, releases.without_service(running, service, stack))
    return _bring_up(work, stack, progress, began)


def _running(work: WorkDir, stack: str, progress: Progress) -> Release:
    """Return the running release, after any other run on the stack has ended."""
    engine = prepare_engine(work, stack, progress)
    settle_locks(work, stack, progress)
    return releases.running_release(State.of(engine), stack)


def _jobs_to_rerun(state: State, settings: Settings) -> list[str]:
    """Return the URNs of the failed one-shot jobs to run again.

    For an explicitly requested release these are its `fresh` jobs only. Jobs that write configuration always run again.
    """
    failed = state.failed_jobs()
    if not settings.rolled_back:
        return failed
    prefix = f"{settings.product.name}-app-"
    fresh = {f"{prefix}{name}" for name in settings.release.fresh}
    fresh |= {f"{prefix}postgres-dump-before-{name}" for name in settings.release.fresh}
    return [urn for urn in failed if urn.endswith("-writer") or urn.rsplit("::", 1)[-1] in fresh]


def _recovered_state(work: WorkDir, ready: Ready, client: docker.DockerClient, progress: Progress) -> State:
    """Return the state, after recovery from an interrupted run."""
    settle_locks(work, ready.engine.stack, progress)
    state = State.of(ready.engine)
    return recover(state, ready.engine, client, progress)


def print_errors(outcome: Outcome, progress: Progress, work: WorkDir, verb: str, stack: str) -> None:
    """Print the engine's errors, or the end of its log if there are none. Raises SetupError for a locked stack."""
    log = work.logs / f"{verb}-{stack}.log"
    if not outcome.errors and (lock_error := lock_error_from_output(stack, log.read_text(errors="replace"))):
        raise lock_error
    for error in outcome.errors or ["\n".join(log.read_text(errors="replace").splitlines()[-10:])]:
        progress.line(error, "bold red")
    progress.line(f"All that the engine printed is in {log.relative_to(work.checkout)}", "dim")
