"""The edge proxy with the real Traefik: what EdgeProxy registers, made on an engine, asked from outside and inside."""

import socket
import ssl
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace

import docker
import pytest

from components.edge import proxy
from components.edge.traefik import Upstream
from settings.edge import Edge, Route
from settings.names import ADMIN_PORT
from tests.certificates import self_signed
from tests.images.edge_clients import get, trusting_anybody
from tests.images.edge_stage import MONITORING, TCP_SERVER, Stage
from tests.support.containers import wait_in
from tests.support.load import Load
from tests.support.ports import free_port
from tests.support.waiting import wait_until

DRAIN = 1


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """A certificate for *.shop.test and its key, PEM."""
    return self_signed(tmp_path_factory.mktemp("certificate"), "shop.test")


@pytest.fixture(scope="module")
def stage(engine: docker.DockerClient, kit: Mapping[str, str], certificate: tuple[str, str]) -> Iterator[Stage]:
    """A shop with a route and published ports, which no test changes: each that switches a service has its own."""
    edge = {"drain": f"{DRAIN}s", "tls": {"certificate": "shop-certificate", "key": "shop-key"}}
    fronts = [
        Upstream("backend", 3333, published=free_port(), health_path="/health"),
        Upstream("api", 3333),
        Upstream("site", 80, routes=(Route(host="www.shop.test"), Route(host="shop.shop.test", path="/shop"))),
        Upstream("greeter", 4000, protocol="tcp"),
        Upstream("store", 5432, protocol="tcp", served_by_name=False, published=free_port(), servers=("store",)),
        *(Upstream(name, 3333, published=free_port(), health_path="/health") for name in ("released", "ailing")),
        *(Upstream(name, 3333) for name in ("drained", "spread", "unread", "leaving", "late")),
    ]
    made = Stage(
        engine,
        kit,
        Edge.model_validate(edge),
        fronts,
        http_port=free_port(),
        https_port=free_port(),
        secrets={"shop-certificate": certificate[0], "shop-key": certificate[1]},
    )
    with made:
        made.up()
        for name, port in (("backend", 3333), ("api", 3333), ("site", 80)):
            first(made, name, port)
        made.server("greeter-1", 4000, TCP_SERVER)
        assert made.switch("greeter", "greeter-1") == (0, "")
        made.first_complaints = made.complaints()
        yield made


def first(stage: Stage, name: str, port: int = 3333) -> None:
    stage.server(f"{name}-1", port)
    assert stage.switch(name, f"{name}-1") == (0, "")


def test_it_takes_its_configuration_without_a_complaint(stage: Stage):
    assert stage.first_complaints == []


def test_it_runs_without_root_and_without_a_capability_on_port_80_too(stage: Stage):
    container = stage.traefik
    status = container.exec_run(["grep", "-E", "^(Uid|CapEff|CapBnd)", "/proc/1/status"])[1].decode().split()
    assert status[1] == "65532"
    assert set(status[-1] + status[-3]) == {"0"}
    assert stage.ask("http://site/")[1].startswith("site-1 site")


def test_a_service_answers_at_its_own_name_and_port_also_where_another_shares_the_port(stage: Stage):
    assert stage.ask("http://backend:3333/")[1].startswith("backend-1 backend:3333")
    assert stage.ask("http://api:3333/")[1].startswith("api-1 ")


def test_a_published_port_answers_whatever_the_host_is_called(stage: Stage):
    response, body = get(stage.published("backend"), host="127.0.0.1:9")
    assert (response.status, body.split()[:2]) == (200, ["backend-1", "127.0.0.1:9"])


def test_plain_http_is_sent_to_the_tls_port_as_the_outside_knows_it(stage: Stage):
    answer, _ = get(stage.http_port, "/a?b=c", "www.shop.test")
    assert answer.status == 301
    assert answer.headers["Location"] == f"https://www.shop.test:{stage.https_port}/a?b=c"


def test_a_route_answers_over_tls_with_the_given_certificate(stage: Stage, certificate: tuple[str, str]):
    answer, said, shown = stage.https("www.shop.test")
    assert (answer.status, said.split()[0]) == (200, "site-1")
    assert answer.headers["Strict-Transport-Security"] == "max-age=31536000"
    assert shown == ssl.PEM_cert_to_DER_cert(certificate[0])


def test_a_route_with_a_path_leads_nowhere_beside_it(stage: Stage):
    assert stage.https("shop.shop.test", "/shop/cart")[0].status == 200
    assert stage.https("shop.shop.test", "/")[0].status == 404
    assert stage.https("other.shop.test")[0].status == 404


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
    with socket.create_connection(("127.0.0.1", stage.published("store")), 10) as connection:
        assert connection.makefile().readline() == "hello from store-1\n"


def test_metrics_are_for_the_monitoring_network_and_nothing_of_the_admin_port_is_published(stage: Stage):
    assert stage.ask("http://backend:3333/")[0] == 0
    series = 'traefik_service_requests_total{code="200",method="GET",protocol="http",service="backend@file"}'
    metrics = f"http://edge:{ADMIN_PORT}/metrics"
    # Traefik counts a request after it was answered.
    wait_until(lambda: series in stage.ask(metrics, MONITORING)[1], "the request is counted")
    container = stage.traefik
    container.reload()
    bindings = container.attrs["HostConfig"]["PortBindings"]
    assert f"{ADMIN_PORT}/tcp" not in bindings
    assert {one["HostIp"] for found in bindings.values() for one in found} == {"127.0.0.1"}


@pytest.mark.parametrize("path", ["/api/rawdata", "/dashboard/", "/api/version", "/debug/vars"])
def test_there_is_no_api_and_no_dashboard(stage: Stage, path: str):
    code, said = stage.ask(f"http://edge:{ADMIN_PORT}{path}", MONITORING)
    assert (code, "404" in said) == (1, True)


def test_releases_under_load_lose_no_request(stage: Stage):
    first(stage, "released")
    with Load(f"http://127.0.0.1:{stage.published('released')}/") as load:
        answers = load.answers.releases
        for number in (1, 2, 3):
            old, new = f"released-{number}", f"released-{number + 1}"
            wait_until(lambda old=old: answers[old] > 50, f"{old} answers")
            stage.server(new, 3333)
            assert stage.switch("released", new) == (0, "")
            # After the switch the old one gets nothing more: it can be killed at once.
            stage.engine.containers.get(stage.named(old)).remove(force=True, v=True)
        wait_until(lambda: answers["released-4"] > 50, "the last one answers")
    load.answers.assert_none_lost()
    assert set(answers) == {f"released-{number}" for number in (1, 2, 3, 4)}


def test_a_switch_waits_until_what_is_on_its_way_has_drained(stage: Stage):
    first(stage, "drained")
    stage.server("drained-2", 3333)
    began = time.monotonic()
    assert stage.switch("drained", "drained-2") == (0, "")
    assert time.monotonic() - began > DRAIN


def test_an_instance_that_has_gone_costs_nobody_an_answer(stage: Stage):
    stage.server("spread-1", 3333)
    gone = stage.server("spread-2", 3333)
    assert stage.switch("spread", "spread-1", "spread-2") == (0, "")
    asker = stage.server("asker", 9999)
    code = "import urllib.request as u; print(u.urlopen('http://spread:3333/').read().decode().split()[0])"
    program = f"for _ in range(6):\n {code.replace('; ', chr(10) + ' ')}"

    def answers() -> set[str]:
        return set(asker.exec_run(["python3", "-c", program])[1].decode().split())

    assert answers() == {"spread-1", "spread-2"}
    gone.kill()
    assert answers() == {"spread-1"}


def test_an_instance_that_says_it_is_sick_gets_no_traffic(stage: Stage):
    port = stage.published("ailing")
    stage.server("ailing-1", 3333)
    sick = stage.server("ailing-2", 3333)
    assert stage.switch("ailing", "ailing-1", "ailing-2") == (0, "")
    wait_until(lambda: get(port)[1].startswith("ailing-2"), "ailing-2 gets requests")
    sick.exec_run(["python3", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:3333/sick')"])
    wait_until(
        lambda: Counter(get(port)[1].split()[0] for _ in range(20)) == {"ailing-1": 20},
        "ailing-2 gets no requests",
        details=lambda: str(stage.complaints()),
    )


def test_a_file_that_traefik_does_not_load_is_taken_back(stage: Stage, monkeypatch: pytest.MonkeyPatch):
    first(stage, "unread")
    stage.server("unread-2", 3333)
    real = proxy.service_file
    broken = "http: [this is not what Traefik reads\n"
    with monkeypatch.context() as patch:
        patch.setattr(proxy, "LOAD_SECONDS", 2)
        patch.setattr(proxy, "service_file", lambda *said: proxy.File(broken, real(*said).loaded))
        code, output = stage.switch("unread", "unread-2")
    assert code == 1
    assert "did not load unread.yml within 2 s; what it had before is put back" in output
    assert stage.ask("http://unread:3333/")[1].startswith("unread-1 ")
    assert stage.switch("unread", "unread-2") == (0, "")
    assert stage.ask("http://unread:3333/")[1].startswith("unread-2 ")


def test_files_of_services_that_are_gone_go_with_the_next_writing_of_the_fixed_part(stage: Stage):
    first(stage, "leaving")
    fronts = [front for front in stage.fronts if front.name != "leaving"]
    smaller = replace(stage, fronts=fronts)
    listed = ["ls", "-A", "/etc/traefik/dynamic", "/etc/traefik"]
    assert "leaving.yml" in stage.traefik.exec_run(listed)[1].decode()
    try:
        assert smaller.job(smaller.world()["e-writer"]) == (0, "")
        left = set(stage.traefik.exec_run(listed)[1].decode().split())
    finally:
        stage.job(stage.world()["e-writer"])
    assert {"_fixed.yml", "backend.yml", "site.yml", "greeter.yml"} <= left
    assert not {name for name in left if name.startswith(("leaving", ".", "store"))}


def test_a_stopped_proxy_is_not_waited_for_and_reads_the_files_when_it_starts(stage: Stage):
    container = stage.traefik
    stage.server("late-1", 3333)
    container.stop(timeout=5)
    try:
        # A writer that waits for it would give up, and end with 1.
        assert stage.switch("late", "late-1") == (0, "")
    finally:
        container.start()
    wait_until(lambda: stage.ask("http://late:3333/")[1].startswith("late-1"), "the new server answers")


def test_acme_keeps_its_certificates_on_a_volume_that_it_may_write(engine: docker.DockerClient, kit: Mapping[str, str]):
    # Nobody answers there: that it asks is enough to see.
    edge = Edge.model_validate({"tls": {"acme": {"email": "ops@shop.test", "server": "http://127.0.0.1:9/directory"}}})
    fronts = [Upstream("site", 8080, routes=(Route(host="www.shop.test"),))]
    with Stage(engine, kit, edge, fronts, free_port(), free_port()) as made:
        container = made.up()
        first(made, "site", 8080)
        wait_in(container, lambda: b"Unable to obtain ACME certificate" in container.logs(), "it asks the authority")
        assert made.https("www.shop.test")[1].split()[0] == "site-1"
        mode = container.exec_run(["stat", "-c", "%a %u", "/certificates", "/certificates/acme.json"])[1].decode()
        assert mode.split() == ["700", "65532", "600", "65532"]
