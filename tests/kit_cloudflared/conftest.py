"""The double as the kit builds it, a fake of Cloudflare's API that it follows, and a service behind the tunnel."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest

from tests.access_tokens import AccessTeam
from tests.cloudflare_api import TOKEN, Cloudflare, running_cloudflare
from tests.support.cloudflared import Double, Made
from tests.support.waiting import wait_until
from toolchain.kit.build import KIT
from toolchain.kit.programs import add_program
from toolchain.kit.recipes import RECIPES
from toolchain.workdir import WorkDir


@pytest.fixture(scope="session")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The double as the kit builds it."""
    folder = tmp_path_factory.mktemp("program")
    recipe = RECIPES["cloudflared"]
    add_program(WorkDir(), KIT / recipe.program, folder, "/", recipe.stamps, print)
    return folder / "cloudflared"


@pytest.fixture
def run(program: Path, tmp_path: Path) -> Callable[..., Double]:
    return lambda *arguments, **rest: Double(program, tmp_path / "log", list(arguments), **rest)


@pytest.fixture
def cloudflare() -> Iterator[Cloudflare]:
    with running_cloudflare() as state:
        state.edge = True
        yield state


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
        wait_until(lambda: double.inside("/ready").is_success, "the tunnel is connected")
        yield double


class Echo(BaseHTTPRequestHandler):
    """Answers with what it was asked."""

    def do_GET(self) -> None:
        body = json.dumps({"path": self.path, "headers": dict(self.headers)}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def service() -> Iterator[str]:
    """The address of a service behind the tunnel."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Echo) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture(scope="session")
def team(tmp_path_factory: pytest.TempPathFactory) -> AccessTeam:
    return AccessTeam(tmp_path_factory.mktemp("team"))
