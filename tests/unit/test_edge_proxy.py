"""The edge proxy: what it publishes, what it is told, and how a release is switched to."""

import pulumi
import pytest
import yaml

from components.edge_config import FIXED, arguments, entry_points, fixed_file, service_file
from components.edge_proxy import EdgeProxy, EdgeProxyConfig, Front, checked_pair
from settings.edge import Edge, Route
from settings.names import ADMIN_PORT
from tests.certificates import self_signed
from tests.support.recording import record

BACKEND = Front("backend", 3333, health_path="/health", published=13333)
FRONTEND = Front("frontend", 80, routes=(Route(host="shop.test"), Route(host="shop.test", path="/blog")))
GRAFANA = Front("grafana", 3000, internal=False, published=13000, servers=("grafana",))
POSTGRES = Front("postgres", 5432, protocol="tcp", internal=False, published=15432, servers=("postgres",))
FRONTS = (BACKEND, FRONTEND, GRAFANA, POSTGRES)
EVERYWHERE = "0.0.0.0"  # noqa: S104 - nothing is bound here
ACME = {"tls": {"acme": {"email": "ops@shop.test"}}}
GIVEN = {"tls": {"certificate": "shop-certificate", "key": "shop-key"}}


@pytest.fixture(scope="module")
def pem(tmp_path_factory) -> dict[str, str]:
    certificate, key = self_signed(tmp_path_factory.mktemp("pem"), "shop.test")
    return {"shop-certificate": certificate, "shop-key": key}


@pytest.fixture
def proxy(make_context):
    def build_proxy(edge=None, fronts=FRONTS, switch=None, ports=(10080, 10443), secrets=None, **build_options):
        def program():
            config = EdgeProxyConfig(
                Edge.model_validate(edge or {}), make_context(), lambda name: f"image-of-{name}", fronts, *ports
            )
            made = EdgeProxy("e", config)
            for name, servers in (switch or {}).items():
                made.switch(name, servers)

        return record(program, secrets=secrets, **build_options)

    return build_proxy


def said(edge=None, fronts=FRONTS, https_port=10443) -> dict[str, str]:
    """Return Traefik's arguments by name."""
    listed = arguments(Edge.model_validate(edge or {}), fronts, https_port)
    return dict(one.removeprefix("--").split("=", 1) for one in listed)


def fixed(edge=None, fronts=FRONTS, pem=None):
    return yaml.safe_load(fixed_file(Edge.model_validate(edge or {}), fronts, pem).text)


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
    assert {one["ip"] for one in proxy()["e-traefik"].inputs["ports"]} == {"127.0.0.1"}


def test_only_traefik_publishes_and_never_its_admin_port(proxy):
    world = proxy(switch={"backend": ["b-1"]})
    publishing = [one for one in world.containers if "ports" in one.inputs]
    assert [one.name for one in publishing] == ["e-traefik"]
    assert all(one["internal"] != ADMIN_PORT for one in publishing[0].inputs["ports"])


def test_without_routes_nothing_listens_for_the_world(proxy):
    world = proxy(fronts=(BACKEND,), ports=(None, None))
    assert [one["external"] for one in world["e-traefik"].inputs["ports"]] == [13333]
    assert not {"web", "websecure"} & entry_points((BACKEND,)).keys()
    assert "ports" not in proxy(fronts=(Front("api", 80),), ports=(None, None))["e-traefik"].inputs


def test_it_holds_the_names_of_services_on_the_app_network_and_of_nothing_else(proxy):
    app, monitoring = proxy()["e-traefik"].inputs["networksAdvanced"]
    assert (app["name"], app["aliases"]) == ("app-net", ["edge", "backend", "frontend"])
    assert (monitoring["name"], monitoring["aliases"]) == ("monitoring-net", ["edge"])


def test_it_runs_hardened_and_sees_no_docker_socket(proxy):
    inputs = proxy()["e-traefik"].inputs
    assert inputs["user"] == "65532:65532"
    assert inputs["readOnly"] is True
    assert inputs["capabilities"] == {"drops": ["ALL"]}
    assert {one["type"] for one in inputs["mounts"]} == {"volume"}
    assert all(one["readOnly"] for one in inputs["mounts"])
    assert "docker.sock" not in str(inputs)
    assert (inputs["memory"], inputs["memoryReservation"]) == (256, 128)


def test_its_health_check_is_the_dating_apps(proxy):
    check = proxy()["e-traefik"].inputs["healthcheck"]
    assert check["tests"][:4] == ["CMD", "traefik", "healthcheck", "--ping"]
    assert check["tests"][4:] == [f"--entrypoints.traefik.address=:{ADMIN_PORT}"]
    assert check["interval"] == "10s"
    assert proxy({"health_interval": "3s"})["e-traefik"].inputs["healthcheck"]["interval"] == "3s"


def test_an_access_line_holds_no_header_and_no_query_string():
    kept = {name for name in said() if name.startswith("accesslog.fields.names.")}
    assert "accesslog.fields.names.DownstreamStatus" in kept
    assert "accesslog.fields.names.RouterName" in kept
    assert not [name for name in kept if name.endswith(("Path", "Line", "ClientUsername"))]
    assert said()["accesslog.fields.defaultmode"] == "drop"
    assert not [name for name in said() if name.startswith("accesslog.fields.headers")]
    assert said({"access_log_paths": True})["accesslog.fields.names.RequestPath"] == "keep"
    assert not [name for name in said({"access_log": False}) if name.startswith("accesslog")]


def test_it_has_no_api_no_dashboard_no_other_provider_and_tells_nobody():
    options = said()
    assert not [name for name in options if name.startswith(("api", "providers.docker", "tracing"))]
    assert {name for name in options if name.startswith("providers.")} == {
        "providers.file.directory",
        "providers.file.watch",
        "providers.providersthrottleduration",
    }
    assert options["global.checknewversion"] == options["global.sendanonymoususage"] == "false"


def test_a_published_port_does_not_meet_a_service_of_the_same_port():
    shop = Front("shop", 3000)
    points = entry_points((shop, GRAFANA))
    assert points["inside-3000"] == 3000
    assert points["published-grafana"] not in (3000, ADMIN_PORT)
    taken = entry_points((Front("shop", 61000), GRAFANA, FRONTEND))
    assert len(set(taken.values())) == len(taken)


def test_what_cannot_be_told_apart_is_refused():
    for other in (Front("b", 4000), Front("b", 4000, protocol="tcp")):
        with pytest.raises(ValueError, match="a speaks TCP on port 4000"):
            entry_points((Front("a", 4000, protocol="tcp"), other))
    with pytest.raises(ValueError, match="the edge proxy's own"):
        entry_points((Front("a", ADMIN_PORT),))


def test_plain_http_leads_to_the_port_that_the_outside_knows():
    assert said(https_port=10443)["entrypoints.web.http.redirections.entrypoint.to"] == ":10443"
    assert not [name for name in said(fronts=(BACKEND,), https_port=None) if "redirections" in name]


def test_strangers_cannot_say_who_they_speak_for():
    options = said()
    trusting = {name.split(".")[1] for name in options if name.endswith("forwardedheaders.insecure")}
    assert trusting == {
        "inside-80",
        "inside-3333",
        "published-backend",
        "published-grafana",
        "published-postgres",
    }


def test_a_service_alone_on_its_port_answers_to_any_name_and_others_by_theirs():
    alone = of_service(BACKEND, "b-1")["http"]["routers"]["backend_inside"]
    assert (alone["entryPoints"], alone["rule"]) == (["inside-3333"], "PathPrefix(`/`)")
    shared = of_service(BACKEND, "b-1", fronts=(BACKEND, Front("api", 3333)))["http"]["routers"]["backend_inside"]
    assert shared["rule"] == "Host(`backend`)"


def test_requests_are_tried_again_where_nothing_was_sent_and_sick_servers_get_none():
    rendered = of_service(BACKEND, "b-1", "b-2")["http"]
    balancer = rendered["services"]["backend"]["loadBalancer"]
    assert [one["url"] for one in balancer["servers"]] == ["http://b-1:3333", "http://b-2:3333"]
    assert balancer["healthCheck"] == {"path": "/health", "interval": "2s", "timeout": "5s"}
    assert balancer["passHostHeader"] is True
    forwarding = [one for one in rendered["routers"].values() if one["service"] == "backend"]
    assert all("retry" in one["middlewares"] for one in forwarding)
    shared = fixed()["http"]
    assert shared["middlewares"]["retry"] == {"retry": {"attempts": 4, "initialInterval": "50ms"}}
    assert shared["serversTransports"][balancer["serversTransport"]]["forwardingTimeouts"] == {"dialTimeout": "1s"}


def test_a_service_without_a_health_path_is_not_asked():
    assert "healthCheck" not in of_service(FRONTEND, "f-1")["http"]["services"]["frontend"]["loadBalancer"]


def test_routes_are_tls_only_and_say_so_to_browsers():
    routers = of_service(FRONTEND, "f-1")["http"]["routers"]
    first, second = routers["frontend_route_0"], routers["frontend_route_1"]
    assert first["rule"] == "Host(`shop.test`)"
    assert second["rule"] == "Host(`shop.test`) && PathPrefix(`/blog`)"
    for route in (first, second):
        assert (route["entryPoints"], route["tls"]) == (["websecure"], {})
        assert "hsts" in route["middlewares"]
    document = fixed()
    assert document["http"]["middlewares"]["hsts"] == {"headers": {"stsSeconds": 31536000}}
    assert document["tls"]["options"]["default"]["minVersion"] == "VersionTLS12"


def test_a_path_that_looks_like_a_template_stays_a_path():
    front = Front("site", 80, routes=(Route(host="shop.test", path="/{{env}}"),))
    text = service_file(Edge(), (front,), front, ["s-1"]).text
    assert 'PathPrefix(`/{{"{{"}}env}}`)' in text


def test_tcp_goes_through_untouched():
    assert fixed()["tcp"]["routers"]["postgres"] == {
        "entryPoints": ["published-postgres"],
        "rule": "HostSNI(`*`)",
        "service": "postgres",
    }
    bus = Front("bus", 4222, protocol="tcp", published=14222)
    rendered = of_service(bus, "bus-1", fronts=(bus,))["tcp"]
    assert rendered["routers"]["bus"]["entryPoints"] == ["inside-4222", "published-bus"]
    assert rendered["services"]["bus"]["loadBalancer"]["servers"] == [{"address": "bus-1:4222"}]


def test_tools_stand_in_the_fixed_file_and_services_do_not():
    services = fixed()["http"]["services"]
    assert set(services) == {"grafana"}
    assert services["grafana"]["loadBalancer"]["servers"] == [{"url": "http://grafana:3000"}]


def test_acme_has_a_data_volume_that_only_traefik_may_read(proxy):
    world = proxy(ACME)
    options = said(ACME)
    assert options["certificatesresolvers.acme.acme.email"] == "ops@shop.test"
    assert options["certificatesresolvers.acme.acme.caserver"].startswith("https://acme-v02.api.letsencrypt.org")
    assert options["certificatesresolvers.acme.acme.httpchallenge.entrypoint"] == "web"
    assert world["e-certificates"].label("dockyard.volume") == "data"
    writable = [one["target"] for one in world["e-traefik"].inputs["mounts"] if not one["readOnly"]]
    assert writable == ["/certificates"]
    assert "chown 65532:65532 /dockyard/certificates" in world["e-writer"].inputs["command"][0]
    route = of_service(FRONTEND, "f-1", edge=ACME)["http"]["routers"]["frontend_route_0"]
    assert route["tls"] == {"certResolver": "acme"}


def test_without_acme_there_is_no_resolver_and_no_volume_for_it(proxy, pem):
    assert "e-certificates" not in proxy(GIVEN, secrets=pem)
    assert not [name for name in said(GIVEN) if name.startswith("certificatesresolvers")]


def test_a_given_certificate_is_a_secret_and_stands_nowhere_else(proxy, pem):
    world = proxy(GIVEN, secrets=pem, switch={"frontend": ["f-1"]})
    writer = world["e-writer"]
    stores = yaml.safe_load(writer.files[f"/dockyard/files/{FIXED}.yml"])["tls"]["stores"]
    assert stores["default"]["defaultCertificate"] == {
        "certFile": pem["shop-certificate"],
        "keyFile": pem["shop-key"],
    }
    assert writer.secrets == {"uploads[0].content"}
    assert not [one.name for one in world.resources if one.name != "e-writer" and "PRIVATE KEY" in str(one.inputs)]


def test_a_key_of_another_certificate_is_refused_before_anything_is_written(proxy, pem, tmp_path):
    other = {**pem, "shop-key": self_signed(tmp_path, "other.test")[1]}
    with pytest.raises(pulumi.RunError, match="cannot be used together"):
        proxy(GIVEN, secrets=other)
    with pytest.raises(pulumi.RunError, match="cannot be used together"):
        checked_pair("no certificate", "no key")


def test_a_preview_without_the_certificate_goes_through(proxy):
    world = proxy(GIVEN, preview=True)
    assert "e-traefik" in world
    assert "stores" not in yaml.safe_load(world["e-writer"].files[f"/dockyard/files/{FIXED}.yml"])["tls"]


def test_the_fixed_file_is_there_before_traefik_and_traefik_before_any_switch(proxy):
    world = proxy(switch={"backend": ["b-1"]})
    assert "e-writer" in world["e-traefik"].depends_on
    assert "e-traefik" in world["e-backend-writer"].depends_on
    assert {one.parent for one in world.resources if one.name != "e"} == {"e"}


def test_another_release_writes_one_file_and_leaves_traefik_alone(proxy):
    first, second = proxy(switch={"backend": ["b-1"]}), proxy(switch={"backend": ["b-2"]})
    changed = {one.name for one in first.resources if one.inputs != second[one.name].inputs}
    assert changed == {"e-backend-writer"}
    assert list(second["e-backend-writer"].files) == ["/dockyard/files/backend.yml"]


def test_the_same_release_asks_for_the_same(proxy):
    first, second = proxy(switch={"backend": ["b-1"]}), proxy(switch={"backend": ["b-1"]})
    assert [one.inputs for one in first.resources] == [one.inputs for one in second.resources]


def test_a_switch_waits_for_exactly_its_content_and_then_for_the_drain(proxy):
    writer = proxy({"drain": "7s"}, switch={"backend": ["b-1"]})["e-backend-writer"]
    script, _, loaded = writer.inputs["command"]
    document = yaml.safe_load(writer.files["/dockyard/files/backend.yml"])
    router = document["http"]["routers"]["backend_loaded"]
    assert router == {"entryPoints": ["traefik"], "rule": f"Path(`{loaded}`)", "service": "ping@internal"}
    in_order = ["mv .backend.new dynamic/backend.yml", "/ping", f'http://edge:{ADMIN_PORT}$1"', "exit 1", "sleep 7"]
    places = [script.index(part) for part in in_order]
    assert places == sorted(places)
    other = proxy(switch={"backend": ["b-2"]})["e-backend-writer"].inputs["command"][2]
    assert loaded.startswith("/loaded/backend/")
    assert other != loaded


def test_only_the_writer_of_the_fixed_part_clears_away_and_it_spares_services(proxy):
    world = proxy(switch={"backend": ["b-1"]})
    assert f'case " {FIXED} backend frontend "' in world["e-writer"].inputs["command"][0]
    assert "rm -rf" not in world["e-backend-writer"].inputs["command"][0]


def test_a_switch_that_did_not_come_off_fails_with_what_the_writer_said(proxy):
    with pytest.raises(pulumi.RunError, match="log of e-backend-writer"):
        proxy(
            switch={"backend": ["b-1"]},
            exit_codes={"e-backend-writer": 1},
        )


def test_there_is_nothing_to_switch_for_a_service_that_it_does_not_stand_before(proxy):
    with pytest.raises(ValueError, match="does not stand before bot"):
        proxy(switch={"bot": ["bot-1"]})


@pytest.mark.parametrize(
    ("tls", "wrong"),
    [
        ({"certificate": "a"}, "certificate and key together"),
        ({"certificate": "a", "key": "b", "acme": {"email": "a@b.c"}}, "one of acme and certificate"),
    ],
)
def test_certificates_come_one_way(tls, wrong):
    with pytest.raises(ValueError, match=wrong):
        Edge.model_validate({"tls": tls})
