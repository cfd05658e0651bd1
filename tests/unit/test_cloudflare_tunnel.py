"""The tunnel, beside what tests/contract/test_cloudflare_end_to_end.py sees of it at Cloudflare."""

import pytest
from pydantic import ValidationError

from components.cloudflare.access import format_session
from components.cloudflare.tunnel import CloudflareTunnel
from components.edge.traefik import Upstream, service_file
from settings.base import secret_refs
from settings.edge import Edge
from settings.loader import Configuration, load
from settings.names import STORES, TOOLS
from settings.problems import SettingsError
from settings.stack import Stack
from settings.tunnel import Access, Tunnel
from tests.support.recording import record
from tests.unit.checkouts import make

MADE = {"account_id": "a" * 32, "zone_id": "b" * 32, "name": "shop-monitoring", "hostname": "monitoring.shop.example"}
SERVICES = [
    {"hostname": "shop.example", "service": "web"},
    {"hostname": "shop.example", "service": "api", "path": "/api"},
]
OKTA = "0d7ee4a6-1f40-4c43-9f21-8a4c1e6ad111"
ENTRA = "5f2cf1a4-32cf-4a8a-91a6-8a4c1e6ad222"
PORTS = {"web": 3000, "api": 3333}


def run(make_context, settings, **options):
    made = []

    def program():
        made.append(CloudflareTunnel("t", make_context(), tunnel=settings, ports=PORTS))

    world = record(program, **options)
    world.component = made[0]
    return world


class TestServicesOfTheProduct:
    def test_the_connector_joins_the_product_s_network(self, make_context):
        world = run(make_context, Tunnel(**MADE, services=SERVICES))
        networks = [joined["name"] for joined in world["t-cloudflared"].inputs["networksAdvanced"]]
        assert networks == ["monitoring-net", "app-net"]

    def test_its_addresses_are_told_the_first_of_each(self):
        more = [*SERVICES, {"hostname": "www.shop.example", "service": "web"}]
        assert Tunnel(**MADE, services=more).urls == {
            "grafana": "https://monitoring.shop.example",
            "web": "https://shop.example/",
            "api": "https://shop.example/api",
        }

    def test_each_name_has_one_record_in_its_zone(self, make_context):
        elsewhere = [*SERVICES, {"hostname": "shop.test", "service": "web", "zone_id": "c" * 32}]
        world = run(make_context, Tunnel(**MADE, services=elsewhere))
        zones = {one.inputs["name"]: one.inputs["zoneId"] for one in world.of("DnsRecord")}
        assert zones == {"monitoring.shop.example": "b" * 32, "shop.example": "b" * 32, "shop.test": "c" * 32}

    @pytest.mark.parametrize("taken", [*TOOLS, *STORES, "cloudflared"])
    def test_no_tool_and_no_store_can_be_made_public(self, checkout, taken):
        with pytest.raises(SettingsError) as raised:
            loaded(checkout, {**MADE, "services": [{"hostname": "x.shop.example", "service": taken}]})
        [problem] = raised.value.problems
        assert problem.path == "config.dockyard:tunnel.services[0].service"
        assert problem.actual == f'"{taken}"'
        assert problem.expected.startswith("one of web, api")
        assert "never exposes" in problem.expected

    @pytest.mark.parametrize("service", ["worker", "mail", "nobody"])
    def test_only_what_listens_and_speaks_http_can_be_made_public(self, checkout, service):
        with pytest.raises(SettingsError, match=r"expected one of web, api$"):
            loaded(checkout, {**MADE, "services": [{"hostname": "x.shop.example", "service": service}]})

    def test_the_edge_proxy_answers_to_the_public_name_where_a_port_is_shared(self):
        fronts = [Upstream("web", 3000, hosts=("shop.example",)), Upstream("admin", 3000)]
        file = service_file(Edge(), fronts, fronts[0], ["web-1"])
        assert "Host(`web`) || Host(`shop.example`)" in file.text


class TestAccess:
    SAID = {"team": "shop", "emails": ["ops@shop.example"], "email_domains": ["shop.example"]}

    def world(self, make_context, access):
        return run(make_context, Tunnel(**MADE, access=access))

    def test_an_application_names_policies_by_id_and_goes_before_its_successor_comes(self, make_context):
        application = self.world(make_context, self.SAID)["t-access-monitoring.shop.example"]
        assert application.inputs["policies"] == [{"id": "t-access-people-id", "precedence": 1}]
        assert application.inputs["sameSiteCookieAttribute"] == "lax"
        assert application.delete_before_replace

    def test_an_identity_provider_alone_lets_in_whoever_can_log_in_there(self, make_context):
        world = self.world(make_context, {"team": "shop", "identity_providers": [OKTA, ENTRA]})
        assert world["t-access-people"].inputs["includes"] == [
            {"loginMethod": {"id": OKTA}},
            {"loginMethod": {"id": ENTRA}},
        ]
        made = world["t-access-monitoring.shop.example"].inputs
        assert made["allowedIdps"] == [OKTA, ENTRA]
        assert "autoRedirectToIdentity" not in made

    def test_tokens_alone_let_in_nobody_else(self, make_context):
        world = self.world(make_context, {"team": "shop", "service_tokens": True})
        assert "t-access-people" not in world
        assert "access-default-client-secret" in world.component.secrets

    @pytest.mark.parametrize(
        ("said", "told"),
        [
            ({}, "nobody could log in"),
            ({"identity_providers": ["one-time-pin"]}, "also emails or email_domains: anybody can get a code"),
            ({"identity_providers": ["okta"]}, "should match pattern"),
            ({"emails": ["ops"]}, "should match pattern"),
            ({"service_tokens": ["ci", "ci"]}, "a unique name for each of service_tokens"),
        ],
    )
    def test_access_for_nobody_for_everybody_and_by_unclear_names_is_refused(self, said, told):
        with pytest.raises(ValidationError, match=told):
            Access(team="shop", **said)

    def test_sessions_are_spelled_without_days_which_cloudflare_does_not_know(self):
        assert [format_session(seconds) for seconds in (7 * 86400, 5400, 45)] == ["168h", "90m", "45s"]


PRODUCT = """
name: shop
services:
  web: {image: demo, port: 3000, health: {http: /}}
  api: {image: demo, port: 3333, health: {http: /}}
  mail: {image: demo, port: 25, protocol: tcp, health: {tcp: true}}
  worker: {image: demo, health: {command: ['true']}}
"""


@pytest.fixture
def checkout(tmp_path):
    return make(tmp_path, PRODUCT)


def loaded(checkout, tunnel, preview=False, **more):
    said = {"product": "products/shop.yaml", "environment": "staging", "tunnel": tunnel, **more}
    return load(Configuration(said, frozenset()), "staging", checkout=checkout, preview=preview)


class TestPlaceholders:
    ZEROS = {**MADE, "account_id": "0" * 32, "zone_id": "0" * 32}

    def test_an_up_refuses_identifiers_of_zeros_with_their_place_and_what_to_do(self, checkout):
        with pytest.raises(SettingsError) as raised:
            loaded(checkout, self.ZEROS)
        assert [one.path for one in raised.value.problems] == [
            "config.dockyard:tunnel.account_id",
            "config.dockyard:tunnel.zone_id",
        ]
        assert "found all zeros, expected your own id of 32 hexadecimal digits" in str(raised.value)
        assert "overview page of the zone" in str(raised.value)

    def test_a_preview_goes_on_with_a_warning_only_where_it_may_go_on_without_secrets(self, checkout):
        with pytest.raises(SettingsError):
            loaded(checkout, self.ZEROS, preview=True)
        went_on = loaded(checkout, self.ZEROS, preview=True, preview_without_secrets=True)
        assert len(went_on.missing_secrets) == 2

    def test_those_of_a_service_s_zone_are_told_too(self):
        services = [{"hostname": "shop.test", "service": "web", "zone_id": "0" * 32}]
        assert list(Tunnel(**MADE, services=services).placeholders) == [["services", 0, "zone_id"]]

    def test_a_preview_with_them_asks_cloudflare_nothing(self, make_context):
        access = {**TestAccess.SAID, "identity_providers": ["one-time-pin"]}
        made = run(make_context, Tunnel(**self.ZEROS, access=access), preview=True)
        assert "allowedIdps" not in made["t-access-monitoring.shop.example"].inputs


class TestATunnelThatIsThereAlready:
    def test_its_token_reaches_the_connector_as_a_file_and_nothing_is_made_at_cloudflare(self, make_context):
        world = run(make_context, Tunnel(token="tunnel-token"), secrets={"tunnel-token": "eyJ-given"})
        writer = world["t-token-writer"]
        assert writer.files == {"/dockyard/files/tunnel-token": "eyJ-given"}
        assert writer.secrets
        assert world["t-cloudflared"].env == {"TUNNEL_TOKEN_FILE": "/run/secrets/tunnel-token"}
        assert not [one for one in world.resources if one.type.startswith("cloudflare:")]

    def test_its_token_is_a_secret_that_the_stack_asks_for(self):
        stack = {"product": "products/shop.yaml", "environment": "staging"}
        assert dict(secret_refs(Stack(**stack, tunnel=Tunnel(token="token")))) == {"token": ("tunnel", "token")}
        assert not [*secret_refs(Stack(**stack, tunnel=Tunnel(**MADE)))]

    @pytest.mark.parametrize(
        ("said", "told"),
        [
            ({"token": "tunnel-token", **MADE}, "either token, or account_id, zone_id, name and hostname"),
            ({"token": "tunnel-token", "services": SERVICES}, "no services and no access"),
            ({"token": "tunnel-token", "access": TestAccess.SAID}, "no services and no access"),
            ({"hostname": "monitoring.shop.example"}, "also account_id and zone_id and name, or the token"),
            ({**MADE, "hostname": None}, "also hostname, or the token"),
        ],
    )
    def test_both_ways_at_once_and_half_a_way_are_refused(self, said, told):
        with pytest.raises(ValidationError, match=told):
            Tunnel(**said)


@pytest.mark.parametrize(
    ("services", "told"),
    [
        ([{"hostname": "monitoring.shop.example", "service": "web"}], "monitoring.shop.example is Grafana's"),
        ([SERVICES[0], SERVICES[0]], "a unique hostname or path for web: shop.example/ is used already"),
        ([{**SERVICES[0], "access": True}], "an access section: web requires Access"),
        ([SERVICES[0], {**SERVICES[1], "access": False}], "the same zone_id and access for every service at"),
        ([SERVICES[0], {**SERVICES[1], "zone_id": "c" * 32}], "the same zone_id and access for every service at"),
    ],
)
def test_names_that_are_not_clear_are_refused(services, told):
    with pytest.raises(ValidationError, match=told):
        Tunnel(**MADE, services=services)
