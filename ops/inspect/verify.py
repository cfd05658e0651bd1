"""The verb `verify`: checks a stack by its health checks, probes, scrape targets and alerts.

The probes are its smoke test: the blackbox exporter requests each health address, and each route through the edge
proxy, as a visitor would.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from urllib.parse import quote

import docker
import requests
from docker.errors import DockerException

from machine.progress import Progress, SetupError, format_seconds
from machine.workdir import WorkDir
from ops.inspect import amtool
from ops.inspect.status import InstanceStatus, instance_statuses, of_service
from ops.session import connect, stack_settings
from ops.state import releases
from ops.state.snapshot import State
from runtime.instances import LiveInstance
from settings.product import Product

PROMETHEUS = "prometheus"
QUERY = "http://127.0.0.1:9090/api/v1/query?query="
"""Prometheus' address inside its own container: it publishes no port for this."""

POLL_SECONDS = 3.0

NOW = "vector(time())"
TARGETS, DOWN = "timestamp(up)", "up == 0"
PROBES, FAILED = "timestamp(probe_success)", "probe_success == 0"
DEPLOY_BEGAN = "max(dockyard_last_deploy_timestamp_seconds - dockyard_last_deploy_duration_seconds)"

ALERTS = ["amtool", f"--alertmanager.url={amtool.URL}", "--output=json", "alert", "query", "severity=critical"]
"""Alertmanager rather than Prometheus: it also has Loki's alerts, and omits silenced and inhibited ones."""


COMMON = {"alertname", "severity", "product", "environment", "scope"}
"""Labels that are not printed with an alert: its name is printed already, and the others are those of the stack."""


class SilentError(Exception):
    """Prometheus or Alertmanager gives no usable answer; the message says why."""


@dataclass(frozen=True)
class Sample:
    """One series of a result of Prometheus."""

    labels: Mapping[str, str]
    value: float


@dataclass(frozen=True)
class Alert:
    """One firing critical alert."""

    labels: Mapping[str, str]
    since: float
    """Seconds since the epoch."""


Query = Callable[[str], Sequence[Sample]]
"""Runs a PromQL query. Raises SilentError."""

Addresses = Set[tuple[str, str]]
"""Pairs of the kind of a probe (`health` or `route`) and its service."""


@dataclass
class CheckResult:
    """The result of one round of checks."""

    problems: list[str] = field(default_factory=list)
    """Checks that failed, or have not been confirmed yet."""

    older: list[str] = field(default_factory=list)
    """Critical alerts that fired before the last deployment: it did not cause them, so they are no problems of it."""

    targets: int = 0
    probes: int = 0


def verify(work: WorkDir, stack: str, progress: Progress, *, within: int) -> int:
    """Check the stack until everything is well, at most `within` seconds; print the problems and return 0 or 1.

    A stack is well if every instance is healthy; every scrape target is up and every probe succeeds, both with a
    result from after the start of this command; every health address and route of the running release has a probe; and
    no critical alert started with the last deployment or after it. Pending alerts (`for`) are not waited for.
    """
    began = time.monotonic()
    session = connect(work, stack, progress)
    client, state = session.docker_client(), State.of(session.pulumi_cli)
    names = session.settings.product.workloads
    product = _product_that_runs(work, stack, state)
    declared = declared_addresses(product) if product and product.monitoring.probes.enabled else frozenset()
    if product and not product.monitoring.probes.enabled:
        progress.line("  · monitoring.probes is off: no address is probed", "yellow")
    started: float | None = None
    while True:
        statuses = instance_statuses(state, client)
        check = CheckResult([f"{status.service} is {status.health}" for status in statuses if not status.well])
        try:
            query = _query_prometheus(_healthy_instance(statuses, PROMETHEUS, names, stack, client))
            # Prometheus' own clock, which may differ from this machine's.
            started = query(NOW)[0].value if started is None else started
            check_targets(query, started, declared, check)
            alerts = alerts_in(_run(_healthy_instance(statuses, amtool.SERVICE, names, stack, client), ALERTS))
            check_alerts(alerts, query, check)
        except (SilentError, DockerException, requests.RequestException) as error:
            check.problems.append(str(error))
        if not check.problems or time.monotonic() - began > within:
            break
        time.sleep(POLL_SECONDS)
    return _print_result(stack, check, len(statuses), time.monotonic() - began, progress)


def declared_addresses(product: Product) -> Addresses:
    """Return the addresses that must be probed: the health of services with a declared check, and the routes."""
    health = {
        ("health", name) for name, service in product.services.items() if service.health.http or service.health.tcp
    }
    return health | {("route", name) for name, service in product.services.items() if service.routes}


def check_targets(query: Query, since: float, declared: Addresses, check: CheckResult) -> None:
    """Add the problems of scrape targets and probes. A result from before `since` does not count."""
    targets, probes = query(TARGETS), query(PROBES)
    check.targets, check.probes = len(targets), len(probes)
    if not targets:
        check.problems.append("Prometheus has no targets yet")
    down, failed = ({_name(sample) for sample in query(expression)} for expression in (DOWN, FAILED))
    stale = {_name(sample) for sample in [*targets, *probes] if sample.value < since} - down - failed
    check.problems += [f"target {name} does not answer" for name in sorted(down)]
    check.problems += [f"probe {name} fails" for name in sorted(failed)]
    check.problems += [f"{name} has no new result yet" for name in sorted(stale)]
    probed_addresses = {(sample.labels.get("probe", ""), sample.labels.get("service", "")) for sample in probes}
    check.problems += [f"no probe checks the {kind} of {name}" for kind, name in sorted(declared - probed_addresses)]


def check_alerts(alerts: Sequence[Alert], query: Query, check: CheckResult) -> None:
    """Add the critical alerts: to `older` those from before the last deployment, else to `problems`."""
    deploys = query(DEPLOY_BEGAN)
    began = deploys[0].value if deploys else 0.0
    for alert in sorted(alerts, key=lambda alert: (alert.labels.get("alertname", ""), alert.since)):
        (check.older if alert.since < began else check.problems).append(f"critical alert {_format_alert(alert)}")


def samples_in(answer: str) -> list[Sample]:
    """Parse an answer of Prometheus' HTTP API. Raises SilentError if it is invalid."""
    try:
        return [Sample(series["metric"], float(series["value"][1])) for series in json.loads(answer)["data"]["result"]]
    except (ValueError, KeyError, TypeError) as error:
        raise SilentError(f"unexpected answer from Prometheus: {answer[:120]!r}") from error


def alerts_in(output: str) -> list[Alert]:
    """Parse amtool's JSON list of alerts. Raises SilentError if it is invalid."""
    try:
        return [
            Alert(alert["labels"], datetime.fromisoformat(alert["startsAt"]).timestamp())
            for alert in json.loads(output)
        ]
    except (ValueError, KeyError, TypeError) as error:
        raise SilentError(f"unexpected answer from Alertmanager: {output[:120]!r}") from error


def _product_that_runs(work: WorkDir, stack: str, state: State) -> Product | None:
    """Return the product as deployed, which after a rollback differs from the files; None if unknown."""
    try:
        releases.use(work, stack, releases.running_release(state, stack))
    except SetupError:
        return None
    return stack_settings(work, stack, preview=True).product


def _healthy_instance(
    statuses: Sequence[InstanceStatus], service: str, names: Mapping[str, Any], stack: str, client: docker.DockerClient
) -> LiveInstance:
    """Return the first healthy instance of a tool. Raises SilentError if there is none."""
    try:
        chosen = [status for status in of_service(statuses, service, names, stack) if not status.replaced]
    except SetupError as error:
        raise SilentError(error.message) from error
    healthy = [status for status in chosen if status.health == "healthy"]
    if not healthy:
        raise SilentError(f"{service} cannot be queried: it is {chosen[0].health if chosen else 'gone'}")
    return LiveInstance(client.containers.get(healthy[0].id))


def _query_prometheus(instance: LiveInstance) -> Query:
    return lambda query: samples_in(_run(instance, ["wget", "-q", "-T", "10", "-O", "-", QUERY + quote(query)]))


def _run(instance: LiveInstance, command: list[str]) -> str:
    code, output, errors = instance.run(command)
    if code:
        raise SilentError(f"{command[0]} in {instance.name} exited with {code}: {(errors or output).strip()}")
    return output


def _name(sample: Sample) -> str:
    """Return a readable name of a target: its job, its service if that is another word, and its address."""
    labels = sample.labels
    job, service = labels.get("probe") or labels.get("job", ""), labels.get("service", "")
    return " ".join(word for word in (job, service if service != job else "", labels.get("instance", "")) if word)


def _format_alert(alert: Alert) -> str:
    name = alert.labels.get("alertname", "")
    labels = ", ".join(f"{key}={value}" for key, value in sorted(alert.labels.items()) if key not in COMMON)
    return f"{name} ({labels})" if labels else name


def _print_result(stack: str, check: CheckResult, containers: int, seconds: float, progress: Progress) -> int:
    for alert in check.older:
        progress.line(f"  · older than the last deployment: {alert}", "yellow")
    for problem in check.problems:
        progress.line(f"✗ {problem}", "bold red")
    counts = f"{containers} containers, {check.targets} targets, {check.probes} probes"
    took = format_seconds(seconds)
    if check.problems:
        total = "1 problem" if len(check.problems) == 1 else f"{len(check.problems)} problems"
        progress.line(f"{stack} is not healthy: {total}, {counts} checked ({took})")
        return 1
    progress.line(f"✓ {stack}: {counts} healthy, no new critical alert ({took})", "green")
    return 0
