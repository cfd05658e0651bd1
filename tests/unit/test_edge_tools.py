"""Tools of the monitoring that have a host name: who gets through the edge, and what is refused."""

import textwrap

import pulumi
import pytest
import yaml

from components.edge.auth import RouteAuth, parse_users
from components.edge.proxy import EdgeProxy
from components.edge.traefik import BASE_FILE, Upstream, base_config
from program.edge import edge_upstreams
from program.urls import grafana_root_url, published_urls
from settings.edge import Edge, Route
from settings.loader import Configuration, load, read_stack_file
from settings.problems import SettingsError
from tests.support.people import ALICE, BOB
from tests.support.recording import record
from tests.unit.checkouts import make

PEOPLE = RouteAuth(basic_auth="prom-people")
HOSTS = {"grafana": "grafana.shop.example", "prometheus": "prom.shop.example"}


def front(name="prometheus", guard=PEOPLE, **said) -> Upstream:
    route = Route(host=f"{name}.shop.example", path=said.pop("path", "/"))
    return Upstream(name, 9090, served_by_name=False, servers=(name,), routes=(route,), auth=guard, **said)


def fixed(*fronts, users=None, edge=None) -> dict:
    text = base_config(Edge.model_validate(edge or {}), fronts, None, users).text
    return yaml.safe_load(text.replace('{{"{{"}}', "{{"))["http"]


class TestTheEdge:
    def test_takes_certificates_from_the_authority_for_tools_too(self):
        http = fixed(front(), edge={"tls": {"acme": {"email": "ops@shop.example"}}})
        assert http["routers"]["prometheus_route_0"]["tls"] == {"certResolver": "acme"}

    @pytest.mark.parametrize("name", ["prometheus", "alertmanager", "loki", "postgres", "redis"])
    def test_is_not_made_with_an_open_route_to_a_tool_or_store(self, name):
        with pytest.raises(ValueError, match=f"{name} has routes but no authentication"):
            front(name, guard=None)
        with pytest.raises(ValueError, match="everybody could reach it"):
            RouteAuth()

    def test_lets_nobody_in_where_the_people_are_not_known(self):
        assert fixed(front())["middlewares"]["prometheus_basic"]["basicAuth"]["users"] == []

    def test_a_published_port_is_for_who_is_on_this_host_already(self):
        http = fixed(front(published=19090), users={"prom-people": [ALICE]})
        assert http["routers"]["prometheus_published"]["middlewares"] == ["retry"]


@pytest.fixture
def proxy(make_context):
    def build_proxy(secrets=None, **options):
        def program():
            fronts = (front(), front("loki", guard=RouteAuth(basic_auth="loki-people")))
            EdgeProxy("e", make_context(), edge=Edge(), upstreams=fronts, ports={"web": 80, "websecure": 443})

        return record(program, secrets=secrets, **options)

    return build_proxy


class TestThePeople:
    def test_stand_in_one_secret_file_that_only_traefik_reads(self, proxy):
        world = proxy({"prom-people": f"{ALICE}\n{BOB}\n", "loki-people": BOB})
        writer = world["e-writer"]
        http = yaml.safe_load(writer.files[f"/dockyard/files/{BASE_FILE}.yml"])["http"]
        assert http["middlewares"]["prometheus_basic"]["basicAuth"]["users"] == [ALICE, BOB]
        assert http["middlewares"]["loki_basic"]["basicAuth"]["users"] == [BOB]
        assert writer.secrets == {"uploads[0].content"}
        assert "chmod 0400" in writer.inputs["command"][0]
        assert not [one.name for one in world.resources if one.name != "e-writer" and "$2y$" in str(one.inputs)]

    def test_stay_the_same_from_one_up_to_the_next_and_change_nothing_but_the_file(self, proxy):
        people = {"prom-people": ALICE, "loki-people": BOB}
        first, second = proxy(people), proxy(people)
        assert [one.inputs for one in first.resources] == [one.inputs for one in second.resources]
        other = proxy({**people, "loki-people": f"{BOB}\n{ALICE}"})
        assert {one.name for one in first.resources if one.inputs != other[one.name].inputs} == {"e-writer"}

    def test_can_be_missing_in_a_preview(self, proxy):
        assert "e-traefik" in proxy(preview=True)

    @pytest.mark.parametrize(
        ("text", "told"),
        [
            ("", "it is empty"),
            ("alice:correct horse", "line 1 is not a user name with a bcrypt hash"),
            ("alice:$apr1$H6uskkkW$IgXLP6ewTrSuBkTrqE8wj/", "line 1 is not"),
            (f"{ALICE}\nbob:{{SHA}}W6ph5Mm5Pz8GgiULbPgzG37mj9g=\n", "line 2 is not"),
            (ALICE[:-1], "line 1 is not"),
            (f"{ALICE}\n{ALICE}", "duplicate name"),
        ],
    )
    def test_are_refused_in_another_form_without_being_shown(self, text, told):
        with pytest.raises(pulumi.RunError) as caught:
            parse_users("prom-people", text)
        message = str(caught.value)
        assert message.startswith(f"invalid secret dockyard:prom-people for basic_auth of edge.tools: {told}")
        assert "htpasswd -nB <name>" in message
        assert "correct horse" not in message
        assert "$" not in message


@pytest.fixture
def checkout(tmp_path):
    """A checkout with one stack, whose `dockyard:` keys a test adds to, and one product."""
    make(
        tmp_path,
        "name: shop\n"
        "services: {api: {image: registry.example/api:1, port: 8000, health: {http: /ready},"
        " routes: [{host: shop.example}]}}\n",
    )

    def settings(said, secrets=()):
        text = "config:\n  dockyard:product: products/shop.yaml\n  dockyard:environment: development\n"
        (tmp_path / "Pulumi.dev.yaml").write_text(text + textwrap.indent(textwrap.dedent(said), "  "))
        configuration = read_stack_file(tmp_path, "dev")
        return load(Configuration(configuration.values, frozenset(secrets)), "dev", checkout=tmp_path)

    return settings


def told(checkout, said, secrets=()) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        checkout(said, secrets)
    return [str(problem) for problem in caught.value.problems]


class TestTheSettings:
    def test_give_tools_a_host_name(self, checkout):
        said = """
        dockyard:edge:
          https: 8443
          tools:
            grafana: {host: grafana.shop.example}
            prometheus: {host: prom.shop.example, basic_auth: prom-people}
        """
        settings = checkout(said, ["prom-people"])
        front_of = {upstream.name: upstream for upstream in edge_upstreams(settings)}
        assert {name: front_of[name].routes[0].host for name in HOSTS} == HOSTS
        assert front_of["prometheus"].auth == RouteAuth(basic_auth="prom-people")
        assert front_of["grafana"].auth is None
        assert {front_of[name].published for name in HOSTS} == {None}
        assert grafana_root_url(settings) == "https://grafana.shop.example:8443"
        assert published_urls(settings) == {
            "api": "https://shop.example:8443/",
            "grafana": "https://grafana.shop.example:8443/",
            "prometheus": "https://prom.shop.example:8443/",
        }

    def test_a_tool_alone_opens_the_edges_ports(self, checkout):
        settings = checkout("dockyard:edge: {tools: {grafana: {host: grafana.shop.example}}}")
        assert settings.requested_ports["edge-https"] == 443
        assert grafana_root_url(settings) == "https://grafana.shop.example"

    def test_a_given_address_and_the_tunnels_come_before_the_edges(self, checkout):
        edge = "dockyard:edge: {tools: {grafana: {host: grafana.shop.example}}}\n"
        tunnel = "dockyard:tunnel: {token: tunnel-token, hostname: monitoring.shop.example}\n"
        root = 'dockyard:monitoring: {grafana: {root_url: "https://watch.shop.example/"}}\n'
        assert grafana_root_url(checkout(edge + tunnel, ["tunnel-token"])) == "https://monitoring.shop.example"
        assert grafana_root_url(checkout(edge + tunnel + root, ["tunnel-token"])) == "https://watch.shop.example"

    def test_refuse_a_tool_without_a_log_in_at_its_place_with_what_to_do(self, checkout):
        (problem,) = told(checkout, "dockyard:edge:\n  tools:\n    prometheus: {host: prom.shop.example}\n")
        assert problem == (
            "Pulumi.dev.yaml:6: config.dockyard:edge.tools.prometheus: found prom.shop.example without authentication,"
            " expected basic_auth (a secret with lines of `htpasswd -nB <name>`) or forward_auth (an address that"
            " authorizes every request) in addition to host: prometheus has no log-in of its own"
        )

    @pytest.mark.parametrize(
        ("said", "problem"),
        [
            ("postgres: {host: db.shop.example, basic_auth: people}", 'found "postgres", expected one of the running'),
            ("victorialogs: {host: logs.shop.example, basic_auth: people}", None),
            ("loki: {host: logs.shop.example, basic_auth: people}", 'found "loki", expected one of the running tools'),
            ("victorialogs: {host: logs.shop.example}", "logs.shop.example without authentication"),
            ("redis-exporter: {host: a.shop.example, basic_auth: people}", 'found "redis-exporter", expected one of'),
            ("grafana: {host: g.shop.example, path: /grafana}", "no path: Grafana requires its own host name"),
            ("grafana: {host: shop.example}", "a unique host and path (services.api uses these)"),
            (
                "{grafana: {host: m.shop.example}, victorialogs: {host: m.shop.example, basic_auth: people}}",
                "a unique host and path (edge.tools.grafana uses these)",
            ),
            ("prometheus: {host: p.shop.example, forward_auth: sign-in}", "text that matches ^https?://"),
        ],
    )
    def test_refuse_what_cannot_be(self, said, problem, checkout):
        tools = said if said.startswith("{") else f"{{{said}}}"
        keys = f"dockyard:edge: {{tools: {tools}}}\n"
        if problem is None:
            assert checkout(keys, ["people"]).product.edge.tools
        else:
            assert problem in "\n".join(told(checkout, keys, ["people"]))

    def test_a_tool_that_this_stack_leaves_out_has_no_host_name(self, checkout):
        said = """
        dockyard:monitoring: {logs: {enabled: false}}
        dockyard:edge: {tools: {loki: {host: logs.shop.example, basic_auth: people}}}
        """
        assert 'found "loki", expected one of the running tools' in told(checkout, said, ["people"])[0]

    def test_ask_for_the_secret_of_the_people(self, checkout):
        said = "dockyard:edge: {tools: {prometheus: {host: prom.shop.example, basic_auth: prom-people}}}"
        (problem,) = told(checkout, said)
        assert "the secret that dockyard:edge.tools.prometheus.basic_auth names" in problem
        assert "pulumi config set --secret dockyard:prom-people -s dev" in problem
