"""The tunnel that makes Grafana reachable by name."""

import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import ValidationError

from components.cloudflare_tunnel import CloudflareTunnel, CloudflareTunnelConfig
from settings.stack import Stack
from settings.tunnel import Tunnel
from tests.unit.world import build

MADE = {"account_id": "a" * 32, "zone_id": "b" * 32, "name": "shop-monitoring", "hostname": "monitoring.shop.example"}


def run(make_context, settings, **options):
    def program():
        config = CloudflareTunnelConfig(settings, make_context(), lambda name: name, "http://grafana:3000")
        CloudflareTunnel("t", config)

    return build(program, **options)


@pytest.fixture
def tunnel(make_context):
    return run(make_context, Tunnel(**MADE))


def test_the_host_name_leads_to_grafana_and_anything_else_to_404(tunnel):
    assert tunnel["t-ingress"].inputs["config"]["ingresses"] == [
        {"hostname": "monitoring.shop.example", "service": "http://grafana:3000"},
        {"service": "http_status:404"},
    ]


def test_the_name_is_a_proxied_record_of_the_tunnel(tunnel):
    made = tunnel["t-dns"].inputs
    assert (made["type"], made["content"], made["proxied"]) == ("CNAME", "t-tunnel-id.cfargotunnel.com", True)


def test_the_tunnel_is_configured_at_cloudflare(tunnel):
    assert tunnel["t-tunnel"].inputs["configSrc"] == "cloudflare"
    assert tunnel["t-tunnel"].inputs["name"] == "shop-monitoring"


def test_the_token_is_a_secret_file_and_stands_nowhere_else(tunnel):
    writer = tunnel["t-token-writer"]
    assert writer.files == {"/dockyard/files/tunnel-token": "tunnel-token-value"}
    assert writer.secrets
    assert tunnel["t-cloudflared"].env == {"TUNNEL_TOKEN_FILE": "/run/secrets/tunnel-token"}
    assert "tunnel-token-value" not in str(tunnel["t-cloudflared"].inputs)


def test_the_connector_publishes_nothing_and_all_is_under_the_component(tunnel):
    assert "ports" not in tunnel["t-cloudflared"].inputs
    assert {one.parent for one in tunnel.made if one.name != "t"} == {"t"}


class TestATunnelThatIsThereAlready:
    def test_its_token_reaches_the_connector_as_a_file_and_nothing_is_made_at_cloudflare(self, make_context):
        world = run(make_context, Tunnel(token="tunnel-token"), secrets={"tunnel-token": "eyJ-given"})
        writer = world["t-token-writer"]
        assert writer.files == {"/dockyard/files/tunnel-token": "eyJ-given"}
        assert writer.secrets
        assert world["t-cloudflared"].env == {"TUNNEL_TOKEN_FILE": "/run/secrets/tunnel-token"}
        assert not [one for one in world.made if one.type.startswith("cloudflare:")]

    def test_cloudflares_package_is_not_even_imported(self):
        code = (
            "import sys, components.cloudflare_tunnel\n"
            "assert not [name for name in sys.modules if 'cloudflare' in name and 'components' not in name]"
        )
        checkout = Path(__file__).resolve().parents[2]
        subprocess.run([sys.executable, "-c", code], cwd=checkout, check=True)

    def test_its_token_is_a_secret_that_the_stack_asks_for(self):
        stack = {"product": "products/shop.yaml", "environment": "staging"}
        assert Stack(**stack, tunnel=Tunnel(token="tunnel-token")).secrets == {"tunnel-token": "tunnel.token"}
        assert Stack(**stack, tunnel=Tunnel(**MADE)).secrets == {}

    @pytest.mark.parametrize(
        ("said", "told"),
        [
            ({"token": "tunnel-token", **MADE}, "either token, or account_id, zone_id, name and hostname"),
            ({"hostname": "monitoring.shop.example"}, "account_id and zone_id and name too, or the token"),
            ({**MADE, "hostname": None}, "hostname too, or the token"),
        ],
    )
    def test_both_ways_at_once_and_half_a_way_are_refused(self, said, told):
        with pytest.raises(ValidationError, match=told):
            Tunnel(**said)
