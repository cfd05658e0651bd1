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
from ops.status import Row, of_service, rows
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


Ask = Callable[[str], Sequence[Sample]]
"""Answers a query of Prometheus. Raises SilentError."""

Addresses = Set[tuple[str, str]]
"""Kinds of probe (`health`, `route`), each with the service it is of."""


@dataclass
class Seen:
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
        found = rows(state, client)
        seen = Seen([f"{row.service} is {row.health}" for row in found if not row.well])
        try:
            ask = _asks(_inside(found, PROMETHEUS, names, stack, client))
            # By Prometheus' own clock, which need not be this machine's.
            first = ask(NOW)[0].value if first is None else first
            look_at_targets(ask, first, declared, seen)
            alerts = alerts_in(_run(_inside(found, amtool.SERVICE, names, stack, client), ALERTS))
            look_at_alerts(alerts, ask, seen)
        except (SilentError, DockerException, requests.RequestException) as error:
            seen.problems.append(str(error))
        if not seen.problems or time.monotonic() - began > within:
            break
        time.sleep(POLL_SECONDS)
    return _tell(stack, seen, len(found), time.monotonic() - began, progress)


def declared_addresses(product: Product) -> Addresses:
    """Return what of a product's services must be asked: its health where a check is declared, and its routes."""
    health = {("health", name) for name, one in product.services.items() if one.health.http or one.health.tcp}
    return health | {("route", name) for name, one in product.services.items() if one.routes}


def look_at_targets(ask: Ask, since: float, declared: Addresses, seen: Seen) -> None:
    """Add what Prometheus knows of targets and probes. An answer of before `since` is none yet."""
    asked, probed = ask(TARGETS), ask(PROBES)
    seen.targets, seen.probes = len(asked), len(probed)
    if not asked:
        seen.problems.append("Prometheus has no targets yet")
    down, failed = ({_name(one) for one in ask(query)} for query in (DOWN, FAILED))
    stale = {_name(one) for one in [*asked, *probed] if one.value < since} - down - failed
    seen.problems += [f"target {name} does not answer" for name in sorted(down)]
    seen.problems += [f"probe {name} fails" for name in sorted(failed)]
    seen.problems += [f"{name} has not been asked since" for name in sorted(stale)]
    asked_of = {(one.labels.get("probe", ""), one.labels.get("service", "")) for one in probed}
    seen.problems += [f"no probe asks for the {kind} of {name}" for kind, name in sorted(declared - asked_of)]


def look_at_alerts(alerts: Sequence[Alert], ask: Ask, seen: Seen) -> None:
    """Add the critical alerts, those of before the last deploy apart from the others."""
    deploys = ask(DEPLOY_BEGAN)
    began = deploys[0].value if deploys else 0.0
    for alert in sorted(alerts, key=lambda one: (one.labels.get("alertname", ""), one.since)):
        (seen.older if alert.since < began else seen.problems).append(f"critical alert {_spelled(alert)}")


def samples_in(said: str) -> list[Sample]:
    """Read an answer of Prometheus' HTTP API. Raises SilentError where it is none."""
    try:
        return [Sample(one["metric"], float(one["value"][1])) for one in json.loads(said)["data"]["result"]]
    except (ValueError, KeyError, TypeError) as error:
        raise SilentError(f"Prometheus gives no answer but {said[:120]!r}") from error


def alerts_in(said: str) -> list[Alert]:
    """Read what amtool prints of alerts as JSON. Raises SilentError where it is none."""
    try:
        return [Alert(one["labels"], datetime.fromisoformat(one["startsAt"]).timestamp()) for one in json.loads(said)]
    except (ValueError, KeyError, TypeError) as error:
        raise SilentError(f"Alertmanager gives no answer but {said[:120]!r}") from error


def _product_that_runs(work: WorkDir, stack: str, state: State) -> Product | None:
    """Return the product as it was deployed, which after a rollback is not what the files say; None where unknown."""
    try:
        releases.use(work, stack, releases.running_release(state, stack))
    except SetupError:
        return None
    return stack_settings(work, stack, preview=True).product


def _inside(
    found: Sequence[Row], service: str, names: Mapping[str, Any], stack: str, client: docker.DockerClient
) -> Container:
    """Return the first healthy container of a tool. Raises SilentError where there is none."""
    try:
        chosen = [row for row in of_service(found, service, names, stack) if not row.replaced]
    except SetupError as error:
        raise SilentError(error.message) from error
    healthy = [row for row in chosen if row.health == "healthy"]
    if not healthy:
        raise SilentError(f"{service} cannot be asked: it is {chosen[0].health if chosen else 'gone'}")
    return client.containers.get(healthy[0].container)


def _asks(container: Container) -> Ask:
    return lambda query: samples_in(_run(container, ["wget", "-q", "-T", "10", "-O", "-", QUERY + quote(query)]))


def _run(container: Container, command: list[str]) -> str:
    # The client's types know of streams only.
    result: Any = container.exec_run(command, demux=True)
    said, failed = ((part or b"").decode(errors="replace") for part in result.output)
    if result.exit_code:
        raise SilentError(f"{command[0]} in {container.name} ended with {result.exit_code}: {(failed or said).strip()}")
    return said


def _name(sample: Sample) -> str:
    """Return what a person calls a target: its job, its service where the job has many, its address."""
    labels = sample.labels
    job, service = labels.get("probe") or labels.get("job", ""), labels.get("service", "")
    return " ".join(word for word in (job, service if service != job else "", labels.get("instance", "")) if word)


def _spelled(alert: Alert) -> str:
    name = alert.labels.get("alertname", "")
    labels = ", ".join(f"{key}={value}" for key, value in sorted(alert.labels.items()) if key not in COMMON)
    return f"{name} ({labels})" if labels else name


def _tell(stack: str, seen: Seen, containers: int, seconds: float, progress: Progress) -> int:
    for one in seen.older:
        progress.line(f"  · since before the last deploy: {one}", "yellow")
    for one in seen.problems:
        progress.line(f"✗ {one}", "bold red")
    counted = f"{containers} containers, {seen.targets} targets, {seen.probes} probes"
    took = spell_seconds(seconds)
    if seen.problems:
        many = "1 problem" if len(seen.problems) == 1 else f"{len(seen.problems)} problems"
        progress.line(f"{stack} is not well: {many}, {counted} looked at ({took})")
        return 1
    progress.line(f"✓ {stack}: {counted} well, no new critical alert ({took})", "green")
    return 0
