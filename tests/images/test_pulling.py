"""What pulls stand on: which registries answer, what the engine has, errors in words."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import pytest

from toolchain import pulling
from toolchain.pulling import LocalImages, PullError, _explain, familiar_name, reachable, repository

DIGEST = "sha256:" + "0a" * 32


@pytest.fixture
def answering() -> Iterator[ThreadingHTTPServer]:
    """A server that answers every request with its attribute `code`."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(self.server.code)  # type: ignore[attr-defined]  # set where the server is made
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize(("code", "why"), [(200, ""), (401, ""), (403, "403"), (503, "503")])
def test_a_registry_is_there_when_it_answers_as_one(answering, code: int, why: str):
    answering.code = code
    host = f"127.0.0.1:{answering.server_port}"
    answer = reachable([host])[host]
    assert answer == "" if not why else why in answer


def test_silent_registries_are_asked_side_by_side(monkeypatch: pytest.MonkeyPatch):
    both = threading.Barrier(2, timeout=10)

    def silent(*_: object, **__: object) -> None:
        both.wait()
        raise httpx.ReadTimeout("no answer")

    monkeypatch.setattr(pulling.httpx, "get", silent)
    assert set(reachable(["127.0.0.1:9", "127.0.0.1:9/mirror"]).values()) == {"no answer within 3 s"}


def test_references_are_spelled_as_the_engine_lists_them():
    assert familiar_name("docker.io/library/postgres:17") == "postgres:17"
    assert familiar_name("docker.io/prom/prometheus:v3") == "prom/prometheus:v3"
    assert familiar_name("quay.io/a/b:1") == "quay.io/a/b:1"
    assert repository("127.0.0.1:5000/a/b:1") == "127.0.0.1:5000/a/b"
    assert repository("127.0.0.1:5000/a/b") == "127.0.0.1:5000/a/b"


def test_an_image_is_there_by_its_digest_where_the_reference_has_one():
    local = LocalImages(frozenset({"prom/prometheus:v3.5.3", f"postgres@{DIGEST}"}))
    assert local.has("docker.io/prom/prometheus:v3.5.3")
    assert local.has(f"docker.io/library/postgres:17@{DIGEST}")
    assert not local.has(f"docker.io/prom/prometheus:v3.5.3@{DIGEST}")
    assert not local.has("docker.io/library/postgres:17")


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("manifest for a/b:1 not found: manifest unknown: manifest unknown", "does not have it"),
        ("pull access denied for a/b, repository does not exist or may require 'docker login'", "log-in"),
        ("unauthorized: authentication required", "log-in"),
        ("write /var/lib/docker/tmp/x: no space left on device", "disk is full"),
        ("toomanyrequests: You have reached your pull rate limit", "rate limit"),
    ],
)
def test_the_engines_errors_are_told_in_one_line(said: str, told: str):
    error = _explain(said)
    assert told in str(error)
    assert not error.passing


def test_a_broken_connection_is_worth_another_try():
    error = _explain("Get https://quay.io/v2/: net/http: TLS handshake timeout\nmore")
    assert isinstance(error, PullError)
    assert error.passing
    assert "\n" not in str(error)
