"""Staging and production on a machine that has none of their secrets: they can be previewed and not brought up."""

import pytest

from tests.support.checkout import Checkout


@pytest.mark.parametrize("stack", ["staging", "production"])
def test_a_preview_shows_the_tunnel_and_the_missing_secrets(stack: str, checkout: Checkout) -> None:
    preview = checkout.dockyard("preview", stack).good()
    assert "cloudflare:index:ZeroTrustTunnelCloudflared " in preview.output
    assert "cloudflare:index:DnsRecord " in preview.output
    assert "to create" in preview.output
    assert "dockyard:discord-critical" in preview.output, "it names the missing secrets"


def test_an_up_without_its_secrets_makes_nothing(checkout: Checkout) -> None:
    refused = checkout.dockyard("up", "production")
    assert refused.code == 2
    assert "pulumi config set --secret dockyard:discord-critical -s production" in refused.output
    assert not [*(checkout.folder / ".dockyard/state").rglob("history/*/production")], "no update has begun"
