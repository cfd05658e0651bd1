from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import pytest
from starlette.testclient import TestClient

from demo.frontend import build_app
from demo.switches import ServerSettings

POLL = {
    "id": 1,
    "question": "<script>alert(1)</script>",
    "active": True,
    "options": [{"position": 0, "label": "a & b", "votes": 3}, {"position": 1, "label": "c", "votes": 0}],
}


def client(handler: Callable[[httpx.Request], httpx.Response]) -> TestClient:
    backend = httpx.AsyncClient(base_url="http://backend:3333", transport=httpx.MockTransport(handler))
    return TestClient(build_app(backend, ServerSettings(3000, "r7", 8)))


def answering(body: Any, status: int = 200) -> Callable[[httpx.Request], httpx.Response]:
    return lambda _request: httpx.Response(status, json=body)


def test_the_page_shows_the_backends_polls_and_escapes_their_text() -> None:
    asked = []

    def backend(request: httpx.Request) -> httpx.Response:
        asked.append(str(request.url))
        return httpx.Response(200, json={"polls": [POLL]})

    page = client(backend).get("/")
    assert page.status_code == 200
    assert asked == ["http://backend:3333/polls"]
    assert "&lt;script&gt;alert(1)&lt;/script&gt; (open)" in page.text
    assert "<script>" not in page.text
    assert "a &amp; b: 3" in page.text
    assert "release r7" in page.text


def refusing(request: httpx.Request) -> httpx.Response:
    raise httpx.ConnectError("refused", request=request)


def with_no_json(_request: httpx.Request) -> httpx.Response:
    return httpx.Response(200, text="<html>")


@pytest.mark.parametrize(
    "backend",
    [refusing, with_no_json, answering({}, 503), answering({}), answering({"polls": [{}]}), answering([])],
)
def test_the_page_says_that_the_backend_does_not_answer(
    backend: Callable[[httpx.Request], httpx.Response],
) -> None:
    frontend = client(backend)
    page = frontend.get("/")
    assert page.status_code == 200
    assert "the backend does not answer" in page.text
    assert "tumulte_frontend_backend_up 0.0" in frontend.get("/metrics").text
