"""Sends each receiver a synthetic alert and reports whether it was delivered."""

from __future__ import annotations

import getpass
import json
import re
import socket
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

from docker.models.containers import Container

from components.alerting.inhibitions import TEST_LABEL
from machine.progress import Progress, SetupError, format_seconds
from machine.workdir import WorkDir
from ops.inspect.amtool import URL, instances
from ops.session import connect
from settings.alerts import HEARTBEAT
from settings.loader import Settings

ALERT = "DockyardTest"
WAIT_SECONDS = 30.0
"""How long to wait for a delivery. Alertmanager waits ten seconds for a receiver's answer."""

POLL_SECONDS = 0.5
ENDS_AFTER = timedelta(minutes=5)
"""The alert resolves by itself after this time, in case the command is killed before it can resolve it."""

TEXTS = {
    "en": (
        "TEST: nothing is wrong, the receiver {receiver} can be reached",
        "Sent by {who} with `./dockyard alert-test`. There is nothing to do.",
    ),
    "fr": (
        "TEST : tout va bien, le destinataire {receiver} est joignable",
        "Envoyé par {who} avec `./dockyard alert-test`. Il n'y a rien à faire.",
    ),
}
"""Language → summary and description of the alert."""

_REQUESTS = re.compile(
    r"^alertmanager_notification_requests_(?P<failed>failed_)?total"
    r'\{.*\breceiver_name="(?P<receiver>(?:[^"\\]|\\.)*)".*\} (?P<count>\S+)$',
    re.MULTILINE,
)
_ERROR = re.compile(r'\berr=(?:"(?P<quoted>(?:[^"\\]|\\.)*)"|(?P<plain>\S+))')
_ATTEMPTS = re.compile(r"^[\w./-]+\[\d+\]: notify retry canceled .*?after \d+ attempts: ")


@dataclass(frozen=True)
class DeliveryOutcome:
    """Whether the test alert reached one receiver."""

    receiver: str
    delivered: bool
    detail: str


def alert_test(work: WorkDir, stack: str, receiver: str | None, progress: Progress) -> int:
    """Test one receiver of a stack, or all receivers of its environment. Return 0 if all were reached, else 1.

    Raises SetupError if the stack has no receiver, or none of that name.
    """
    session = connect(work, stack, progress)
    names = receivers_to_test(session.settings, receiver)
    containers = instances(session)
    settings, alerts = session.settings, session.settings.product.alerts
    labels = {"product": settings.product.name, "environment": settings.stack.environment}
    config = session.pulumi_cli.read("config", "--show-secrets", "--json")
    keys = [f"dockyard:{secret}" for secret in alerts.secrets_in(settings.stack.environment)]
    secret_texts = secret_parts(config[key]["value"] for key in keys if key in config)
    progress.line(f"Sending a test alert to: {', '.join(names)}")
    outcomes = try_receivers(containers, names, labels, alerts.language, lambda text: hide(text, secret_texts))
    for outcome in outcomes:
        sign, style = ("✓", "green") if outcome.delivered else ("✗", "bold red")
        progress.line(f"{sign} {outcome.receiver}: {outcome.detail}", style)
    return 0 if all(outcome.delivered for outcome in outcomes) else 1


def receivers_to_test(settings: Settings, receiver: str | None) -> list[str]:
    """Return the names of the receivers to test. Raises SetupError with the available names if there are none."""
    alerts, environment = settings.product.alerts, settings.stack.environment
    stack = settings.stack_name
    names = [*alerts.receivers_in(environment), *([HEARTBEAT] if alerts.has_heartbeat_in(environment) else [])]
    if receiver is None and names:
        return names
    if receiver is not None and receiver in names:
        return [receiver]
    if receiver in alerts.receivers:
        environments = ", ".join(alerts.receivers[receiver].environments)
        raise SetupError(
            f"the receiver {receiver} gets alerts of {environments} only, but {stack} is {environment}",
            f"add {environment} to alerts.receivers.{receiver}.environments, or test it in another stack",
        )
    if receiver is not None and names:
        raise SetupError(f"the stack {stack} has no receiver {receiver}", f"it has: {', '.join(names)}")
    if alerts.receivers:
        raise SetupError(
            f"{stack} is {environment}, but none of {', '.join(alerts.receivers)} gets its alerts",
            f"add {environment} to the environments of one of them, or test another stack",
        )
    raise SetupError(
        f"no receiver gets alerts of {stack}",
        "add a receiver to alerts.receivers in the product or stack file, then run up",
    )


def try_receivers(
    containers: Sequence[Container],
    names: Sequence[str],
    labels: Mapping[str, str],
    language: str,
    redact: Callable[[str], str] = str,
    seconds: float = WAIT_SECONDS,
) -> list[DeliveryOutcome]:
    """Send the alerts to every Alertmanager, as Prometheus does, wait for the deliveries, and resolve the alerts.

    A message counts as delivered when Alertmanager's metrics count a successful request for it. The reason for a
    failure comes from Alertmanager's log.
    """
    sent = datetime.now(UTC)
    # A unique label: Alertmanager must not deduplicate this alert with that of an earlier test.
    test_labels = {**labels, "sent": f"{sent:%Y-%m-%dT%H:%M:%SZ}"}
    before = _answers(containers)
    began = time.monotonic()
    late = f"not tried within {format_seconds(seconds)}: a silence may suppress it (./dockyard amtool … silence)"
    unknown = "not tried: the running Alertmanager does not have this receiver yet; run up"
    outcomes = {name: DeliveryOutcome(name, False, late if name in before else unknown) for name in names}
    pending = set(names)
    try:
        for name in names:
            _post(containers, name, test_labels, language, sent + ENDS_AFTER)
        while pending and time.monotonic() < began + seconds:
            time.sleep(POLL_SECONDS)
            lines = _lines(containers, sent, test_labels["sent"])
            answers = _answers(containers)
            for name in sorted(pending):
                failed, reason = _failure(name, lines)
                delivered = answers.get(name, 0) > before.get(name, 0)
                if delivered:
                    detail = f"delivered ({format_seconds(time.monotonic() - began)})"
                    outcomes[name] = DeliveryOutcome(name, True, detail)
                elif failed or reason:
                    detail = redact(f"failed{'' if failed else ' so far'}: {reason}")
                    outcomes[name] = DeliveryOutcome(name, False, detail)
                if delivered or failed:
                    pending.remove(name)
    finally:
        for name in names:
            _post(containers, name, test_labels, language, datetime.now(UTC))
    return list(outcomes.values())


def _post(containers: Sequence[Container], name: str, labels: Mapping[str, str], language: str, end: datetime) -> None:
    placeholders = {"receiver": name, "who": f"{getpass.getuser()}@{socket.gethostname()}"}
    summary, description = (text.format(**placeholders) for text in TEXTS[language])
    test_labels = {"alertname": ALERT, "severity": "info", "scope": "monitoring", TEST_LABEL: name, **labels}
    values = {**test_labels, "--annotation=summary": summary, "--annotation=description": description}
    command = [
        *("amtool", f"--alertmanager.url={URL}", "alert", "add", f"--end={end:%Y-%m-%dT%H:%M:%SZ}"),
        *(f"{key}={json.dumps(value, ensure_ascii=False)}" for key, value in values.items()),
    ]
    for container in containers:
        _exec(container, command)


def _exec(container: Container, command: Sequence[str]) -> str:
    # docker-py's type stubs declare the streaming result only.
    result: Any = container.exec_run(list(command))
    code, text = result.exit_code, result.output.decode(errors="replace")
    if code != 0:
        raise SetupError(f"{command[0]} in the container {container.name} exited with {code}: {text.strip()}")
    return str(text)


def _answers(containers: Sequence[Container]) -> dict[str, float]:
    """Return receiver → number of messages it accepted since Alertmanager loaded its configuration."""
    counts: dict[str, float] = {}
    for container in containers:
        for sample in _REQUESTS.finditer(_exec(container, ["wget", "-q", "-O", "-", f"{URL}/metrics"])):
            count = float(sample["count"]) * (-1 if sample["failed"] else 1)
            counts[sample["receiver"]] = counts.get(sample["receiver"], 0) + count
    return counts


def _lines(containers: Sequence[Container], since: datetime, sent: str) -> list[str]:
    """Return the log lines of the Alertmanagers that belong to this test."""
    logs: Iterable[bytes] = (container.logs(since=int(since.timestamp()) - 1) for container in containers)
    return [line for log in logs for line in log.decode(errors="replace").splitlines() if sent in line]


def _failure(name: str, lines: Sequence[str]) -> tuple[bool, str]:
    """Return whether Alertmanager has stopped retrying a receiver, and the last error that it logged."""
    error_lines = [line for line in lines if f'{TEST_LABEL}=\\"{name}\\"' in line and "err=" in line]
    if not error_lines:
        return False, ""
    error = _ERROR.search(error_lines[-1])
    text = (error["quoted"] or error["plain"] or "") if error else error_lines[-1]
    reason = _ATTEMPTS.sub("", text.replace('\\"', '"').replace("\\n", " ").replace("\\\\", "\\"))
    return any("level=ERROR" in line for line in error_lines), reason.strip()


def secret_parts(secrets: Iterable[str]) -> list[str]:
    """Return the texts to redact, longest first: each secret, and of a URL every part except the host."""
    texts: set[str] = set()
    for secret in map(str.strip, secrets):
        address = urlsplit(secret)
        parts = [secret, *([address.path, address.query, *address.path.split("/")] if address.netloc else [])]
        texts.update(part for part in parts if len(part) >= 6)
    return sorted(texts, key=len, reverse=True)


def hide(text: str, parts: Iterable[str]) -> str:
    """Replace secrets in a text: a server may repeat one in its answer."""
    for part in parts:
        text = text.replace(part, "(secret)")
    return text
