"""The demo apps where a store refuses, or where they are told to be unhealthy."""

import httpx
import pytest
from starlette.testclient import TestClient

from demo import static
from demo.api import Stores, build_app
from demo.switches import UNHEALTHY, ServerSettings
from demo.telegram import Telegram

BROKEN = ServerSettings(port=3000, release="r8", grace=8, unhealthy=True)


def client(stores: Stores) -> TestClient:
    return TestClient(build_app(stores, ServerSettings(port=3333, release="r7", grace=8)))


def test_telegram_that_refuses_fails_readiness_without_showing_the_token(monkeypatch: pytest.MonkeyPatch) -> None:
    refusing = httpx.AsyncClient(
        base_url="http://telegram", transport=httpx.MockTransport(lambda _request: httpx.Response(401))
    )
    monkeypatch.setattr(httpx, "AsyncClient", lambda **_options: refusing)
    answer = client(Stores(telegram=Telegram("http://telegram", "12:hunter2").ping)).get("/health/ready")
    assert answer.status_code == 503
    assert answer.json()["checks"]["telegram"]["reason"] == "Telegram answers 401"
    assert "hunter2" not in answer.text


@pytest.mark.parametrize("path", ["/", "/health"])
def test_an_unhealthy_web_app_fails_whichever_path_is_its_health_check(
    path: str, caplog: pytest.LogCaptureFixture
) -> None:
    assert TestClient(static.build_app(BROKEN)).get(path).status_code == 503
    own_lines = [record.getMessage() for record in caplog.records if record.name.startswith("demo")]
    assert UNHEALTHY in own_lines[-1]
