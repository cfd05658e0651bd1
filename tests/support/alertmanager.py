"""A real Alertmanager, started with what the component renders; only its paths are others."""

import json
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import yaml

from components.alerting.alertmanager import FLAGS, alertmanager_config
from components.alerting.receivers import FOLDER, bot_address
from components.alerting.templates import message_files
from settings.alerts import NULL_RECEIVER, Alerts, Environment, Telegram
from tests.promtools import promtools
from tests.support.ports import free_port
from tests.support.waiting import wait_until

PRODUCT = "tumulte"
GRAFANA = "https://grafana.example.org"
JSON = {"Content-Type": "application/json"}
ROUNDS = "alertmanager_nflog_queries_total"  # grows whenever a group looks up whether its receiver has been told

FAST = {
    "critical": {"wait": "1s", "interval": "2s", "repeat": "4h"},
    "rest": {"wait": "1s", "interval": "2s", "repeat": "12h"},
}
"""Settings of groups that tests need not wait for."""


@dataclass
class Alertmanager:
    """One Alertmanager on this machine; its data outlives the process."""

    folder: Path
    alerts: Alerts
    secrets: Mapping[str, str]
    environment: Environment = "production"
    product: str = PRODUCT
    port: int = field(default_factory=free_port)
    cluster: Sequence[str] = ("--cluster.listen-address=",)  # a single one, unless it is said how it finds the others
    _process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def write(self) -> Path:
        """Write what the component puts into the container, and return the configuration."""
        (self.folder / "secrets").mkdir(parents=True, exist_ok=True)
        (self.folder / "templates").mkdir(exist_ok=True)
        for name in self.alerts.secrets_in(self.environment):
            (self.folder / "secrets" / name).write_text(self.secrets[name])
        for receiver in self.alerts.receivers_in(self.environment).values():
            if isinstance(receiver, Telegram):
                address = bot_address(receiver, self.secrets[receiver.bot_token])
                (self.folder / "secrets" / receiver.bot_token).write_text(address)
        for path, text in message_files(self.alerts, self.environment, GRAFANA).items():
            (self.folder / path).write_text(text)
        said = alertmanager_config(self.alerts, self.product, self.environment)
        file = self.folder / "alertmanager.yml"
        file.write_text(yaml.safe_dump(said, sort_keys=False).replace(FOLDER, str(self.folder)))
        return file

    def start(self) -> None:
        file = self.write()
        paths = [f"--config.file={file}", f"--storage.path={self.folder / 'data'}"]
        address = f"--web.listen-address=127.0.0.1:{self.port}"
        command = [str(promtools() / "alertmanager"), *paths, address, *self.cluster, *FLAGS]
        with (self.folder / "log").open("a") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log, cwd=self.folder)
        wait_until(self._is_ready, "Alertmanager is ready", 60, details=lambda: self.log)

    def _is_ready(self) -> bool:
        assert self._process is not None and self._process.poll() is None, self.log
        try:
            return httpx.get(f"{self.url}/-/ready").is_success
        except httpx.TransportError:
            return False

    def kill(self) -> None:
        """End it as a power cut would."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """End it in order: what was told is written down."""
        self._end(signal.SIGTERM)

    def _end(self, how: signal.Signals) -> None:
        if self._process and self._process.poll() is None:
            self._process.send_signal(how)
            self._process.wait(20)

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text()

    def post(self, alerts: Sequence[Mapping[str, Any]]) -> None:
        answer = httpx.post(f"{self.url}/api/v2/alerts", content=json.dumps(alerts), headers=JSON, timeout=30)
        assert answer.is_success, answer.text

    def silence(self, labels: Mapping[str, str]) -> None:
        now = datetime.now(UTC)
        matchers = [{"name": name, "value": value, "isRegex": False} for name, value in labels.items()]
        times = {"startsAt": now.isoformat(), "endsAt": (now + timedelta(hours=1)).isoformat()}
        said = {"matchers": matchers, **times, "createdBy": "a test", "comment": "a test"}
        httpx.post(f"{self.url}/api/v2/silences", json=said).raise_for_status()

    def get(self, path: str, **params: str) -> Any:
        return httpx.get(f"{self.url}/api/v2/{path}", params=params, timeout=60).raise_for_status().json()

    def metric(self, name: str, **labels: str) -> float:
        """Return the sum of a metric of its own over the series that have these labels."""
        lines = httpx.get(f"{self.url}/metrics").text.splitlines()
        own = [line for line in lines if line.startswith((f"{name}{{", f"{name} "))]
        return sum(
            float(line.rsplit(" ", 1)[1]) for line in own if all(f'{key}="{labels[key]}"' in line for key in labels)
        )

    def wait_for_rounds(self, count: int = 2) -> None:
        """Wait until its groups have come round so often again: what is not sent by then is not going to be."""
        groups = [group for group in self.get("alerts/groups") if group["receiver"]["name"] != NULL_RECEIVER]
        enough = self.metric(ROUNDS) + count * len(groups)
        assert groups, "no group has an alert to come round with"
        wait_until(lambda: self.metric(ROUNDS) >= enough, f"{len(groups)} groups have come round {count} times", 60)


@contextmanager
def alertmanager(folder: Path, receivers: Mapping[str, Any], secrets: Mapping[str, str], **more: Any) -> Iterator[Any]:
    """Run an Alertmanager with these receivers; `more` are the other settings of `alerts`, and `environment`."""
    environment = more.pop("environment", "production")
    product = more.pop("product", PRODUCT)
    alerts = Alerts.model_validate({"receivers": receivers, **more})
    running = Alertmanager(folder, alerts, secrets, environment, product)
    running.start()
    try:
        yield running
    finally:
        running.kill()


def firing(name: str, *, severity: str = "critical", ended: bool = False, **labels: str) -> dict[str, Any]:
    """Return an alert as Prometheus sends it: fires since now and for four minutes more, or ended just now."""
    now = datetime.now(UTC)
    # a group whose first alert is older than its wait is told at once.
    began = now - timedelta(minutes=2) if ended else now
    own = {"alertname": name, "severity": severity, "product": PRODUCT, "environment": "production"}
    said = {**own, "scope": "service", **labels}
    annotations = {
        "summary": f"{name} of {said.get('service', 'it')} of {said['product']}",
        "description": f"What {name} says: 0 of 1 answer.",
        "runbook_url": f"{GRAFANA}/d/dockyard-runbooks?viewPanel=panel-{len(name)}",
        "dashboard_url": f"{GRAFANA}/d/dockyard-overview?viewPanel=panel-1",
    }
    return {
        "labels": said,
        "annotations": annotations,
        "startsAt": began.isoformat(),
        "endsAt": (now - timedelta(seconds=1) if ended else now + timedelta(minutes=4)).isoformat(),
        "generatorURL": "http://prometheus:9090/graph?g0.expr=up",
    }
