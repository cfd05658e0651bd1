"""The double of cloudflared as a process, and the tunnel that it runs."""

from __future__ import annotations

import os
import signal
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from tests.support.ports import free_port
from tests.support.waiting import wait_until

CLEAN = {name: value for name, value in os.environ.items() if not name.startswith("TUNNEL_")}
SECONDS = 60


@dataclass
class Double:
    """A running double, with its metrics and its edge on ports of their own."""

    program: Path
    log: Path
    arguments: list[str] = field(default_factory=list)

    def __enter__(self) -> Double:
        self.metrics, self.edge = (f"127.0.0.1:{free_port()}" for _ in range(2))
        self.process = subprocess.Popen(
            [self.program, "--no-autoupdate", "tunnel", "--metrics", self.metrics, "run", *self.arguments],
            env={**CLEAN, "DOUBLE_EDGE": self.edge, "DOUBLE_POLL": "100ms"},
            stderr=self.log.open("wb"),
        )
        wait_until(self._listens, "the double listens", details=self.log.read_text)
        return self

    def _listens(self) -> bool:
        assert self.process.poll() is None, self.log.read_text()
        try:
            return self.inside("/healthcheck").text == "OK\n"
        except httpx.TransportError:
            return False

    def inside(self, path: str) -> httpx.Response:
        return httpx.get(f"http://{self.metrics}{path}")

    def visit(self, host: str, path: str = "/") -> httpx.Response:
        return httpx.get(f"http://{self.edge}{path}", headers={"Host": host}, timeout=SECONDS)

    def metric(self, name: str) -> float:
        lines = (line.rsplit(" ", 1) for line in self.inside("/metrics").text.splitlines() if line[0] != "#")
        return float(dict(lines)[name])

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        self.process.wait(SECONDS)


@dataclass(frozen=True)
class Made:
    api: httpx.Client
    path: str
    token: str

    def route(self, *rules: dict[str, Any]) -> None:
        """Give it rules; the last one is for all hosts."""
        answer = self.api.put(f"{self.path}/configurations", json={"config": {"ingress": list(rules)}})
        assert answer.is_success, answer.text
