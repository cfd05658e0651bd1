"""The verb `verify`: whether a stack serves, by its health checks, its probes, its targets and its alerts.

Probes are its smoke test: the blackbox exporter asks each health address and each route through the edge proxy, as a
visitor would.
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
from docker.models.containers import Container

from ops import amtool, releases
from ops.setup import reach, stack_settings
from ops.state import State
from ops.status import ContainerStatus, container_statuses, of_service
from settings.product import Product
from toolchain.progress import Progress, SetupError, spell_seconds
from toolchain.workdir import WorkDir

PROMETHEUS = "prometheus"
QUERY = "http://127.0.0.1:9090/api/v1/query?query="
"""Of Prometheus, in its own container: no port of it is published for this."""

POLL_SECONDS = 3.0

NOW = "vector(time())"
TARGETS, DOWN = "timestamp(up)", "up == 0"
PROBES, FAILED = "timestamp(probe_success)", "probe_success == 0"
DEPLOY_BEGAN = "max(dockyard_last_deploy_timestamp_seconds - dockyard_last_deploy_duration_seconds)"

ALERTS = ["amtool", f"--alertmanager.url={amtool.URL}", "--output=json", "alert", "query", "severity=critical"]
"""Of Alertmanager rather than Prometheus: it knows of Loki's alerts too, and leaves out silenced and inhibited ones."""


COMMON = {"alertname", "severity", "product", "environment", "scope"}
"""Labels that need not be told with an alert: its name is, and they are the stack's own."""


class SilentError(Exception):
    """Prometheus or Alertmanager gives no answer, and why."""


@dataclass(frozen=True)
class Sample:
    """One series of an answer of Prometheus."""

    labels: Mapping[str, str]
    value: float


@dataclass(frozen=True)
class Alert:
    """One critical alert that fires."""

    labels: Mapping[str, str]
    since: float
    """Seconds since the epoch."""


Query = Callable[[str], Sequence[Sample]]
"""Answers a query of Prometheus. Raises SilentError."""

Addresses = Set[tuple[str, str]]
"""Kinds of probe (`health`, `route`), each with the service it is of."""


@dataclass
class CheckResult:
    """What one look came to."""

    problems: list[str] = field(default_factory=list)
    """What is not well, or not known to be well yet."""

    older: list[str] = field(default_factory=list)
    """Critical alerts that were there before the last deploy: no work of its, and so no problem of its."""

    targets: int = 0
    probes: int = 0


def verify(work: WorkDir, stack: str, progress: Progress, *, within: int) -> int:
    """Look until all is well, at most `within` seconds; tell what is not and return 0 or 1.

    Well is: every container healthy, every target of Prometheus up and every probe answered, each asked anew since
    the look began, each health address and route of the release that runs among the probes, and no critical alert that
    began with the last deploy or after it. An alert that has to last before it fires is not waited for.
    """
    began = time.monotonic()
    ready = reach(work, stack, progress)
    client, state = ready.docker_client(), State.of(ready.engine)
    names = ready.settings.product.workloads
    product = _product_that_runs(work, stack, state)
    declared = declared_addresses(product) if product and product.monitoring.probes.enabled else frozenset()
    if product and not product.monitoring.probes.enabled:
        progress.line("  · monitoring.probes is off: no address is asked as a visitor would", "yellow")
    first: float | None = None
    while True:
        statuses = container_statuses(state, client)
        check = CheckResult([f"{status.service} is {status.health}" for status in statuses if not status.well])
        try:
            query = _query_prometheus(_healthy_container(statuses, PROMETHEUS, names, stack, client))
            # By Prometheus' own clock, which need not be this machine's.
            first = query(NOW)[0].value if first is None else first
            check_targets(query, first, declared, check)
            alerts = alerts_in(_run(_healthy_container(statuses, amtool.SERVICE, names, stack, client), ALERTS))
            check_alerts(alerts, query, check)
        except (SilentError, DockerException, requests.RequestException) as error:
            check.problems.append(str(error))
        if not check.problems or time.monotonic() - began > within:
            break
        time.sleep(POLL_SECONDS)
    return _print_result(stack, check, len(statuses), time.monotonic() - began, progress)


def declared_addresses(product: Product) -> Addresses:
    """Return what of a product's services must be asked: its health where a check is declared, and its routes."""
    health = {
        ("health", name) for name, service in product.services.items() if service.health.http or service.health.tcp
    }
    return health | {("route", name) for name, service in product.services.items() if service.routes}


def check_targets(query: Query, since: float, declared: Addresses, check: CheckResult) -> None:
    """Add what Prometheus knows of targets and probes. An answer of before `since` is none yet."""
    targets, probes = query(TARGETS), query(PROBES)
    check.targets, check.probes = len(targets), len(probes)
    if not targets:
        check.problems.append("Prometheus has no targets yet")
    down, failed = ({_name(sample) for sample in query(expression)} for expression in (DOWN, FAILED))
    stale = {_name(sample) for sample in [*targets, *probes] if sample.value < since} - down - failed
    check.problems += [f"target {name} does not answer" for name in sorted(down)]
    check.problems += [f"probe {name} fails" for name in sorted(failed)]
    check.problems += [f"{name} has not been asked since" for name in sorted(stale)]
    probed_addresses = {(sample.labels.get("probe", ""), sample.labels.get("service", "")) for sample in probes}
    check.problems += [f"no probe asks for the {kind} of {name}" for kind, name in sorted(declared - probed_addresses)]


def check_alerts(alerts: Sequence[Alert], query: Query, check: CheckResult) -> None:
    """Add the critical alerts, those of before the last deploy apart from the others."""
    deploys = query(DEPLOY_BEGAN)
    began = deploys[0].value if deploys else 0.0
    for alert in sorted(alerts, key=lambda alert: (alert.labels.get("alertname", ""), alert.since)):
        (check.older if alert.since < began else check.problems).append(f"critical alert {_format_alert(alert)}")


def samples_in(answer: str) -> list[Sample]:
    """Read an answer of Prometheus' HTTP API. Raises SilentError where it is none."""
    try:
        return [Sample(series["metric"], float(series["value"][1])) for series in json.loads(answer)["data"]["result"]]
    except (ValueError, KeyError, TypeError) as error:
        raise SilentError(f"Prometheus gives no answer but {answer[:120]!r}") from error


def alerts_in(output: str) -> list[Alert]:
    """Read what amtool prints of alerts as JSON. Raises SilentError where it is none."""
    try:
        return [
            Alert(alert["labels"], datetime.fromisoformat(alert["startsAt"]).timestamp())
            for alert in json.loads(output)
        ]
    except (ValueError, KeyError, TypeError) as error:
        raise SilentError(f"Alertmanager gives no answer but {output[:120]!r}") from error


def _product_that_runs(work: WorkDir, stack: str, state: State) -> Product | None:
    """Return the product as it was deployed, which after a rollback is not what the files say; None where unknown."""
    try:
        releases.use(work, stack, releases.running_release(state, stack))
    except SetupError:
        return None
    return stack_settings(work, stack, preview=True).product


def _healthy_container(
    statuses: Sequence[ContainerStatus], service: str, names: Mapping[str, Any], stack: str, client: docker.DockerClient
) -> Container:
    """Return the first healthy container of a tool. Raises SilentError where there is none."""
    try:
        chosen = [status for status in of_service(statuses, service, names, stack) if not status.replaced]
    except SetupError as error:
        raise SilentError(error.message) from error
    healthy = [status for status in chosen if status.health == "healthy"]
    if not healthy:
        raise SilentError(f"{service} cannot be asked: it is {chosen[0].health if chosen else 'gone'}")
    return client.containers.get(healthy[0].container)


def _query_prometheus(container: Container) -> Query:
    return lambda query: samples_in(_run(container, ["wget", "-q", "-T", "10", "-O", "-", QUERY + quote(query)]))


def _run(container: Container, command: list[str]) -> str:
    # The client's types know of streams only.
    result: Any = container.exec_run(command, demux=True)
    output, errors = ((part or b"").decode(errors="replace") for part in result.output)
    if result.exit_code:
        raise SilentError(
            f"{command[0]} in {container.name} ended with {result.exit_code}: {(errors or output).strip()}"
        )
    return output


def _name(sample: Sample) -> str:
    """Return what a person calls a target: its job, its service where the job has many, its address."""
    labels = sample.labels
    job, service = labels.get("probe") or labels.get("job", ""), labels.get("service", "")
    return " ".join(word for word in (job, service if service != job else "", labels.get("instance", "")) if word)


def _format_alert(alert: Alert) -> str:
    name = alert.labels.get("alertname", "")
    labels = ", ".join(f"{key}={value}" for key, value in sorted(alert.labels.items()) if key not in COMMON)
    return f"{name} ({labels})" if labels else name


def _print_result(stack: str, check: CheckResult, containers: int, seconds: float, progress: Progress) -> int:
    for alert in check.older:
        progress.line(f"  · since before the last deploy: {alert}", "yellow")
    for problem in check.problems:
        progress.line(f"✗ {problem}", "bold red")
    counts = f"{containers} containers, {check.targets} targets, {check.probes} probes"
    took = spell_seconds(seconds)
    if check.problems:
        total = "1 problem" if len(check.problems) == 1 else f"{len(check.problems)} problems"
        progress.line(f"{stack} is not well: {total}, {counts} looked at ({took})")
        return 1
    progress.line(f"✓ {stack}: {counts} well, no new critical alert ({took})", "green")
    return 0
