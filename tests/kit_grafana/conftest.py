from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from starlette.testclient import TestClient

from dashboards.registry import render
from tests.dashboards.stacks import FULL
from toolchain.kit.grafana.grafana_double.app import build
from toolchain.kit.grafana.grafana_double.library import Library
from toolchain.kit.grafana.grafana_double.settings import Settings

ADMIN = ("admin", "correct horse")
PROMETHEUS = {
    "name": "Prometheus",
    "type": "prometheus",
    "uid": "prometheus",
    "url": "http://prometheus:9090",
    "access": "proxy",
    "isDefault": True,
    "editable": False,
}


class Provisioning:
    """A provisioning folder in the making."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.boards = root / "boards"
        for folder in (root / "datasources", root / "dashboards", self.boards):
            folder.mkdir()

    def data_sources(self, *entries: dict[str, Any], file: str = "all.yaml") -> None:
        text = yaml.safe_dump({"apiVersion": 1, "datasources": list(entries)})
        (self.root / "datasources" / file).write_text(text)

    def providers(self, *entries: dict[str, Any], file: str = "all.yaml") -> None:
        text = yaml.safe_dump({"apiVersion": 1, "providers": list(entries)})
        (self.root / "dashboards" / file).write_text(text)

    def board(self, file: str, content: dict[str, Any] | str) -> None:
        path = self.boards / file
        path.parent.mkdir(exist_ok=True)
        path.write_text(content if isinstance(content, str) else json.dumps(content))

    def library(self) -> Library:
        library = Library(Settings(provisioning=self.root))
        library.load()
        return library


@pytest.fixture
def provisioning(tmp_path: Path) -> Provisioning:
    """Prometheus as the one data source, one provider, no dashboard yet."""
    made = Provisioning(tmp_path)
    made.data_sources(PROMETHEUS)
    made.providers({"name": "dockyard", "type": "file", "options": {"path": str(made.boards)}})
    return made


class FakePrometheus:
    """Answers queries with what a test put there, and remembers what it was asked."""

    def __init__(self) -> None:
        self.requests: list[httpx.Request] = []
        self.answer: Callable[[httpx.Request], httpx.Response] = lambda _request: vector(({}, "1"))

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        return self.answer(request)

    def asked(self) -> list[dict[str, str]]:
        """Return the parameters of each query."""
        return [dict(httpx.QueryParams(request.content.decode() or request.url.query)) for request in self.requests]


def success(kind: str, result: Any) -> httpx.Response:
    return httpx.Response(200, json={"status": "success", "data": {"resultType": kind, "result": result}})


def vector(*samples: tuple[dict[str, str], str]) -> httpx.Response:
    return success("vector", [{"metric": labels, "value": [1700000000, value]} for labels, value in samples])


@pytest.fixture
def prometheus() -> FakePrometheus:
    return FakePrometheus()


@pytest.fixture
def start(provisioning: Provisioning, prometheus: FakePrometheus) -> Iterator[Callable[..., TestClient]]:
    """Start the double on what was provisioned; the client is logged in unless `auth=None`."""
    running: list[TestClient] = []

    def begin(auth: tuple[str, str] | None = ADMIN, **settings: Any) -> TestClient:
        chosen = Settings(admin_user=ADMIN[0], admin_password=ADMIN[1], provisioning=provisioning.root, **settings)
        library = Library(chosen)
        library.load()
        upstream = httpx.AsyncClient(transport=httpx.MockTransport(prometheus))
        client = TestClient(build(chosen, library, upstream), follow_redirects=False)
        client.__enter__()
        client.auth = auth
        running.append(client)
        return client

    yield begin
    for client in running:
        client.__exit__()


@pytest.fixture
def overview(provisioning: Provisioning) -> str:
    """Provision the overview dashboard as the stack does; return its uid."""
    stack = replace(FULL, environment="development", datasource_uid="prometheus")
    provisioning.board("dockyard-overview.json", render(stack)["dockyard-overview.json"])
    return "dockyard-overview"
