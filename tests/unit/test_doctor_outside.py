"""What lies outside of the machine, as doctor judges it: clocks, registries, names, certificates."""

import http.server
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from ops.doctor import reach
from tests.certificates import self_signed
from tests.support.findings import by_status


@pytest.mark.parametrize(
    ("skews", "kernel", "engine", "status"),
    [
        ({}, 0, None, "ok"),
        ({}, 5, None, "untold"),
        ({}, None, None, "untold"),
        ({"ghcr.io": 0.4}, 5, None, "warning"),
        ({"ghcr.io": 30.0}, 0, None, "warning"),
        ({"ghcr.io": -300.0}, 0, None, "failed"),
        ({}, 0, 20.0, "warning"),
        ({}, 0, 200.0, "failed"),
        ({}, 0, 1.0, "ok"),
    ],
)
def test_the_clock_is_compared_with_registries_kernel_and_engine(skews, kernel, engine, status):
    assert by_status(reach.clock(skews, kernel, engine)).keys() == {status}


@pytest.fixture
def registry() -> Iterator[tuple[str, list[int]]]:
    """A registry on this machine, which answers what its list says."""
    answer = [401]

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(answer[0])
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield f"127.0.0.1:{server.server_port}", answer
        server.shutdown()


def test_a_registry_that_answers_is_well_whatever_it_answers(registry):
    host, _ = registry
    findings, skews = reach.registries({host: ["api"]})
    assert by_status(findings).keys() == {"ok"}
    assert skews == {}, "the clock of this machine says nothing of this machine's clock"


def test_a_registry_out_of_reach_fails_only_for_a_missing_image(registry):
    host, answer = registry
    answer[0] = 503
    assert by_status(reach.registries({host: []})[0]).keys() == {"warning"}
    (found,) = reach.registries({host: ["api"]})[0]
    assert found.status == "failed" and "missing on the engine: api" in found.found and "answers 503" in found.found
    with socket.create_server(("127.0.0.1", 0)) as gone:
        closed = f"127.0.0.1:{gone.getsockname()[1]}"
    assert by_status(reach.registries({closed: ["api"]})[0]).keys() == {"failed"}
    assert by_status(reach.registries({closed: None})[0]).keys() == {"untold"}, "no engine said what it has"
    assert by_status(reach.registries({closed: ["api"]}, started_by_up=[closed])[0]).keys() == {"note"}, (
        "`up` starts it"
    )


def test_names_are_resolved_side_by_side_and_judged_by_their_use(monkeypatch):
    def ask(host: str, *_: object, **__: object) -> list[Any]:
        if host == "slow.test.example":
            time.sleep(30)
        if host.startswith("gone"):
            raise socket.gaierror(-2, "Name or service not known")
        return [(0, 0, 0, "", ("192.0.2.7", 443))]

    monkeypatch.setattr(socket, "getaddrinfo", ask)
    monkeypatch.setattr(reach, "TIMEOUT", 0.3)
    hosts = {"here.example": "a route of web", "gone.example": "a route of web", "gone2.example": reach.TUNNEL}
    found = reach.names({**hosts, "slow.test.example": "a route of web"}, "production")
    assert [one.status for one in found] == ["ok", "failed", "warning", "untold"]
    assert found[0].found == "here.example → 192.0.2.7"
    assert [one.status for one in reach.names({"gone.example": "a route of web"}, "development")] == ["warning"]
    assert [one.status for one in reach.names({}, "production")] == ["ok"]


@pytest.mark.parametrize(("days", "status"), [(60, "ok"), (10, "warning"), (1, "failed"), (-1, "failed")])
def test_a_certificate_is_judged_by_the_days_that_it_has_left(days, status):
    now = 1_800_000_000.0
    assert by_status(reach.days_left("shop.example", now + days * 86400, now)).keys() == {status}


def test_a_certificate_that_nobody_trusts_fails(tmp_path):
    certificate, key = self_signed(tmp_path, "shop.example")
    (tmp_path / "cert.pem").write_text(certificate)
    (tmp_path / "key.pem").write_text(key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "cert.pem", tmp_path / "key.pem")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        assert by_status(reach.certificate("shop.example", "127.0.0.1", server.server_port)).keys() == {"failed"}
        server.shutdown()
    assert by_status(reach.certificate("shop.example", "127.0.0.1", server.server_port)).keys() == {"untold"}
