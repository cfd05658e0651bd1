"""The tunnel that makes Grafana reachable by name."""

import pytest

from settings.stack import Tunnel
from tests.unit.world import build


@pytest.fixture
def tunnel(make_context):
    # Two seconds to import, as in the program only where a stack has a tunnel.
    from components.cloudflare_tunnel import CloudflareTunnel, CloudflareTunnelConfig  # noqa: PLC0415 - see above

    settings = Tunnel(account_id="a" * 32, zone_id="b" * 32, name="shop-monitoring", hostname="monitoring.shop.example")

    def program():
        config = CloudflareTunnelConfig(settings, make_context(), lambda name: name, "http://grafana:3000")
        CloudflareTunnel("t", config)

    return build(program)


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
