"""The verbs that deploy a stack: up and preview."""

from __future__ import annotations

import time
from collections.abc import Sequence

from machine.progress import Progress, format_seconds
from machine.workdir import WorkDir
from ops.deploy import metrics as metrics_file
from ops.deploy.data_volumes import leave_other_stores_data
from ops.deploy.host import check_host
from ops.events import RunOutcome
from ops.inspect.logs import tail_unhealthy
from ops.inspect.show import print_status
from ops.inspect.status import wait_until_settled
from ops.ports import check_ports, published_ports
from ops.session import bootstrap, prepare_pulumi, stack_settings
from ops.state import releases
from ops.state.locks import lock_error_from_output, wait_for_locks
from ops.state.snapshot import State, recover
from settings.loader import Settings
from settings.release import Release
from toolchain.docker_engine import ensure_engine
from toolchain.images import Images

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
        names = releases.with_jobs(settings, service)
        # Quiet, because the full preparation below prints the same messages.
        quiet = Progress(progress.console, quiet=True)
        docker_host = ensure_engine(work, quiet)
        running = _running(work, stack, quiet)
        image_names = releases.workload_images(settings, names)
        mirror = settings.product.docker.mirror
        resolved = Images(work, progress, docker_host, mirror).ensure(sorted({*image_names.values()}), settings.builds)
        references = {
            name: resolved.get(image_names[name]) or settings.images.reference(image_names[name], mirror)
            for name in names
        }
        releases.use(work, stack, releases.with_service(running, settings, names, references))
    return bring_up(work, stack, progress, began)


def bring_up(work: WorkDir, stack: str, progress: Progress, began: float, message: str = "") -> int:
    """Deploy the release in use and print the status; return the exit code. `began` is a time.monotonic."""
    session = bootstrap(work, stack, progress)
    client = session.docker_client()
    check_host(session.settings, client)
    wait_for_locks(work, stack, progress)
    state = recover(State.of(session.pulumi_cli), session.pulumi_cli, client, progress)
    check_ports(session.settings, published_ports(client, stack))
    state = leave_other_stores_data(state, session.pulumi_cli, session.settings.product.monitoring.logs, progress)
    arguments = [f"--replace={urn}" for urn in _jobs_to_rerun(state, session.settings)]
    arguments += [f"--message={message}"] if message else []
    released = time.monotonic()
    with progress.step(f"Stack {stack}") as step:
        # Refresh, or Pulumi would take a container that was killed or removed by hand for a running one.
        code, outcome = session.pulumi_cli.change("up", ["--refresh", *arguments], progress)
        step.outcome, step.failed = outcome.summary(), code != 0
    after = State.of(session.pulumi_cli)
    if code and outcome.interrupted:
        progress.line(f"Stopped. The next ./dockyard up {stack} continues from here", "yellow")
        code = INTERRUPTED
    elif code:
        print_errors(outcome, progress, work, "up", stack)
    else:
        # Pulumi does not wait for a container that it only had to start again.
        wait_until_settled(after, client, session.settings.product.docker.wait_timeout)
        code = print_status(session, after, client)
    seconds = time.monotonic() - released
    metrics_file.record_deploy(after, client, outcome, progress, seconds=seconds, succeeded=code == 0)
    for name, lines in tail_unhealthy(client, stack, after.replaced()) if code else ():
        progress.line(f"{name} is not healthy. Its last lines:", "bold red")
        progress.line("\n".join(f"    {line}" for line in lines))
    progress.line(f"{outcome.summary()} in {format_seconds(time.monotonic() - began)}")
    return code


def preview(work: WorkDir, stack: str, service: str | None, arguments: Sequence[str], progress: Progress) -> int:
    """Show what an `up` would change; pass extra arguments to Pulumi."""
    settings = stack_settings(work, stack, preview=True)
    if service:
        names = releases.with_jobs(settings, service)
        running = _running(work, stack, progress)
        image_names = releases.workload_images(settings, names)
        references = {name: settings.image(image_names[name]) for name in names}
        releases.use(work, stack, releases.with_service(running, settings, names, references))
    return prepare_pulumi(work, stack, progress).show("preview", list(arguments))


def without_service(work: WorkDir, stack: str, service: str, progress: Progress) -> int:
    """Deploy the running release without one service or job; return the exit code. The next `up` restores it."""
    began = time.monotonic()
    running = _running(work, stack, Progress(progress.console, quiet=True))
    releases.use(work, stack, releases.without_service(running, service, stack))
    return bring_up(work, stack, progress, began)


def _running(work: WorkDir, stack: str, progress: Progress) -> Release:
    """Return the running release, after any other run on the stack has ended."""
    pulumi_cli = prepare_pulumi(work, stack, progress)
    wait_for_locks(work, stack, progress)
    return releases.running_release(State.of(pulumi_cli), stack)


def _jobs_to_rerun(state: State, settings: Settings) -> list[str]:
    """Return the URNs of the failed one-shot jobs to run again.

    For an explicitly requested release these are its `rerun_jobs` only. Jobs that write configuration always run again.
    """
    failed = state.failed_jobs()
    if not settings.release_is_pinned:
        return failed
    prefix = f"{settings.product.name}-app-"
    rerun = {f"{prefix}{name}" for name in settings.release.rerun_jobs}
    rerun |= {f"{prefix}postgres-dump-before-{name}" for name in settings.release.rerun_jobs}
    return [urn for urn in failed if urn.endswith("-writer") or urn.rsplit("::", 1)[-1] in rerun]


def print_errors(outcome: RunOutcome, progress: Progress, work: WorkDir, verb: str, stack: str) -> None:
    """Print Pulumi's errors, or the end of its log if there are none. Raises SetupError for a locked stack."""
    log = work.logs / f"{verb}-{stack}.log"
    if not outcome.errors and (lock_error := lock_error_from_output(stack, log.read_text(errors="replace"))):
        raise lock_error
    for error in outcome.errors or ["\n".join(log.read_text(errors="replace").splitlines()[-10:])]:
        progress.line(error, "bold red")
    progress.line(f"Pulumi's full output is in {log.relative_to(work.checkout)}", "dim")
