"""The Cloudflare stand-in against a fake of Cloudflare's API, and as a process."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from google.protobuf import empty_pb2
from pulumi.runtime.proto import provider_pb2_grpc

from tests.cloudflare_api import TOKEN, Cloudflare, running_cloudflare
from tests.contract.cloudflare import RECORD, TUNNEL, Diff, Engine, config_of, in_process
from toolchain.standins.cloudflare.provider import TOKEN_FUNCTION, CloudflareProvider
from toolchain.standins.cloudflare.resources import DnsRecord, Tunnel, TunnelConfig
from toolchain.standins.values import is_secret, secret

CHECKOUT = Path(__file__).resolve().parents[2]


@pytest.fixture
def cloudflare() -> Iterator[Cloudflare]:
    with running_cloudflare() as fake:
        yield fake


@pytest.fixture
def engine(cloudflare: Cloudflare) -> Engine:
    return in_process(apiToken=TOKEN, baseUrl=cloudflare.url)


def test_a_tunnel_lives_create_noop_change_delete(engine: Engine, cloudflare: Cloudflare) -> None:
    identity, outputs = engine.create(Tunnel.pulumi_type, TUNNEL)
    assert identity in cloudflare.tunnels
    assert (outputs["name"], outputs["accountId"], outputs["accountTag"]) == ("tumulte", "acc", "acc")
    assert (outputs["status"], outputs["remoteConfig"]) == ("inactive", True)
    assert outputs["metadata"] == '{"made": {"by": "fake"}}'

    same, real, inputs = engine.read(Tunnel.pulumi_type, identity, outputs, TUNNEL)
    assert (same, real, inputs) == (identity, outputs, TUNNEL)
    assert engine.diff(Tunnel.pulumi_type, inputs, TUNNEL).changes == Diff.DIFF_NONE

    renamed = {**TUNNEL, "name": "other"}
    assert engine.update(Tunnel.pulumi_type, identity, outputs, renamed)["name"] == "other"
    assert cloudflare.tunnels[identity]["name"] == "other"

    engine.delete(Tunnel.pulumi_type, identity, outputs)
    assert cloudflare.tunnels[identity]["deleted_at"]
    assert engine.read(Tunnel.pulumi_type, identity, outputs, renamed) == ("", {}, {})
    engine.delete(Tunnel.pulumi_type, "0-gone", outputs)


def test_a_tunnels_secret_is_sent_and_kept_though_the_api_never_tells_it(
    engine: Engine, cloudflare: Cloudflare
) -> None:
    inputs = {**TUNNEL, "tunnelSecret": "c2VjcmV0"}
    identity, outputs = engine.create(Tunnel.pulumi_type, inputs)
    assert cloudflare.requests[-1][2]["tunnel_secret"] == "c2VjcmV0"
    assert outputs["tunnelSecret"] == "c2VjcmV0"
    _, real, again = engine.read(Tunnel.pulumi_type, identity, outputs, inputs)
    assert (real["tunnelSecret"], again) == ("c2VjcmV0", inputs)


def test_drift_of_a_tunnel_is_seen_by_a_refresh(engine: Engine, cloudflare: Cloudflare) -> None:
    identity, outputs = engine.create(Tunnel.pulumi_type, TUNNEL)
    cloudflare.tunnels[identity]["name"] = "renamed by hand"
    _, real, inputs = engine.read(Tunnel.pulumi_type, identity, outputs, TUNNEL)
    assert real["name"] == inputs["name"] == "renamed by hand"
    assert list(engine.diff(Tunnel.pulumi_type, inputs, TUNNEL).diffs) == ["name"]


def test_a_configuration_lives_with_its_tunnel(engine: Engine, cloudflare: Cloudflare) -> None:
    tunnel, _ = engine.create(Tunnel.pulumi_type, TUNNEL)
    inputs = config_of(tunnel)
    inputs["config"]["ingresses"][0]["originRequest"] = {
        "noTlsVerify": True,
        "access": {"audTags": ["a"], "teamName": "t"},
    }
    identity, outputs = engine.create(TunnelConfig.pulumi_type, inputs)
    assert identity == tunnel
    sent = cloudflare.configs[tunnel]["config"]["ingress"][0]["originRequest"]
    assert sent == {"noTLSVerify": True, "access": {"audTag": ["a"], "teamName": "t"}}
    assert outputs["version"] == 1

    _, real, again = engine.read(TunnelConfig.pulumi_type, identity, outputs, inputs)
    assert again == inputs
    assert real == outputs
    assert engine.diff(TunnelConfig.pulumi_type, again, inputs).changes == Diff.DIFF_NONE

    changed = engine.update(TunnelConfig.pulumi_type, identity, outputs, config_of(tunnel, "http://grafana:4000"))
    assert changed["version"] == 2
    assert cloudflare.configs[tunnel]["config"]["ingress"][0]["service"] == "http://grafana:4000"

    before = len(cloudflare.requests)
    engine.delete(TunnelConfig.pulumi_type, identity, outputs)
    assert len(cloudflare.requests) == before


def test_an_ingress_rule_added_by_hand_is_drift(engine: Engine, cloudflare: Cloudflare) -> None:
    tunnel, _ = engine.create(Tunnel.pulumi_type, TUNNEL)
    inputs = config_of(tunnel)
    identity, outputs = engine.create(TunnelConfig.pulumi_type, inputs)
    cloudflare.configs[tunnel]["config"]["ingress"].insert(0, {"hostname": "x.example.org", "service": "http://x"})
    _, _, again = engine.read(TunnelConfig.pulumi_type, identity, outputs, inputs)
    assert engine.diff(TunnelConfig.pulumi_type, again, inputs).changes == Diff.DIFF_SOME


def test_a_dns_record_lives_create_noop_change_delete(engine: Engine, cloudflare: Cloudflare) -> None:
    inputs = {**RECORD, "comment": "by Dockyard", "settings": {"ipv4Only": True}}
    identity, outputs = engine.create(DnsRecord.pulumi_type, inputs)
    assert cloudflare.requests[-1][:2] == ("POST", "/zones/zone/dns_records")
    assert cloudflare.records[identity]["settings"] == {"ipv4_only": True}
    assert "zone_id" not in cloudflare.records[identity]
    assert (outputs["createdOn"], outputs["meta"]) == ("2026-01-02T03:04:05Z", "{}")

    _, real, again = engine.read(DnsRecord.pulumi_type, identity, outputs, inputs)
    assert (real, again) == (outputs, inputs)

    changed = {**inputs, "content": "y.cfargotunnel.com"}
    assert engine.update(DnsRecord.pulumi_type, identity, outputs, changed)["content"] == "y.cfargotunnel.com"
    engine.delete(DnsRecord.pulumi_type, identity, outputs)
    assert cloudflare.records == {}
    engine.delete(DnsRecord.pulumi_type, identity, outputs)
    assert engine.read(DnsRecord.pulumi_type, identity, outputs, changed) == ("", {}, {})


def test_a_name_relative_to_its_zone_is_no_drift(engine: Engine, cloudflare: Cloudflare) -> None:
    inputs = {**RECORD, "name": "monitoring"}
    identity, outputs = engine.create(DnsRecord.pulumi_type, inputs)
    assert cloudflare.records[identity]["name"] == "monitoring.example.org"
    _, _, again = engine.read(DnsRecord.pulumi_type, identity, outputs, inputs)
    assert again == inputs


def test_a_resource_can_be_imported_by_scope_and_id(engine: Engine) -> None:
    identity, outputs = engine.create(DnsRecord.pulumi_type, RECORD)
    found, real, inputs = engine.read(DnsRecord.pulumi_type, f"zone/{identity}")
    assert (found, real) == (identity, outputs)
    assert engine.check(DnsRecord.pulumi_type, inputs) == []
    tunnel, _ = engine.create(Tunnel.pulumi_type, TUNNEL)
    assert engine.read(Tunnel.pulumi_type, f"acc/{tunnel}")[2] == TUNNEL
    with pytest.raises(RuntimeError, match="expected <zoneId>/<id>"):
        engine.read(DnsRecord.pulumi_type, identity)


def test_the_tunnels_token_is_told_as_a_secret(engine: Engine) -> None:
    tunnel, _ = engine.create(Tunnel.pulumi_type, TUNNEL)
    told = engine.invoke(TOKEN_FUNCTION, {"accountId": "acc", "tunnelId": tunnel})
    assert is_secret(told["token"])
    assert told["token"]["value"].startswith("eyJ")
    assert (told["accountId"], told["tunnelId"]) == ("acc", tunnel)
    with pytest.raises(RuntimeError, match="accountId and tunnelId are required"):
        engine.invoke(TOKEN_FUNCTION, {"accountId": "acc"})


def test_refusals_of_the_api_are_passed_on_in_its_words(engine: Engine, cloudflare: Cloudflare) -> None:
    engine.create(Tunnel.pulumi_type, TUNNEL)
    with pytest.raises(RuntimeError, match=r"409: You already have a tunnel with this name \(code 1013\)"):
        engine.create(Tunnel.pulumi_type, TUNNEL)
    tunnel = next(iter(cloudflare.tunnels))
    bad = config_of(tunnel)
    bad["config"]["ingresses"].pop()
    with pytest.raises(RuntimeError, match=r"400: Bad Configuration: .* \(code 1056\)"):
        engine.create(TunnelConfig.pulumi_type, bad)
    cloudflare.tunnels[tunnel]["connections"] = [{"id": "c"}]
    with pytest.raises(RuntimeError, match=r"active connections"):
        engine.delete(Tunnel.pulumi_type, tunnel, TUNNEL)


def test_a_wrong_token_says_which_permissions_are_needed_and_is_not_repeated(
    cloudflare: Cloudflare, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLOUDFLARE_API_TOKEN", "hunter2")
    monkeypatch.setenv("CLOUDFLARE_BASE_URL", cloudflare.url)
    engine = in_process()
    with pytest.raises(
        RuntimeError, match=r"403: Authentication error \(code 10000\).*Cloudflare Tunnel: Edit"
    ) as raised:
        engine.create(Tunnel.pulumi_type, TUNNEL)
    assert "hunter2" not in str(raised.value)


def test_something_that_is_not_cloudflare_is_recognised(engine: Engine, cloudflare: Cloudflare) -> None:
    cloudflare.raw_answer = (403, b"<html>blocked by the company proxy</html>")
    with pytest.raises(RuntimeError, match=r"answered 403 with something that is not Cloudflare's API"):
        engine.create(Tunnel.pulumi_type, TUNNEL)


def test_without_a_setting_it_speaks_to_the_official_api_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CLOUDFLARE_BASE_URL", raising=False)
    provider = CloudflareProvider()
    provider.configure({"apiToken": secret("t")})
    assert (provider.base_url, provider.token) == ("https://api.cloudflare.com/client/v4", "t")
    assert "Dockyard's stand-in" in provider.announcement()
    assert "https://api.cloudflare.com/client/v4" in provider.announcement()


def test_the_process_starts_fast_and_answers_over_grpc(cloudflare: Cloudflare) -> None:
    environment = {**os.environ, "CLOUDFLARE_BASE_URL": cloudflare.url, "CLOUDFLARE_API_TOKEN": TOKEN}
    started = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, "-m", "toolchain.standins.cloudflare"],
        cwd=CHECKOUT,
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        port = int(process.stdout.readline())
        took = time.monotonic() - started
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            engine = Engine(provider_pb2_grpc.ResourceProviderStub(channel))
            assert engine.servicer.GetPluginInfo(empty_pb2.Empty()).version == "6.23.1"
            engine.configure()
            identity, outputs = engine.create(Tunnel.pulumi_type, TUNNEL)
            assert identity in cloudflare.tunnels
            assert is_secret(engine.invoke(TOKEN_FUNCTION, {"accountId": "acc", "tunnelId": identity})["token"])
            with pytest.raises(grpc.RpcError) as raised:
                engine.create(Tunnel.pulumi_type, TUNNEL)
            assert "You already have a tunnel with this name" in str(raised.value.details())
            engine.delete(Tunnel.pulumi_type, identity, outputs)
    finally:
        process.kill()
        process.communicate()
    # About 0.15 s on an idle machine; a library too many in the imports costs more than the slack here.
    assert took < 5


def test_the_http_client_is_loaded_only_when_something_is_done() -> None:
    code = (
        "import sys, toolchain.standins.cloudflare.provider as p; p.CloudflareProvider().configure({});"
        "print('httpx' in sys.modules)"
    )
    assert subprocess.check_output([sys.executable, "-c", code], cwd=CHECKOUT, text=True) == "False\n"
