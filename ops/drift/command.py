"""The command `drift`: compares, reports, writes metrics, and on request repairs and compares again."""

from __future__ import annotations

import subprocess
import time
import traceback
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import docker
import requests
import typer
from docker.errors import DockerException

from machine.progress import Progress, SetupError
from machine.workdir import WorkDir
from ops.deploy import history
from ops.deploy import metrics as metrics_file
from ops.drift import pulumi_preview, repair
from ops.drift.docker.comparison import compare
from ops.drift.docker.repair import repair_in_place
from ops.drift.report import UNKNOWN, DriftReport
from ops.inspect.status import wait_until_settled
from ops.pulumi_cli import PulumiCli
from ops.session import prepare_pulumi, stack_settings
from ops.state import releases
from ops.state.locks import lock_holder
from ops.state.snapshot import State
from ops.state.store import Store, store_of
from settings.loader import Settings
from settings.problems import SettingsError
from settings.release import VARIABLE
from toolchain.docker_engine import ensure_engine
from toolchain.images import Images
from toolchain.private_dockerd import answers

PENDING_SHOWN = 12
SETTLE_SECONDS = 180
"""How long to wait for repaired containers to become healthy."""


class DriftUnknownError(Exception):
    """The comparison is not possible, for the reason in the message."""


@dataclass(frozen=True)
class DriftContext:
    """Pulumi, the Docker client, and the state that a comparison started from."""

    pulumi_cli: PulumiCli
    client: docker.DockerClient
    docker_host: str
    state: State


def drift(work: WorkDir, stack: str, progress: Progress, *, fix: bool, as_json: bool) -> int:
    """Compare the engine with the state; return 0, 1 for drift, 2 where the comparison is incomplete.

    With `fix`, repair the drift and compare again. A repair restores the running release: changes of the files that no
    `up` has deployed yet stay undeployed.
    """
    began, when = time.monotonic(), datetime.now(UTC)
    try:
        report, context = _compare(work, stack, began, when, progress)
        if fix and report.findings and _repaired(work, context, report, progress):
            began, when = time.monotonic(), datetime.now(UTC)
            report, context = _compare(work, stack, began, when, progress)
    except SettingsError:
        raise
    except Exception as error:  # noqa: BLE001 - exit code 1, an error's own, would say that something drifted
        report = DriftReport(stack, 0, when, time.monotonic() - began, unknown=[_reason(error)])
    else:
        if report.code != UNKNOWN:
            # Also where the comparison is incomplete: its findings justify an alert.
            metrics_file.record_drift(context.state, context.client, report.drifted, progress)
    typer.echo(report.as_json() if as_json else "\n".join(report.lines()))
    return report.code


def _reason(error: Exception) -> str:
    """Return why there is no comparison."""
    if isinstance(error, (DriftUnknownError, SetupError, DockerException, requests.RequestException, OSError)):
        return str(error)
    if isinstance(error, subprocess.CalledProcessError):
        return "\n".join((error.stderr or "").strip().splitlines()[-3:] or [str(error)])
    return f"an internal error of Dockyard\n{''.join(traceback.format_exception(error))}"


def _compare(
    work: WorkDir, stack: str, began: float, when: datetime, progress: Progress
) -> tuple[DriftReport, DriftContext]:
    """Compare once. Raises DriftUnknownError, and the errors of a Docker engine or Pulumi CLI that does not answer."""
    files, pending = _files(work, stack)
    docker_host = _docker_host(work, progress)
    pulumi_cli = prepare_pulumi(work, stack, progress)
    backend = store_of(work)
    _refuse_locked(backend, stack)
    state = State.of(pulumi_cli, opened=True)
    declared = state.declared
    if state.interrupted:
        raise DriftUnknownError(f"the last run was interrupted; repair it first: ./dockyard up {stack}")
    if not declared:
        raise DriftUnknownError(f"the stack {stack} is not running; start it: ./dockyard up {stack}")
    pulumi_cli, changed = _of_running_release(work, pulumi_cli, state, files)
    client = docker.DockerClient(base_url=docker_host, max_pool_size=32)
    with ThreadPoolExecutor(1) as lane:
        preview = lane.submit(pulumi_preview.preview, pulumi_cli)
        differences, unknown_files = compare(declared, client, state.outputs.get("files") or {})
        previewed = preview.result()
    _refuse_locked(backend, stack)
    drifted, planned_changes = pulumi_preview.judge(previewed, declared, {finding.urn for finding in differences})
    findings = repair.guarded([*differences, *drifted], declared)
    if findings and State.of(pulumi_cli, opened=True).resources != state.resources:
        raise DriftUnknownError("the stack changed during the comparison; run drift again")
    unknown = []
    if previewed.problem:
        unknown.append(f"resources of other providers and changed files: {previewed.problem}")
    if unknown_files:
        until = f"an older version of Dockyard wrote them; the next ./dockyard up {stack} records them"
        unknown.append(f"the files in {', '.join(unknown_files)}: {until}")
    pending += [*changed, *planned_changes]
    report = DriftReport(stack, len(declared), when, time.monotonic() - began, findings, pending, unknown)
    return report, DriftContext(pulumi_cli, client, docker_host, state)


def _files(work: WorkDir, stack: str) -> tuple[Settings | None, list[str]]:
    """Return the settings from the files; invalid files are not drift, so they are reported as pending."""
    try:
        return stack_settings(work, stack, preview=True), []
    except SettingsError as error:
        if not (work.checkout / f"Pulumi.{stack}.yaml").exists():
            raise
        return None, [f"the files have errors: {str(error).splitlines()[0]} (./dockyard preview {stack} shows all)"]


def _docker_host(work: WorkDir, progress: Progress) -> str:
    """Return the address of the stack's Docker engine; one that has stopped is not restarted for a comparison.

    Raises DriftUnknownError where it does not answer.
    """
    if work.docker_host_file.exists():
        address = work.docker_host_file.read_text().strip()
        if not answers(address):
            raise DriftUnknownError(f"the Docker engine at {address} does not answer")
        return address
    return ensure_engine(work, progress)


def _refuse_locked(store: Store | None, stack: str) -> None:
    """Raise DriftUnknownError while the stack is being changed; not every backend shows its locks."""
    holder = lock_holder(store, stack) if store else ""
    if holder:
        raise DriftUnknownError(f"the stack is being changed: its state is locked by {holder}")


def _of_running_release(
    work: WorkDir, pulumi_cli: PulumiCli, state: State, files: Settings | None
) -> tuple[PulumiCli, list[str]]:
    """Return a Pulumi CLI bound to the running release, and its differences from the files."""
    try:
        running = releases.running_release(state, pulumi_cli.stack)
    except SetupError:
        # Another version of Dockyard recorded the release: the files are the best source available.
        return pulumi_cli, []
    file = releases.write(work, f"{pulumi_cli.stack}.running", running)
    changes = history.changes(running, files.release) if files else []
    rest = [f"and {len(changes) - PENDING_SHOWN} more"] if len(changes) > PENDING_SHOWN else []
    return replace(pulumi_cli, env={**pulumi_cli.env, VARIABLE: str(file)}), changes[:PENDING_SHOWN] + rest


def _repaired(work: WorkDir, context: DriftContext, report: DriftReport, progress: Progress) -> bool:
    """Repair what can be repaired; return whether a repair was attempted."""
    plan = repair.plan(report.findings)
    if not (plan.in_place or plan.removed or plan.targets):
        return False
    for line in report.lines():
        progress.line(line)
    progress.line("Repair", "bold")
    repair_in_place(plan, context.state.declared, context.client, progress)
    if plan.targets:
        began = time.monotonic()
        images = {
            resource.image for resource in context.state.declared if resource.urn in plan.targets and resource.image
        }
        Images(work, progress, context.docker_host).ensure_references(sorted(images))
        code, outcome = context.pulumi_cli.change("up", [*plan.arguments, "--message=dockyard drift --fix"], progress)
        after = State.of(context.pulumi_cli)
        seconds = time.monotonic() - began
        metrics_file.record_deploy(after, context.client, outcome, progress, seconds=seconds, succeeded=code == 0)
        if code:
            log = work.logs / f"up-{context.pulumi_cli.stack}.log"
            errors = outcome.errors or [log.read_text(errors="replace")[-500:]]
            # The comparison that follows reports what is left.
            progress.line("✗ the repair failed: " + "\n".join(errors), "bold red")
    wait_until_settled(State.of(context.pulumi_cli), context.client, SETTLE_SECONDS)
    return True
