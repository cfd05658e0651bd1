"""The edge proxy: what it publishes, what it is told, and how a release is switched to."""

import pulumi
import pytest
import yaml

from components.edge.proxy import EdgeProxy, check_certificate
from components.edge.traefik import BASE_FILE, Upstream, arguments, entry_points, service_file
from settings.edge import Edge, Route
from settings.names import ADMIN_PORT
from tests.certificates import self_signed
from tests.support.recording import record

BACKEND = Upstream("backend", 3333, health_path="/health", published=13333)
FRONTEND = Upstream("frontend", 80, routes=(Route(host="shop.test"), Route(host="shop.test", path="/blog")))
GRAFANA = Upstream("grafana", 3000, served_by_name=False, published=13000, servers=("grafana",))
POSTGRES = Upstream("postgres", 5432, protocol="tcp", served_by_name=False, published=15432, servers=("postgres",))
FRONTS = (BACKEND, FRONTEND, GRAFANA, POSTGRES)
EVERYWHERE = "0.0.0.0"  # noqa: S104 - nothing is bound here
ACME = {"tls": {"acme": {"email": "ops@shop.test"}}}
PORTS = {"web": 10080, "websecure": 10443}
GIVEN = {"tls": {"certificate": "shop-certificate", "key": "shop-key"}}


@pytest.fixture(scope="module")
def pem(tmp_path_factory) -> dict[str, str]:
    certificate, key = self_signed(tmp_path_factory.mktemp("pem"), "shop.test")
    return {"shop-certificate": certificate, "shop-key": key}


@pytest.fixture
def proxy(make_context):
    def build_proxy(edge=None, fronts=FRONTS, switch=None, ports=PORTS, secrets=None, **build_options):
        def program():
            context, settings = make_context(image=lambda name: f"image-of-{name}"), Edge.model_validate(edge or {})
            made = EdgeProxy("e", context, edge=settings, upstreams=fronts, ports=ports)
            for name, servers in (switch or {}).items():
                made.set_servers(name, servers)

        return record(program, secrets=secrets, **build_options)

    return build_proxy


def said(edge=None, fronts=FRONTS, https_port=10443) -> dict[str, str]:
    listed = arguments(Edge.model_validate(edge or {}), fronts, https_port)
    return dict(one.removeprefix("--").split("=", 1) for one in listed)


def of_service(front, *servers, fronts=FRONTS, edge=None):
    return yaml.safe_load(service_file(Edge.model_validate(edge or {}), fronts, front, servers).text)


def test_it_publishes_routes_where_the_settings_say_and_all_else_on_the_loopback_address(proxy):
    world = proxy({"address": EVERYWHERE})
    points = entry_points(FRONTS)
    assert [(one["external"], one["ip"], one["internal"]) for one in world["e-traefik"].inputs["ports"]] == [
        (10080, EVERYWHERE, points["web"]),
        (10443, EVERYWHERE, points["websecure"]),
        (13333, "127.0.0.1", points["published-backend"]),
        (13000, "127.0.0.1", points["published-grafana"]),
        (15432, "127.0.0.1", points["published-postgres"]),
    ]


def test_its_health_is_checked_as_often_as_the_settings_say(proxy):
    assert proxy({"health_interval": "3s"})["e-traefik"].inputs["healthcheck"]["interval"] == "3s"


def test_access_lines_hold_paths_only_where_the_settings_say_so_and_can_be_turned_off():
    assert said({"access_log_paths": True})["accesslog.fields.names.RequestPath"] == "keep"
    assert not [name for name in said({"access_log": False}) if name.startswith("accesslog")]


def test_a_published_port_does_not_meet_a_service_of_the_same_port():
    shop = Upstream("shop", 3000)
    points = entry_points((shop, GRAFANA))
    assert points["inside-3000"] == 3000
    assert points["published-grafana"] not in (3000, ADMIN_PORT)
    taken = entry_points((Upstream("shop", 61000), GRAFANA, FRONTEND))
    assert len(set(taken.values())) == len(taken)


def test_what_cannot_be_told_apart_is_refused():
    for other in (Upstream("b", 4000), Upstream("b", 4000, protocol="tcp")):
        with pytest.raises(ValueError, match="a uses TCP on port 4000"):
            entry_points((Upstream("a", 4000, protocol="tcp"), other))
    with pytest.raises(ValueError, match="the edge proxy itself uses"):
        entry_points((Upstream("a", ADMIN_PORT),))


def test_a_service_without_a_health_path_is_not_asked():
    assert "healthCheck" not in of_service(FRONTEND, "f-1")["http"]["services"]["frontend"]["loadBalancer"]


def test_a_path_that_looks_like_a_template_stays_a_path():
    front = Upstream("site", 80, routes=(Route(host="shop.test", path="/{{env}}"),))
    text = service_file(Edge(), (front,), front, ["s-1"]).text
    assert 'PathPrefix(`/{{"{{"}}env}}`)' in text


def test_acme_has_a_data_volume_and_asks_the_authority_of_the_settings(proxy):
    world = proxy(ACME)
    options = said(ACME)
    assert options["certificatesresolvers.acme.acme.email"] == "ops@shop.test"
    assert options["certificatesresolvers.acme.acme.caserver"].startswith("https://acme-v02.api.letsencrypt.org")
    assert options["certificatesresolvers.acme.acme.httpchallenge.entrypoint"] == "web"
    assert world["e-certificates"].label("dockyard.volume") == "data"
    route = of_service(FRONTEND, "f-1", edge=ACME)["http"]["routers"]["frontend_route_0"]
    assert route["tls"] == {"certResolver": "acme"}


def test_a_given_certificate_is_a_secret_and_stands_nowhere_else(proxy, pem):
    world = proxy(GIVEN, secrets=pem, switch={"frontend": ["f-1"]})
    writer = world["e-writer"]
    stores = yaml.safe_load(writer.files[f"/dockyard/files/{BASE_FILE}.yml"])["tls"]["stores"]
    assert stores["default"]["defaultCertificate"] == {"certFile": pem["shop-certificate"], "keyFile": pem["shop-key"]}
    assert writer.secrets == {"uploads[0].content"}
    assert not [one.name for one in world.resources if one.name != "e-writer" and "PRIVATE KEY" in str(one.inputs)]


def test_a_key_of_another_certificate_is_refused_before_anything_is_written(proxy, pem, tmp_path):
    other = {**pem, "shop-key": self_signed(tmp_path, "other.test")[1]}
    with pytest.raises(pulumi.RunError, match="invalid certificate or key"):
        proxy(GIVEN, secrets=other)
    with pytest.raises(pulumi.RunError, match="invalid certificate or key"):
        check_certificate("no certificate", "no key")


def test_a_preview_without_the_certificate_goes_through(proxy):
    world = proxy(GIVEN, preview=True)
    assert "e-traefik" in world
    assert "stores" not in yaml.safe_load(world["e-writer"].files[f"/dockyard/files/{BASE_FILE}.yml"])["tls"]


def test_another_release_writes_one_file_and_leaves_traefik_alone(proxy):
    first, same, second = (proxy(switch={"backend": [server]}) for server in ("b-1", "b-1", "b-2"))
    assert [made.inputs for made in first.resources] == [made.inputs for made in same.resources]
    changed = {one.name for one in first.resources if one.inputs != second[one.name].inputs}
    assert changed == {"e-backend-writer"}
    assert list(second["e-backend-writer"].files) == ["/dockyard/files/backend.yml"]


def test_a_switch_that_did_not_come_off_fails_with_what_the_writer_said(proxy):
    with pytest.raises(pulumi.RunError, match="log of e-backend-writer"):
        proxy(switch={"backend": ["b-1"]}, exit_codes={"e-backend-writer": 1})


def test_there_is_nothing_to_switch_for_a_service_that_it_does_not_stand_before(proxy):
    with pytest.raises(ValueError, match="has no route to bot"):
        proxy(switch={"bot": ["bot-1"]})


@pytest.mark.parametrize(
    ("tls", "wrong"),
    [
        ({"certificate": "a"}, "both certificate and key, or neither"),
        ({"certificate": "a", "key": "b", "acme": {"email": "a@b.c"}}, "either acme or certificate, not both"),
    ],
)
def test_certificates_come_one_way(tls, wrong):
    with pytest.raises(ValueError, match=wrong):
        Edge.model_validate({"tls": tls})
