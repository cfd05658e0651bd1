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
from machine.progress import Progress, SetupError, spell_seconds
from machine.workdir import WorkDir
from ops.amtool import URL, instances
from ops.session import connect
from settings.alerts import HEARTBEAT, Alerts
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

_SAMPLE = re.compile(r"^(?P<name>\w+)\{(?P<labels>.*)\} (?P<value>\S+)$", re.MULTILINE)
_ERROR = re.compile(r'\berr=(?:"(?P<quoted>(?:[^"\\]|\\.)*)"|(?P<plain>\S+))')
_ATTEMPTS = re.compile(r"^[\w./-]+\[\d+\]: notify retry canceled .*?after \d+ attempts: ")


@dataclass(frozen=True)
class DeliveryOutcome:
    """Whether the test alert reached one receiver."""

    receiver: str
    well: bool
    detail: str


def alert_test(work: WorkDir, stack: str, receiver: str | None, progress: Progress) -> int:
    """Test one receiver of a stack, or all receivers of its environment. Return 0 if all were reached, else 1.

    Raises SetupError if the stack has no receiver, or none of that name.
    """
    session = connect(work, stack, progress)
    names = receivers_to_test(session.settings, receiver)
    containers = instances(session)
    secret_texts = secret_parts(
        _secrets(session.pulumi_cli.read("config", "--show-secrets", "--json"), session.settings)
    )
    progress.line(f"Each of these is sent an alert that says it is a test: {', '.join(names)}")
    alerts, labels = session.settings.product.alerts, stack_labels(session.settings)
    outcomes = try_receivers(containers, names, labels, alerts.language, lambda text: hide(text, secret_texts))
    for outcome in outcomes:
        progress.line(
            f"{'✓' if outcome.well else '✗'} {outcome.receiver}: {outcome.detail}",
            "green" if outcome.well else "bold red",
        )
    return 0 if all(outcome.well for outcome in outcomes) else 1


def receivers_to_test(settings: Settings, receiver: str | None) -> list[str]:
    """Return the names of the receivers to test. Raises SetupError with the available names if there are none."""
    alerts, environment = settings.product.alerts, settings.stack.environment
    names = [*alerts.receivers_in(environment), *([HEARTBEAT] if alerts.has_heartbeat_in(environment) else [])]
    if receiver is None and names:
        return names
    if receiver in names:
        return [receiver] if receiver else []
    if receiver in alerts.receivers:
        where = ", ".join(alerts.receivers[receiver].environments)
        raise SetupError(
            f"the receiver {receiver} is told in {where} only, and {settings.stack_name} is {environment}",
            f"add {environment} to alerts.receivers.{receiver}.environments, or test it there",
        )
    if receiver is not None and names:
        raise SetupError(f"no receiver {receiver} in {settings.stack_name}", f"it has: {', '.join(names)}")
    raise SetupError(*_no_receivers_error(alerts, settings))


def _no_receivers_error(alerts: Alerts, settings: Settings) -> tuple[str, str]:
    environment = settings.stack.environment
    problem = f"{settings.stack_name} tells nobody of alerts"
    if alerts.receivers:
        names = ", ".join(alerts.receivers)
        return f"{problem}: it is {environment}, and none of {names} is told there", (
            f"let one of them say environments: [{environment}], or test another stack"
        )
    return problem, "name who hears of them in alerts.receivers of the product or the stack file, then bring it up"


def stack_labels(settings: Settings) -> dict[str, str]:
    """Return the labels that every alert of a stack carries."""
    return {"product": settings.product.name, "environment": settings.stack.environment}


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
    outcomes: dict[str, DeliveryOutcome] = {}
    reasons: dict[str, str] = {}
    try:
        for name in names:
            _post(containers, name, test_labels, language, sent + ENDS_AFTER)
        while len(outcomes) < len(names) and time.monotonic() < began + seconds:
            time.sleep(POLL_SECONDS)
            lines = _lines(containers, sent, test_labels["sent"])
            answers = _answers(containers)
            for name in names:
                if name in outcomes:
                    continue
                failed, reason = _failure(name, lines)
                reasons |= {name: reason} if reason else {}
                if answers.get(name, 0) > before.get(name, 0):
                    outcomes[name] = DeliveryOutcome(
                        name, True, f"delivered ({spell_seconds(time.monotonic() - began)})"
                    )
                elif failed:
                    outcomes[name] = DeliveryOutcome(name, False, redact(f"failed: {reason}"))
    finally:
        for name in names:
            _post(containers, name, test_labels, language, datetime.now(UTC))
    return [outcomes.get(name) or _undecided(name, reasons, before, redact, seconds) for name in names]


def _undecided(
    name: str, reasons: Mapping[str, str], configured: Iterable[str], redact: Callable[[str], str], seconds: float
) -> DeliveryOutcome:
    if name in reasons:
        return DeliveryOutcome(name, False, redact(f"failed so far: {reasons[name]}"))
    if name not in configured:
        return DeliveryOutcome(
            name, False, "not tried: the running Alertmanager does not know it yet; bring the stack up"
        )
    waited = spell_seconds(seconds)
    return DeliveryOutcome(
        name, False, f"not tried within {waited}: a silence may hold it back (./dockyard amtool … silence)"
    )


def _post(containers: Sequence[Container], name: str, labels: Mapping[str, str], language: str, end: datetime) -> None:
    placeholders = {"receiver": name, "who": f"{getpass.getuser()}@{socket.gethostname()}"}
    summary, description = (text.format(**placeholders) for text in TEXTS[language])
    annotations = {"summary": summary, "description": description}
    test_labels = {"alertname": ALERT, "severity": "info", "scope": "monitoring", TEST_LABEL: name, **labels}
    command = [
        *("amtool", f"--alertmanager.url={URL}", "alert", "add"),
        *(f"{key}={_quoted(value)}" for key, value in test_labels.items()),
        *(f"--annotation={key}={_quoted(value)}" for key, value in annotations.items()),
        f"--end={end:%Y-%m-%dT%H:%M:%SZ}",
    ]
    for container in containers:
        _exec(container, command)


def _quoted(value: str) -> str:
    return json.dumps(value, ensure_ascii=False)


def _exec(container: Container, command: Sequence[str]) -> str:
    # docker-py's type stubs declare the streaming result only.
    result: Any = container.exec_run(list(command))
    code, text = result.exit_code, result.output.decode(errors="replace")
    if code != 0:
        raise SetupError(f"{command[0]} in the container {container.name} ended with {code}: {text.strip()}")
    return str(text)


def _answers(containers: Sequence[Container]) -> dict[str, float]:
    """Return receiver → number of messages it accepted since Alertmanager loaded its configuration."""
    counts: dict[str, float] = {}
    for container in containers:
        for sample in _SAMPLE.finditer(_exec(container, ["wget", "-q", "-O", "-", f"{URL}/metrics"])):
            sign = {"requests_total": 1, "requests_failed_total": -1}.get(
                sample["name"].removeprefix("alertmanager_notification_")
            )
            name = re.search(r'receiver_name="((?:[^"\\]|\\.)*)"', sample["labels"])
            if sign and name:
                counts[name[1]] = counts.get(name[1], 0) + sign * float(sample["value"])
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


def _secrets(config: Mapping[str, Any], settings: Settings) -> list[str]:
    names = settings.product.alerts.secrets_in(settings.stack.environment)
    return [config[key]["value"] for name in names if (key := f"dockyard:{name}") in config]


def secret_parts(secrets: Iterable[str]) -> list[str]:
    """Return the texts to redact, longest first: each secret, and of a URL every part except the host."""
    texts: set[str] = set()
    for secret in secrets:
        address = urlsplit(secret.strip())
        parts = [secret.strip(), *([address.path, address.query, *address.path.split("/")] if address.netloc else [])]
        texts.update(part for part in parts if len(part) >= 6)
    return sorted(texts, key=len, reverse=True)


def hide(text: str, parts: Iterable[str]) -> str:
    """Replace secrets in a text: a server may repeat one in its answer."""
    for part in parts:
        text = text.replace(part, "(secret)")
    return text
