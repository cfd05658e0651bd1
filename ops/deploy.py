"""The verbs that bring a stack to what it should be: up, preview, rollback."""

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
"""Changes that a rollback tells one by one."""

INTERRUPTED = 130
"""Exit code of a run that somebody stopped, as shells have it for SIGINT."""


def up(work: WorkDir, stack: str, service: str | None, progress: Progress) -> int:
    """Set up what is missing, bring the stack to what its files say, and print what runs; return the exit code.

    With a service: the release that runs, and of the files only what they say of that service or job and of the jobs
    that must have run before it.
    """
    began = time.monotonic()
    if service:
        settings = stack_settings(work, stack)
        names = releases.part(settings, service)
        # What they have to tell is told again, by the whole preparation that follows.
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
        # With a refresh, or a container that was killed or removed by hand would be taken for a running one.
        code, outcome = ready.engine.change("up", ["--refresh", *arguments], progress)
        step.outcome, step.failed = outcome.summary(), code != 0
    after = State.of(ready.engine)
    if code and outcome.interrupted:
        progress.line(f"Stopped. The next ./dockyard up {stack} goes on from here", "yellow")
        code = INTERRUPTED
    elif code:
        print_errors(outcome, progress, work, "up", stack)
    else:
        # A container that only had to be started again is not waited for by the engine.
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
    """Return to the newest good release that is another than the one that runs; return the exit code.

    Images, settings and files go back; data, and what migrations made of it, stay. Raises SetupError where there is
    nothing to go back to.
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
    more = [f"and {len(differences) - MAX_LISTED_CHANGES} more"] if len(differences) > MAX_LISTED_CHANGES else []
    for line in differences[:MAX_LISTED_CHANGES] + more:
        progress.line(f"  · {line}")
    releases.use(work, stack, target.release)
    code = _bring_up(work, stack, progress, began, f"{history.ROLLBACK} to {since}")
    progress.line(
        f"The files still describe the newer release: mend them before the next ./dockyard up {stack}", "yellow"
    )
    return code


def preview(work: WorkDir, stack: str, service: str | None, arguments: Sequence[str], progress: Progress) -> int:
    """Show what an `up` would change; extra arguments go to the engine."""
    settings = stack_settings(work, stack, preview=True)
    if service:
        names = releases.part(settings, service)
        running = _running(work, stack, progress)
        image_names = releases.part_images(settings, names)
        references = {name: settings.image(image_names[name]) for name in names}
        releases.use(work, stack, releases.with_service(running, settings, names, references))
    return prepare_engine(work, stack, progress).show("preview", list(arguments))


def without_service(work: WorkDir, stack: str, service: str, progress: Progress) -> int:
    """Bring up the release that runs without one service or job; return the exit code. The next `up` brings it back."""
    began = time.monotonic()
    running = _running(work, stack, Progress(progress.console, quiet=True))
    releases.use(work, stack, releases.without_service(running, service, stack))
    return _bring_up(work, stack, progress, began)


def _running(work: WorkDir, stack: str, progress: Progress) -> Release:
    """Return the release that runs, once no other run on the stack changes it."""
    engine = prepare_engine(work, stack, progress)
    settle_locks(work, stack, progress)
    return releases.running_release(State.of(engine), stack)


def _jobs_to_rerun(state: State, settings: Settings) -> list[str]:
    """Return the URNs of one-shot jobs that failed, but for those that a given release leaves as they are.

    Those that write configuration are run again in any case.
    """
    failed = state.failed_jobs()
    if not settings.rolled_back:
        return failed
    prefix = f"{settings.product.name}-app-"
    fresh = {f"{prefix}{name}" for name in settings.release.fresh}
    fresh |= {f"{prefix}postgres-dump-before-{name}" for name in settings.release.fresh}
    return [urn for urn in failed if urn.endswith("-writer") or urn.rsplit("::", 1)[-1] in fresh]


def _recovered_state(work: WorkDir, ready: Ready, client: docker.DockerClient, progress: Progress) -> State:
    """Return the state, after what an interrupted run left has been put right."""
    settle_locks(work, ready.engine.stack, progress)
    state = State.of(ready.engine)
    return recover(state, ready.engine, client, progress)


def print_errors(outcome: Outcome, progress: Progress, work: WorkDir, verb: str, stack: str) -> None:
    """Print what the engine called an error; where it called nothing so, the end of what it printed."""
    log = work.logs / f"{verb}-{stack}.log"
    if not outcome.errors and (lock_error := lock_error_from_output(stack, log.read_text(errors="replace"))):
        raise lock_error
    for error in outcome.errors or ["\n".join(log.read_text(errors="replace").splitlines()[-10:])]:
        progress.line(error, "bold red")
    progress.line(f"All that the engine printed is in {log.relative_to(work.checkout)}", "dim")
