"""A real Alertmanager, started with what the component renders; only its paths are others."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import yaml

from components.alert_receivers import FOLDER
from components.alert_routing import FLAGS, MESSAGES
from components.alertmanager_config import alertmanager_config
from settings.alerts import Alerts
from settings.receivers import Environment
from tests.promtools import promtools

PRODUCT = "tumulte"
JSON = {"Content-Type": "application/json"}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@dataclass
class Alertmanager:
    """One Alertmanager on this machine; its data outlives the process."""

    folder: Path
    alerts: Alerts
    secrets: Mapping[str, str]
    environment: Environment = "production"
    product: str = PRODUCT
    port: int = field(default_factory=_free_port)
    _process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.port}"

    def write(self) -> Path:
        """Write what the component puts into the container, and return the configuration."""
        (self.folder / "secrets").mkdir(parents=True, exist_ok=True)
        (self.folder / "templates").mkdir(exist_ok=True)
        for name in self.alerts.secrets_in(self.environment):
            (self.folder / "secrets" / name).write_text(self.secrets[name])
        for file in MESSAGES.glob("*.tmpl"):
            (self.folder / "templates" / file.name).write_text(file.read_text())
        said = alertmanager_config(self.alerts, self.product, self.environment)
        file = self.folder / "alertmanager.yml"
        file.write_text(yaml.safe_dump(said, sort_keys=False).replace(FOLDER, str(self.folder)))
        return file

    def start(self) -> None:
        """Start it and wait until it takes alerts."""
        file = self.write()
        command = [
            str(promtools() / "alertmanager"),
            f"--config.file={file}",
            f"--storage.path={self.folder / 'data'}",
            f"--web.listen-address=127.0.0.1:{self.port}",
            "--cluster.listen-address=",
            *FLAGS,
        ]
        with (self.folder / "log").open("a") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log, cwd=self.folder)
        until = time.monotonic() + 20
        while True:
            try:
                if httpx.get(f"{self.url}/-/ready").is_success:
                    return
            except httpx.TransportError:
                pass
            assert self._process.poll() is None and time.monotonic() < until, self.log
            time.sleep(0.05)

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
        """All that it printed."""
        return (self.folder / "log").read_text()

    def post(self, alerts: Sequence[Mapping[str, Any]]) -> None:
        """Send alerts as Prometheus does."""
        answer = httpx.post(f"{self.url}/api/v2/alerts", content=json.dumps(alerts), headers=JSON, timeout=30)
        assert answer.is_success, answer.text

    def get(self, path: str, **params: str) -> Any:
        """Ask its API."""
        return httpx.get(f"{self.url}/api/v2/{path}", params=params, timeout=60).raise_for_status().json()

    def metric(self, name: str, **labels: str) -> float:
        """Return the sum of a metric of its own over the series that have these labels."""
        total = 0.0
        for line in httpx.get(f"{self.url}/metrics").text.splitlines():
            if line.startswith((f"{name}{{", f"{name} ")) and all(f'{key}="{labels[key]}"' in line for key in labels):
                total += float(line.rsplit(" ", 1)[1])
        return total


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
    """Return an alert as Prometheus sends it: kept alive for four evaluations, or ended just now."""
    now = datetime.now(UTC)
    said = {
        "alertname": name,
        "severity": severity,
        "product": PRODUCT,
        "environment": "production",
        "scope": "service",
        **labels,
    }
    return {
        "labels": said,
        "annotations": {
            "summary": f"{name} of {said.get('service', 'it')}",
            "description": f"What {name} says: 0 of 1 answer.",
            "runbook_url": f"https://grafana.example.org/d/dockyard-runbooks?viewPanel=panel-{len(name)}",
            "dashboard_url": "https://grafana.example.org/d/dockyard-overview?viewPanel=panel-1",
        },
        "startsAt": (now - timedelta(minutes=2)).isoformat(),
        "endsAt": (now - timedelta(seconds=1) if ended else now + timedelta(minutes=4)).isoformat(),
        "generatorURL": "http://prometheus:9090/graph?g0.expr=up",
    }
