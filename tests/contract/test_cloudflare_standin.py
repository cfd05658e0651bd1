"""The Cloudflare stand-in against a fake of Cloudflare's API, beside what test_cloudflare_end_to_end.py sees of it."""

import threading
from collections.abc import Iterator
from typing import Any

import pytest

from offline.standins.cloudflare import api
from offline.standins.cloudflare.access import AccessApplication, AccessPolicy
from offline.standins.cloudflare.provider import CloudflareProvider
from offline.standins.cloudflare.resources import DnsRecord, Tunnel, TunnelConfig
from offline.standins.values import Properties, secret
from tests.cloudflare_access import Refused
from tests.cloudflare_api import TOKEN, Cloudflare, running_cloudflare
from tests.contract.cloudflare import APPLICATION, POLICY, RECORD, TUNNEL, Engine, in_process

HURRY = Refused(429, 971, "Please wait and consider throttling your request speed", retry_after="1")

LAST = {"service": "http_status:404"}


def guarded(**more: object) -> Properties:
    """Return a rule behind Access, as the API names its parts."""
    access = {"required": True, "teamName": "shop", "audTag": ["aud"]}
    return {"hostname": "monitoring.example.org", "service": "http://g", "originRequest": {"access": access, **more}}


@pytest.fixture
def cloudflare() -> Iterator[Cloudflare]:
    with running_cloudflare() as fake:
        yield fake


@pytest.fixture
def engine(cloudflare: Cloudflare) -> Engine:
    return in_process(apiToken=TOKEN, baseUrl=cloudflare.url)


@pytest.mark.parametrize(
    ("kind", "edit", "seen"),
    [
        (Tunnel, {"name": "renamed by hand"}, ["name"]),
        (TunnelConfig, {"config": {"ingress": [guarded(), LAST], "warp-routing": {"enabled": False}}}, []),
        (TunnelConfig, {"config": {"ingress": [guarded(), guarded(), LAST]}}, ["config"]),
        (TunnelConfig, {"config": {"ingress": [{**guarded(), "originRequest": {}}, LAST]}}, ["config"]),
        (TunnelConfig, {"config": {"ingress": [guarded(noTLSVerify=True), LAST]}}, ["config"]),
        (DnsRecord, {"content": "elsewhere.example.net"}, ["content"]),
        (DnsRecord, {"proxied": False}, ["proxied"]),
        (AccessPolicy, {"decision": "bypass", "include": [{"everyone": {}}]}, ["decision", "includes"]),
        (AccessPolicy, {"exclude": [{"email": {"email": "ops@example.org"}}]}, ["excludes"]),
        (AccessPolicy, {"require": [{"geo": {"country_code": "FR"}}]}, ["requires"]),
        (AccessPolicy, {"session_duration": "720h"}, ["sessionDuration"]),
        (AccessPolicy, {"approval_required": True}, ["approvalRequired"]),
        (AccessPolicy, {"approval_required": False, "app_count": 7, "updated_at": "later"}, []),
        (AccessApplication, {"domain": "other.example.org"}, ["domain"]),
        (AccessApplication, {"options_preflight_bypass": True}, ["optionsPreflightBypass"]),
        (AccessApplication, {"service_auth_401_redirect": True}, ["serviceAuth401Redirect"]),
        (AccessApplication, {"cors_headers": {"allow_all_origins": True}}, ["corsHeaders"]),
        (AccessApplication, {"policies": []}, ["policies"]),
        (AccessApplication, {"allowed_idps": []}, ["allowedIdps"]),
        # What the official plugin takes as it is, where the program says nothing of it.
        (AccessApplication, {"app_launcher_visible": False, "http_only_cookie_attribute": False}, []),
        (AccessApplication, {"self_hosted_domains": []}, []),
    ],
)
def test_an_edit_by_hand_is_drift(
    engine: Engine, cloudflare: Cloudflare, kind: Any, edit: Properties, seen: list[str]
) -> None:
    policy, _ = engine.create(AccessPolicy.pulumi_type, POLICY)
    application = {**APPLICATION, "policies": [{"id": policy, "precedence": 1}]}
    tunnel, _ = engine.create(Tunnel.pulumi_type, {**TUNNEL, "name": "with rules"})
    access = {"required": True, "teamName": "shop", "audTags": ["aud"]}
    declared = {**guarded(), "originRequest": {"access": access}}
    rules = {"accountId": "acc", "tunnelId": tunnel, "source": "cloudflare", "config": {"ingresses": [declared, LAST]}}
    inputs: Properties = {
        Tunnel: TUNNEL,
        TunnelConfig: rules,
        DnsRecord: RECORD,
        AccessPolicy: POLICY,
        AccessApplication: application,
    }[kind]
    identity, outputs = engine.create(kind.pulumi_type, inputs)
    held = {
        Tunnel: cloudflare.tunnels,
        TunnelConfig: cloudflare.configs,
        DnsRecord: cloudflare.records,
        AccessPolicy: cloudflare.access.policies,
        AccessApplication: cloudflare.access.apps,
    }[kind]
    held[identity].update(edit)
    _, _, real = engine.read(kind.pulumi_type, identity, outputs, inputs)
    assert list(engine.diff(kind.pulumi_type, real, inputs).diffs) == seen


def test_a_name_relative_to_its_zone_is_no_drift(engine: Engine, cloudflare: Cloudflare) -> None:
    inputs = {**RECORD, "name": "monitoring", "settings": {"ipv4Only": True}}
    identity, outputs = engine.create(DnsRecord.pulumi_type, inputs)
    assert cloudflare.records[identity]["name"] == "monitoring.example.org"
    assert cloudflare.records[identity]["settings"] == {"ipv4_only": True}
    assert engine.read(DnsRecord.pulumi_type, identity, outputs, inputs)[2] == inputs


def test_what_is_gone_already_is_deleted_without_a_word(engine: Engine) -> None:
    identity, outputs = engine.create(DnsRecord.pulumi_type, RECORD)
    for _ in range(2):
        engine.delete(DnsRecord.pulumi_type, identity, outputs)
    assert engine.read(DnsRecord.pulumi_type, identity, outputs, RECORD) == ("", {}, {})


def test_a_tunnels_secret_is_sent_and_kept_though_the_api_never_tells_it(
    engine: Engine, cloudflare: Cloudflare
) -> None:
    inputs = {**TUNNEL, "tunnelSecret": "c2VjcmV0"}
    identity, outputs = engine.create(Tunnel.pulumi_type, inputs)
    assert cloudflare.requests[-1][2]["tunnel_secret"] == "c2VjcmV0"
    _, real, again = engine.read(Tunnel.pulumi_type, identity, outputs, inputs)
    assert (real["tunnelSecret"], again) == ("c2VjcmV0", inputs)


def test_access_that_is_not_there_yet_is_told_in_cloudflares_words(engine: Engine, cloudflare: Cloudflare) -> None:
    cloudflare.access.enabled = False
    with pytest.raises(RuntimeError, match=r"Access is not enabled\..*\(code 9999\)"):
        engine.create(AccessPolicy.pulumi_type, POLICY)


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


class Pauses(threading.Event):
    """In place of what ends a pause early: notes how long each pause would be, in seconds, and ends it at once."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds: list[float | None] = []

    def wait(self, timeout: float | None = None) -> bool:
        self.seconds.append(timeout)
        return self.is_set()


@pytest.fixture
def pauses(engine: Engine) -> Pauses:
    engine.servicer.provider.cancelled = Pauses()
    return engine.servicer.provider.cancelled


def test_a_request_in_a_hurry_waits_as_long_as_cloudflare_asks(
    engine: Engine, cloudflare: Cloudflare, pauses: Pauses
) -> None:
    cloudflare.refusals = [HURRY]
    engine.create(AccessPolicy.pulumi_type, POLICY)
    assert pauses.seconds == [1.0]
    assert len(cloudflare.access.policies) == 1


def test_patience_ends(engine: Engine, cloudflare: Cloudflare, pauses: Pauses, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api, "PATIENCE_SECONDS", 2.5)
    cloudflare.refusals = [HURRY] * 9
    with pytest.raises(RuntimeError, match=r"429: Please wait and consider throttling .*\(code 971\)"):
        engine.create(AccessPolicy.pulumi_type, POLICY)
    assert len(cloudflare.requests) == 3
    # It asks for more than there is.
    cloudflare.refusals = [Refused(429, 971, "wait", retry_after="300")]
    with pytest.raises(RuntimeError, match="429"):
        engine.create(AccessPolicy.pulumi_type, POLICY)
    assert pauses.seconds == [1.0, 1.0]


def test_an_interrupt_ends_a_pause(engine: Engine, cloudflare: Cloudflare, pauses: Pauses) -> None:
    cloudflare.refusals = [Refused(429, 971, "wait", retry_after="60")]
    pauses.set()
    with pytest.raises(RuntimeError, match="429"):
        engine.create(AccessPolicy.pulumi_type, POLICY)
    assert len(cloudflare.requests) == 1
