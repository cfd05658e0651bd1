"""The Cloudflare stand-in against a fake of Cloudflare's API, and as a process."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from google.protobuf import empty_pb2
from pulumi.runtime.proto import provider_pb2_grpc

from tests.cloudflare_api import TOKEN, Cloudflare, running_cloudflare
from tests.contract.cloudflare import RECORD, TUNNEL, Engine, in_process
from toolchain.standins.cloudflare.provider import TOKEN_FUNCTION, CloudflareProvider
from toolchain.standins.cloudflare.resources import DnsRecord, Tunnel
from toolchain.standins.values import is_secret, secret

CHECKOUT = Path(__file__).resolve().parents[2]


@pytest.fixture
def cloudflare() -> Iterator[Cloudflare]:
    with running_cloudflare() as fake:
        yield fake


@pytest.fixture
def engine(cloudflare: Cloudflare) -> Engine:
    return in_process(apiToken=TOKEN, baseUrl=cloudflare.url)


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


def test_the_process_answers_over_grpc(cloudflare: Cloudflare) -> None:
    environment = {**os.environ, "CLOUDFLARE_BASE_URL": cloudflare.url, "CLOUDFLARE_API_TOKEN": TOKEN}
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


def test_the_http_client_is_loaded_only_when_something_is_done() -> None:
    code = (
        "import sys, toolchain.standins.cloudflare.provider as p; p.CloudflareProvider().configure({});"
        "print('httpx' in sys.modules)"
    )
    assert subprocess.check_output([sys.executable, "-c", code], cwd=CHECKOUT, text=True) == "False\n"
