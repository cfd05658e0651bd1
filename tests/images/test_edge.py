"""The edge proxy with the real Traefik: what EdgeProxy registers, made on an engine, asked from outside and inside."""

from __future__ import annotations

import http.client
import json
import socket
import ssl
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import docker
import pytest

from components import edge_proxy
from components.edge_proxy import Front
from settings.edge import Edge, Route
from settings.names import ADMIN_PORT
from tests.certificates import self_signed
from tests.images.edge_stage import MONITORING, TCP_SERVER, Stage, staged, wait
from tests.images.helpers import kit_images

DRAIN = 1


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


@pytest.fixture(scope="module")
def images(docker_host: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mapping[str, str]]:
    with kit_images(tmp_path_factory.mktemp("edge"), docker_host, ["busybox", "traefik", "python"]) as found:
        yield found


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """A certificate for *.shop.test and its key, PEM."""
    return self_signed(tmp_path_factory.mktemp("certificate"), "shop.test")


@pytest.fixture(scope="module")
def stage(engine: docker.DockerClient, images: Mapping[str, str], certificate: tuple[str, str]) -> Iterator[Stage]:
    """A shop: two services on one port, one on port 80, one that speaks TCP; a store; published ports and a route."""
    edge = {"drain": f"{DRAIN}s", "tls": {"certificate": "shop-certificate", "key": "shop-key"}}
    fronts = [
        Front("backend", 3333, published=free_port(), health_path="/health"),
        Front("api", 3333),
        Front("site", 80, routes=(Route(host="www.shop.test"), Route(host="shop.shop.test", path="/shop"))),
        Front("greeter", 4000, protocol="tcp"),
        Front("store", 5432, protocol="tcp", internal=False, published=free_port(), servers=("store",)),
    ]
    made = Stage(
        engine,
        images,
        Edge.model_validate(edge),
        fronts,
        http_port=free_port(),
        https_port=free_port(),
        secrets={"shop-certificate": certificate[0], "shop-key": certificate[1]},
    )
    with staged(made):
        made.up()
        for name, port in (("backend-1", 3333), ("api-1", 3333), ("site-1", 80)):
            made.server(name, port)
            assert made.switch(name.removesuffix("-1"), name)[:2] == (0, "")
        made.server("greeter-1", 4000, TCP_SERVER)
        assert made.switch("greeter", "greeter-1")[:2] == (0, "")
        yield made


def traefik(stage: Stage):
    return next(
        one for one in stage.engine.containers.list(filters={"label": f"edge-test={stage.mark}"}) if _is_edge(one)
    )


def _is_edge(container) -> bool:
    return any("providers.file" in part for part in container.attrs["Args"])


def complaints(container) -> list[str]:
    """Return what Traefik logged above INFO."""
    lines = [json.loads(line) for line in container.logs().decode().splitlines() if line.startswith("{")]
    assert lines
    return [line["message"] for line in lines if line["level"] not in ("debug", "info")]


def get(port: int, path: str = "/", host: str = "x.test") -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", path, headers={"Host": host})
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


def published(stage: Stage, name: str) -> int:
    return next(front.published for front in stage.fronts if front.name == name and front.published)


def trusting_anybody() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def secure(
    stage: Stage, host: str, path: str = "/", headers: Mapping[str, str] | None = None
) -> tuple[http.client.HTTPResponse, str, bytes]:
    """Ask over TLS as `host`; return the answer, its body, and the certificate that was shown."""
    more = "".join(f"{name}: {value}\r\n" for name, value in (headers or {}).items())
    with (
        socket.create_connection(("127.0.0.1", stage.https_port), 10) as plain,
        trusting_anybody().wrap_socket(plain, server_hostname=host) as channel,
    ):
        channel.sendall(f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{more}\r\n".encode())
        answer = http.client.HTTPResponse(channel)
        answer.begin()
        return answer, answer.read().decode(), channel.getpeercert(True)


class Load:
    """Requests without a pause from several clients, each on a connection of its own."""

    def __init__(self, ask: Callable[[], tuple[int, str]], clients: int = 4) -> None:
        self.seen: Counter[str] = Counter()
        self._ask, self._stop = ask, threading.Event()
        self._threads = [threading.Thread(target=self._run) for _ in range(clients)]

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                status, body = self._ask()
                self.seen[body.split(" ", 1)[0] if status == 200 else f"status {status}"] += 1
            except OSError as error:
                self.seen[repr(error)] += 1

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()


def test_it_takes_its_configuration_without_a_complaint(stage: Stage):
    assert complaints(traefik(stage)) == []


def test_it_runs_without_root_and_without_a_capability_on_port_80_too(stage: Stage):
    container = traefik(stage)
    status = container.exec_run(["grep", "-E", "^(Uid|CapEff|CapBnd)", "/proc/1/status"])[1].decode().split()
    assert status[1] == "65532"
    assert set(status[-1] + status[-3]) == {"0"}
    assert stage.ask("http://site/")[1].startswith("site-1 site")


def test_a_service_answers_at_its_own_name_and_port_on_the_app_network(stage: Stage):
    assert stage.ask("http://backend:3333/")[1].startswith("backend-1 backend:3333")


def test_services_that_share_a_port_are_told_apart_by_name(stage: Stage):
    assert stage.ask("http://api:3333/")[1].startswith("api-1 ")
    assert stage.ask("http://backend:3333/")[1].startswith("backend-1 ")


def test_a_published_port_answers_whatever_the_host_is_called(stage: Stage):
    status, said = get(published(stage, "backend"), host="127.0.0.1:9")
    assert (status, said.split()[:2]) == (200, ["backend-1", "127.0.0.1:9"])


def test_plain_http_is_sent_to_the_tls_port_as_the_outside_knows_it(stage: Stage):
    connection = http.client.HTTPConnection("127.0.0.1", stage.http_port, timeout=10)
    connection.request("GET", "/a?b=c", headers={"Host": "www.shop.test"})
    answer = connection.getresponse()
    assert answer.status == 301
    assert answer.headers["Location"] == f"https://www.shop.test:{stage.https_port}/a?b=c"


def test_a_route_answers_over_tls_with_the_given_certificate(stage: Stage, certificate: tuple[str, str]):
    answer, said, shown = secure(stage, "www.shop.test")
    assert (answer.status, said.split()[0]) == (200, "site-1")
    assert answer.headers["Strict-Transport-Security"] == "max-age=31536000"
    assert shown == ssl.PEM_cert_to_DER_cert(certificate[0])


def test_a_route_with_a_path_leads_nowhere_beside_it(stage: Stage):
    assert secure(stage, "shop.shop.test", "/shop/cart")[0].status == 200
    assert secure(stage, "shop.shop.test", "/")[0].status == 404
    assert secure(stage, "other.shop.test")[0].status == 404


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1")
def test_old_tls_is_refused_by_the_proxy_itself(stage: Stage):
    old = trusting_anybody()
    old.set_ciphers("DEFAULT:@SECLEVEL=0")
    old.minimum_version, old.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
    with (
        socket.create_connection(("127.0.0.1", stage.https_port), 10) as plain,
        pytest.raises(ssl.SSLError, match="alert protocol version"),
    ):
        old.wrap_socket(plain, server_hostname="www.shop.test")


def test_tcp_goes_through_even_where_the_server_speaks_first(stage: Stage):
    code = (
        "import socket; c = socket.create_connection(('greeter', 4000), 5); f = c.makefile('rw')\n"
        "print(f.readline(), end=''); f.write('abc\\n'); f.flush(); print(f.readline(), end='')"
    )
    said = stage.engine.containers.run(
        stage.images["python"], ["python3", "-c", code], network=stage.named("app"), remove=True
    )
    assert said.decode() == "hello from greeter-1\nABC\n"


def test_a_published_store_is_reached_by_its_own_name(stage: Stage):
    stage.server("store-1", 5432, TCP_SERVER, alias="store")
    with socket.create_connection(("127.0.0.1", published(stage, "store")), 10) as connection:
        assert connection.makefile().readline() == "hello from store-1\n"


def test_metrics_are_for_the_monitoring_network_and_nothing_of_the_admin_port_is_published(stage: Stage):
    code, said = stage.ask(f"http://edge:{ADMIN_PORT}/metrics", MONITORING)
    assert code == 0
    assert 'traefik_service_requests_total{code="200",method="GET",protocol="http",service="backend@file"}' in said
    container = traefik(stage)
    container.reload()
    bindings = container.attrs["HostConfig"]["PortBindings"]
    assert f"{ADMIN_PORT}/tcp" not in bindings
    assert {one["HostIp"] for found in bindings.values() for one in found} == {"127.0.0.1"}


@pytest.mark.parametrize("path", ["/api/rawdata", "/dashboard/", "/api/version", "/debug/vars"])
def test_there_is_no_api_and_no_dashboard(stage: Stage, path: str):
    code, said = stage.ask(f"http://edge:{ADMIN_PORT}{path}", MONITORING)
    assert (code, "404" in said) == (1, True)


def test_releases_under_load_lose_no_request(stage: Stage):
    port = published(stage, "backend")
    current = "backend-1"
    with Load(lambda: get(port)) as load:
        for number in (2, 3, 4):
            time.sleep(0.5)
            new = f"backend-{number}"
            stage.server(new, 3333)
            code, said, _ = stage.switch("backend", new)
            assert (code, said) == (0, "")
            # After the switch the old one gets nothing more: it can be killed without a word.
            stage.engine.containers.get(stage.named(current)).remove(force=True, v=True)
            current = new
        time.sleep(0.5)
    assert set(load.seen) == {"backend-1", "backend-2", "backend-3", "backend-4"}
    assert sum(load.seen.values()) > 300


def test_a_switch_gives_what_is_on_its_way_the_time_to_drain(stage: Stage):
    stage.server("backend-5", 3333)
    code, _, seconds = stage.switch("backend", "backend-5")
    assert code == 0
    assert seconds > DRAIN


def test_an_instance_that_has_gone_costs_nobody_an_answer(stage: Stage):
    stage.server("api-2", 3333)
    gone = stage.server("api-3", 3333)
    assert stage.switch("api", "api-2", "api-3")[0] == 0
    port_free = stage.server("asker", 9999)
    ask = "import urllib.request as u; print(u.urlopen('http://api:3333/').read().decode().split()[0])"
    seen = {port_free.exec_run(["python3", "-c", ask])[1].decode().strip() for _ in range(6)}
    assert seen == {"api-2", "api-3"}
    gone.kill()
    seen = {port_free.exec_run(["python3", "-c", ask])[1].decode().strip() for _ in range(10)}
    assert seen == {"api-2"}


def test_an_instance_that_says_it_is_sick_gets_no_traffic(stage: Stage):
    port = published(stage, "backend")
    stage.server("backend-6", 3333)
    sick = stage.server("backend-7", 3333)
    assert stage.switch("backend", "backend-6", "backend-7")[0] == 0
    wait(lambda: get(port)[1].startswith("backend-7"), lambda: "backend-7 gets nothing")
    sick.exec_run(["python3", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:3333/sick')"])
    wait(
        lambda: Counter(get(port)[1].split()[0] for _ in range(20)) == {"backend-6": 20},
        lambda: f"backend-7 still gets requests: {complaints(traefik(stage))}",
    )
    assert stage.switch("backend", "backend-6")[0] == 0


def test_what_it_does_not_load_is_taken_back_and_said(stage: Stage, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(edge_proxy, "LOAD_SECONDS", 2)
    stage.server("site-2", 80)
    real = edge_proxy.service_file
    broken = "http: [this is not what Traefik reads\n"
    with monkeypatch.context() as patch:
        patch.setattr(edge_proxy, "service_file", lambda *said: edge_proxy.File(broken, real(*said).loaded))
        code, said, _ = stage.switch("site", "site-2")
    assert code == 1
    assert "did not load site.yml within 2 s; what it had before is put back" in said
    assert stage.ask("http://site/")[1].startswith("site-1 ")
    assert stage.switch("site", "site-2")[0] == 0
    assert stage.ask("http://site/")[1].startswith("site-2 ")


def test_files_of_services_that_are_gone_go_with_the_next_writing_of_the_fixed_part(stage: Stage):
    smaller = Stage(
        stage.engine,
        stage.images,
        stage.edge,
        [front for front in stage.fronts if front.name != "api"],
        stage.http_port,
        stage.https_port,
        stage.secrets,
        stage.mark,
    )
    listed = ["ls", "-A", "/etc/traefik/dynamic", "/etc/traefik"]
    assert "api.yml" in traefik(stage).exec_run(listed)[1].decode()
    assert smaller.job(smaller.world()["e-writer"]) == (0, "")
    left = set(traefik(stage).exec_run(listed)[1].decode().split())
    assert {"_fixed.yml", "backend.yml", "site.yml", "greeter.yml"} <= left
    assert not {name for name in left if name.startswith(("api", ".", "store"))}


def test_a_stopped_proxy_is_not_waited_for_and_reads_the_files_when_it_starts(stage: Stage):
    container = traefik(stage)
    container.stop(timeout=5)
    stage.server("site-3", 80)
    code, _, seconds = stage.switch("site", "site-3")
    assert (code, seconds < edge_proxy.LOAD_SECONDS) == (0, True)
    container.start()
    wait(lambda: stage.ask("http://site/")[1].startswith("site-3"), lambda: container.logs().decode())


def test_acme_keeps_its_certificates_on_a_volume_that_it_may_write(
    engine: docker.DockerClient, images: Mapping[str, str], tmp_path: Path
):
    # Nobody answers there: that it asks is enough to see.
    edge = Edge.model_validate({"tls": {"acme": {"email": "ops@shop.test", "server": "http://127.0.0.1:9/directory"}}})
    fronts = [Front("site", 8080, routes=(Route(host="www.shop.test"),))]
    with staged(Stage(engine, images, edge, fronts, free_port(), free_port())) as made:
        container = made.up()
        made.server("site-1", 8080)
        assert made.switch("site", "site-1")[0] == 0
        wait(lambda: "Unable to obtain ACME certificate" in container.logs().decode(), lambda: "it did not ask")
        assert secure(made, "www.shop.test")[1].split()[0] == "site-1"
        mode = container.exec_run(["stat", "-c", "%a %u", "/certificates", "/certificates/acme.json"])[1].decode()
        assert mode.split() == ["700", "65532", "600", "65532"]
