"""Tools of the monitoring behind the real Traefik: who gets through, and what the others are told."""

import base64
import json
from collections.abc import Iterator, Mapping
from dataclasses import replace

import docker
import pytest

from components.edge.auth import RouteAuth
from components.edge.traefik import Upstream
from settings.edge import Edge, Route
from tests.images.edge_clients import get
from tests.images.edge_stage import MONITORING, Stage
from tests.support.people import ALICE, BOB, PASSWORDS
from tests.support.ports import free_port
from tests.support.waiting import wait_until

TELL = """
import http.server, json
class Answer(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        open_to_all = "NAME" != "sign-in-1" or "pass=yes" in self.headers.get("Cookie", "")
        body = json.dumps({"name": "NAME", "path": self.path, **dict(self.headers)}).encode()
        self.send_response(200 if open_to_all else 403)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Strict-Transport-Security", "max-age=1")
        self.send_header("Remote-User", "mallory")
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_):
        pass
http.server.ThreadingHTTPServer(("", PORT), Answer).serve_forever()
"""
"""Tells what it was asked. As `sign-in` it lets nobody through without the cookie `pass=yes`."""


def tool(name: str, port: int, guard: RouteAuth | None, path: str = "/") -> Upstream:
    route = Route(host=f"{name}.shop.test", path=path)
    return Upstream(name, port, served_by_name=False, servers=(name,), routes=(route,), auth=guard)


@pytest.fixture(scope="module")
def stage(engine: docker.DockerClient, kit: Mapping[str, str]) -> Iterator[Stage]:
    """Grafana in the open; Prometheus, Alertmanager and Loki each behind another guard."""
    ask = "http://sign-in:4181/verify"
    fronts = [
        Upstream("sign-in", 4181),
        tool("grafana", 3000, None),
        tool("prometheus", 9090, RouteAuth(basic_auth="people")),
        tool("alertmanager", 9093, RouteAuth(forward_auth=ask)),
        tool("loki", 3100, RouteAuth("people", ask), "/loki/api/v1/push"),
    ]
    secrets = {"people": f"{ALICE}\n{BOB}\n"}
    with Stage(engine, kit, Edge(), fronts, free_port(), free_port(), secrets) as made:
        made.up()
        made.server("sign-in-1", 4181, TELL)
        assert made.switch("sign-in", "sign-in-1")[:2] == (0, "")
        for front in fronts[1:]:
            made.server(f"{front.name}-1", front.port, TELL, network=MONITORING, alias=front.name)
        made.first_complaints = made.complaints()
        yield made


def login(user: str, password: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}


def test_it_takes_its_configuration_without_a_complaint(stage: Stage):
    assert stage.first_complaints == []


def test_grafana_answers_by_https_alone_and_browsers_are_told_to_stay_there(stage: Stage):
    answer, _ = get(stage.http_port, "/d/x?y=z", "grafana.shop.test")
    assert (answer.status, answer.headers["Location"]) == (301, f"https://grafana.shop.test:{stage.https_port}/d/x?y=z")
    answer, said, _ = stage.https("grafana.shop.test", "/d/x?y=z")
    asked = json.loads(said)
    assert (answer.status, asked["name"], asked["path"]) == (200, "grafana-1", "/d/x?y=z")
    # Once, and the edge's, where the tool sends one too.
    assert answer.headers.get_all("Strict-Transport-Security") == ["max-age=31536000"]
    assert (asked["X-Forwarded-Proto"], asked["Host"]) == ("https", "grafana.shop.test")


@pytest.mark.parametrize("user", PASSWORDS)
def test_whoever_has_a_password_gets_through_and_the_tool_does_not_see_it(stage: Stage, user: str):
    answer, said, _ = stage.https("prometheus.shop.test", "/graph", login(user, PASSWORDS[user]))
    assert (answer.status, json.loads(said)["path"]) == (200, "/graph")
    assert "Authorization" not in json.loads(said)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        login("alice", "wrong"),
        login("mallory", "correct horse"),
        login("alice", ""),
        login("alice", ALICE.partition(":")[2]),
        {"Authorization": "Bearer x"},
        {"X-Forwarded-User": "alice"},
    ],
)
def test_nobody_else_does(stage: Stage, headers: dict[str, str]):
    answer, said, _ = stage.https("prometheus.shop.test", "/graph", headers)
    assert answer.status == 401
    assert "prometheus-1" not in said
    assert answer.headers["WWW-Authenticate"] == 'Basic realm="prometheus"'
    # The probe of a route knows by this header that the route is there.
    assert answer.headers["Strict-Transport-Security"] == "max-age=31536000"


def test_plain_http_asks_for_no_password(stage: Stage):
    answer, _ = get(stage.http_port, "/graph", "prometheus.shop.test")
    assert (answer.status, answer.headers["WWW-Authenticate"]) == (301, None)


def test_who_is_let_through_by_another_is_what_that_one_says(stage: Stage):
    answer, said, _ = stage.https("alertmanager.shop.test", "/api/v2/status", {"Cookie": "pass=yes"})
    assert (answer.status, json.loads(said)["name"]) == (200, "alertmanager-1")
    # Nothing of that one's answer reaches the tool.
    assert "Remote-User" not in json.loads(said)
    answer, said, _ = stage.https("alertmanager.shop.test", "/api/v2/alerts")
    asked = json.loads(said)
    assert (answer.status, asked["name"]) == (403, "sign-in-1")
    assert (asked["X-Forwarded-Host"], asked["X-Forwarded-Uri"]) == ("alertmanager.shop.test", "/api/v2/alerts")
    assert answer.headers["Strict-Transport-Security"] == "max-age=31536000"


def test_a_stranger_cannot_say_what_they_ask_for(stage: Stage):
    lies = {"X-Forwarded-Host": "open.shop.test", "X-Forwarded-Uri": "/open", "X-Forwarded-Method": "HEAD"}
    asked = json.loads(stage.https("alertmanager.shop.test", "/api/v2/silences", lies)[1])
    assert (asked["X-Forwarded-Host"], asked["X-Forwarded-Uri"], asked["X-Forwarded-Method"]) == (
        *("alertmanager.shop.test", "/api/v2/silences"),
        "GET",
    )


def test_both_guards_must_let_somebody_through_and_only_to_the_path(stage: Stage):
    host, path, alice, passed = (
        "loki.shop.test",
        "/loki/api/v1/push",
        login("alice", "correct horse"),
        {"Cookie": "pass=yes"},
    )
    assert stage.https(host, path, {**alice, **passed})[0].status == 200
    assert stage.https(host, path, passed)[0].status == 401
    assert stage.https(host, path, alice)[0].status == 403
    assert stage.https(host, "/loki/api/v1/query", {**alice, **passed})[0].status == 404


def test_where_the_one_that_is_asked_is_gone_nobody_gets_through(stage: Stage):
    gone = stage.engine.containers.get(stage.named("sign-in-1"))
    gone.kill()
    try:
        answer, said, _ = stage.https("alertmanager.shop.test", "/", {"Cookie": "pass=yes"})
    finally:
        gone.start()
        wait_until(lambda: stage.https("alertmanager.shop.test")[0].status == 403, "sign-in answers again")
    assert answer.status == 502
    assert "alertmanager-1" not in said


def test_nothing_of_a_tool_is_reached_by_another_name_or_port(stage: Stage):
    for host in ("www.shop.test", "127.0.0.1", "prometheus", "prometheus.shop.test.evil.test"):
        assert stage.https(host, "/graph")[0].status == 404
    container = stage.traefik
    container.reload()
    assert len(container.attrs["HostConfig"]["PortBindings"]) == 2


def test_the_people_stand_in_a_file_that_only_traefik_reads(stage: Stage):
    container = stage.traefik
    shown = container.exec_run(["stat", "-c", "%a %u", "/etc/traefik/dynamic/_fixed.yml"])[1].decode().split()
    assert shown == ["400", "65532"]
    assert "$2y$" not in json.dumps(container.attrs)
    assert "$2y$" not in container.logs().decode()


def test_another_password_is_taken_without_a_restart(stage: Stage):
    began = stage.traefik.attrs["State"]["StartedAt"]
    fewer = replace(stage, secrets={"people": BOB})
    try:
        assert fewer.job(fewer.world()["e-writer"]) == (0, "")
        assert stage.https("prometheus.shop.test", "/", login("alice", "correct horse"))[0].status == 401
        assert stage.https("prometheus.shop.test", "/", login("bob", "x"))[0].status == 200
    finally:
        assert stage.job(stage.world()["e-writer"]) == (0, "")
    assert stage.https("prometheus.shop.test", "/", login("alice", "correct horse"))[0].status == 200
    assert stage.traefik.attrs["State"]["StartedAt"] == began
