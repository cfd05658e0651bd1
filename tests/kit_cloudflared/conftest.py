"""The double as a process, a fake of Cloudflare's API that it follows, and a service behind the tunnel."""

from __future__ import annotations

import base64
import json
import os
import signal
import socket
import subprocess
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.access_tokens import AccessTeam
from tests.cloudflare_api import TOKEN, Cloudflare, running_cloudflare
from toolchain.kit.build import KIT
from toolchain.kit.programs import add_program
from toolchain.kit.recipes import RECIPES
from toolchain.workdir import WorkDir

CLEAN = {name: value for name, value in os.environ.items() if not name.startswith("TUNNEL_")}
SECONDS = 15


@pytest.fixture(scope="session")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The double as the kit builds it."""
    folder = tmp_path_factory.mktemp("program")
    recipe = RECIPES["cloudflared"]
    add_program(WorkDir(), KIT / recipe.program, folder, "/", recipe.stamps, print)
    return folder / "cloudflared"


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


def token_of(**fields: Any) -> str:
    said = {"a": "acc", "t": str(uuid.uuid4()), "s": base64.b64encode(b"secret").decode(), **fields}
    return base64.b64encode(json.dumps(said).encode()).decode()


def wait_until(holds: Callable[[], object]) -> None:
    deadline = time.monotonic() + SECONDS
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@dataclass
class Double:
    """A running double, with its metrics and its edge on ports of their own."""

    program: Path
    log: Path
    arguments: list[str] = field(default_factory=list)
    environment: dict[str, str] = field(default_factory=dict)
    options: list[str] = field(default_factory=list)

    def __enter__(self) -> Double:
        self.metrics, self.edge = (f"127.0.0.1:{free_port()}" for _ in range(2))
        self.process = subprocess.Popen(
            [
                self.program,
                "--no-autoupdate",
                "tunnel",
                *self.options,
                "--metrics",
                self.metrics,
                "run",
                *self.arguments,
            ],
            env={**CLEAN, "DOUBLE_EDGE": self.edge, "DOUBLE_POLL": "100ms", **self.environment},
            stderr=self.log.open("wb"),
        )
        wait_until(self._listens)
        return self

    def _listens(self) -> bool:
        assert self.process.poll() is None, self.log.read_text()
        try:
            return self.inside("/healthcheck").text == "OK\n"
        except httpx.TransportError:
            return False

    def inside(self, path: str) -> httpx.Response:
        """Ask the metrics server."""
        return httpx.get(f"http://{self.metrics}{path}")

    def ready(self) -> subprocess.CompletedProcess[str]:
        """Ask as the container's health check does."""
        command = [self.program, "tunnel", "--metrics", self.metrics, "ready"]
        return subprocess.run(command, env=CLEAN, capture_output=True, text=True)

    def visit(self, host: str, path: str = "/", **headers: str) -> httpx.Response:
        """Ask the edge for a public name."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return httpx.get(f"http://{self.edge}{path}", headers={**named, "Host": host}, timeout=SECONDS)

    def metric(self, name: str) -> float:
        lines = (line.rsplit(" ", 1) for line in self.inside("/metrics").text.splitlines() if line[0] != "#")
        return float(dict(lines)[name])

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        self.process.wait(SECONDS)


@pytest.fixture
def run(program: Path, tmp_path: Path) -> Callable[..., Double]:
    return lambda *arguments, **rest: Double(program, tmp_path / "log", list(arguments), **rest)


@pytest.fixture
def cloudflare() -> Iterator[Cloudflare]:
    with running_cloudflare() as state:
        state.edge = True
        yield state


@dataclass(frozen=True)
class Made:
    """A tunnel at the fake."""

    api: httpx.Client
    path: str
    token: str

    def route(self, *rules: dict[str, Any]) -> None:
        """Give it rules; the last one is for all hosts."""
        answer = self.api.put(f"{self.path}/configurations", json={"config": {"ingress": list(rules)}})
        assert answer.is_success, answer.text

    def told(self) -> dict[str, Any]:
        """What the fake knows of it."""
        found: dict[str, Any] = self.api.get(self.path).json()["result"]
        return found


@pytest.fixture
def made(cloudflare: Cloudflare) -> Iterator[Made]:
    """A tunnel that nobody has configured yet."""
    with httpx.Client(base_url=cloudflare.url, headers={"Authorization": f"Bearer {TOKEN}"}) as api:
        about = {"name": "t", "config_src": "cloudflare"}
        path = f"/accounts/acc/cfd_tunnel/{api.post('/accounts/acc/cfd_tunnel', json=about).json()['result']['id']}"
        yield Made(api, path, api.get(f"{path}/token").json()["result"])


@pytest.fixture
def connected(run: Callable[..., Double], made: Made) -> Iterator[Double]:
    with run("--token", made.token) as double:
        wait_until(lambda: double.inside("/ready").is_success)
        yield double


class Service:
    """Answers with what it was asked; `/slow` only once it may."""

    def __init__(self) -> None:
        self.may_answer = threading.Event()
        self.reached = threading.Event()
        service = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                if self.path == "/slow":
                    service.reached.set()
                    service.may_answer.wait(SECONDS)
                body = json.dumps({"path": self.path, "headers": dict(self.headers)}).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                """Say nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"


@pytest.fixture
def service() -> Iterator[Service]:
    found = Service()
    thread = threading.Thread(target=found.server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    yield found
    found.may_answer.set()
    found.server.shutdown()
    found.server.server_close()
    thread.join()


@pytest.fixture(scope="session")
def team(tmp_path_factory: pytest.TempPathFactory) -> AccessTeam:
    return AccessTeam(tmp_path_factory.mktemp("team"))
