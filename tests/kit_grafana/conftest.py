from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
from starlette.testclient import TestClient

from dashboards.registry import render
from offline.kit.grafana.grafana_double.app import build
from offline.kit.grafana.grafana_double.library import Library
from offline.kit.grafana.grafana_double.settings import Settings
from tests.dashboards.stacks import FULL
from tests.support.grafana import PROMETHEUS, Provisioning

ADMIN = ("admin", "correct horse")


@pytest.fixture
def provisioning(tmp_path: Path) -> Provisioning:
    """Prometheus as the one data source, one provider, no dashboard yet."""
    made = Provisioning(tmp_path)
    made.data_sources(PROMETHEUS)
    made.providers({"name": "dockyard", "type": "file", "options": {"path": str(made.boards)}})
    return made


@pytest.fixture
def start(provisioning: Provisioning) -> Iterator[Callable[[], TestClient]]:
    """Start the double on what was provisioned; the client is logged in."""
    with ExitStack() as running:

        def begin() -> TestClient:
            chosen = Settings(admin_user=ADMIN[0], admin_password=ADMIN[1], provisioning=provisioning.root)
            library = Library(chosen)
            library.load()
            nobody = httpx.AsyncClient(transport=httpx.MockTransport(lambda _: httpx.Response(502)))
            client = running.enter_context(TestClient(build(chosen, library, nobody), follow_redirects=False))
            client.auth = ADMIN
            return client

        yield begin


@pytest.fixture
def overview(provisioning: Provisioning) -> str:
    """Provision the overview dashboard as the stack does; return its uid."""
    stack = replace(FULL, environment="development", datasource_uid="prometheus")
    provisioning.board("dockyard-overview.json", render(stack)["dockyard-overview.json"])
    return "dockyard-overview"
