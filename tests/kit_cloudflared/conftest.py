"""The double as the kit builds it, and a fake of Cloudflare's API that it follows."""

from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from machine.workdir import WorkDir
from offline.kit.build import KIT
from offline.kit.programs import add_program
from offline.kit.recipes import RECIPES
from tests.cloudflare_api import TOKEN, Cloudflare, running_cloudflare
from tests.support.cloudflared import Double, Made
from tests.support.waiting import wait_until


@pytest.fixture(scope="session")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("program")
    recipe = RECIPES["cloudflared"]
    add_program(WorkDir(), KIT / recipe.program, folder, "/", recipe.stamps, print)
    return folder / "cloudflared"


@pytest.fixture
def run(program: Path, tmp_path: Path) -> Callable[..., Double]:
    return lambda *arguments: Double(program, tmp_path / "log", list(arguments))


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
