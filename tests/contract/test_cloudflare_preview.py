"""The Cloudflare stand-in as far as previews need it: nothing here has a network."""

import json
import subprocess
import sys

import pytest
from pulumi.runtime.proto import provider_pb2

from offline.standins.cloudflare.access import AccessApplication, AccessPolicy, AccessServiceToken, AccountOrZoneType
from offline.standins.cloudflare.kinds import ResourceType
from offline.standins.cloudflare.provider import TOKEN_FUNCTION
from offline.standins.cloudflare.resources import KINDS, DnsRecord, Tunnel, TunnelConfig
from offline.standins.values import UNKNOWN, Properties, from_struct, to_struct
from tests.cloudflare_api import TOKEN
from tests.contract.cloudflare import (
    APPLICATION,
    POLICY,
    RECORD,
    SERVICE_TOKEN,
    TUNNEL,
    Context,
    Diff,
    Engine,
    config_of,
    in_process,
)

DECLARED = """
import inspect, json, pulumi_cloudflare as c

def names(kind):
    found = [(n, p.fget) for n, p in vars(kind).items() if isinstance(p, property)]
    return [getattr(getter, "_pulumi_name", name) for name, getter in found]

access = [f"ZeroTrustAccess{name}" for name in ("Application", "Policy", "ServiceToken")]
kinds = ["ZeroTrustTunnelCloudflared", "ZeroTrustTunnelCloudflaredConfig", "DnsRecord", *access]
print(json.dumps([
    [inspect.getsource(getattr(c, kind)), names(getattr(c, kind + "Args")), names(getattr(c, kind))]
    for kind in kinds
]))
"""
"""Run in a process of its own: importing the package takes seconds and much memory."""


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> Engine:
    """A provider whose API nobody answers: whatever passes with it needs no network."""
    monkeypatch.delenv("CLOUDFLARE_API_TOKEN", raising=False)
    monkeypatch.setenv("CLOUDFLARE_BASE_URL", "http://127.0.0.1:1/client/v4")
    return in_process()


def test_type_tokens_and_inputs_are_those_of_the_installed_package() -> None:
    told = json.loads(subprocess.check_output([sys.executable, "-c", DECLARED], text=True))
    for kind, (source, inputs, outputs) in zip(KINDS, told, strict=True):
        assert f"'{kind.pulumi_type}'" in source
        assert set(kind.inputs) <= set(inputs), kind.pulumi_type
        # Access in a zone's own right, which Dockyard has no use for.
        lacks = {"zoneId"} if isinstance(kind, AccountOrZoneType) else {"includeShadowMetadata"}
        assert set(inputs) - set(kind.inputs) <= lacks, kind.pulumi_type
        assert set(kind.computed) | set(kind.inputs) <= set(outputs), kind.pulumi_type


@pytest.mark.parametrize(
    ("news", "failures"),
    [
        ({"apiToken": "t", "baseUrl": "http://x", "version": "6.23.1", "__internal": {}}, {}),
        ({}, {}),
        ({"apiKey": "k", "email": "e"}, {"apiKey": "needs the official plugin", "email": "needs the official plugin"}),
        ({"apiTokn": "t"}, {"apiTokn": "no such setting"}),
    ],
)
def test_provider_settings_are_checked(offline: Engine, news: Properties, failures: dict[str, str]) -> None:
    answer = offline.servicer.CheckConfig(provider_pb2.CheckRequest(news=to_struct(news)), Context())
    found = {failure.property: failure.reason for failure in answer.failures}
    assert found.keys() == failures.keys()
    assert all(reason in found[key] for key, reason in failures.items())
    assert from_struct(answer.inputs) == news


def test_every_wrong_input_is_named_with_what_was_expected(offline: Engine) -> None:
    news = {"name": 7, "type": "CNAM", "proxied": "yes", "ttl": True, "colour": "red", "comment": None}
    assert offline.check(DnsRecord.pulumi_type, news) == [
        ("zoneId", "zoneId is required"),
        ("colour", "DnsRecord has no input colour"),
        ("name", "expected str, found int"),
        ("proxied", "expected bool, found str"),
        ("ttl", "expected int or float, found bool"),
        ("type", f"expected one of {', '.join(DnsRecord.choices['type'])}, found 'CNAM'"),
    ]
    assert offline.check(Tunnel.pulumi_type, {"accountId": "", "name": "n", "configSrc": "remote"}) == [
        ("accountId", "accountId is required"),
        ("configSrc", "expected one of local, cloudflare, found 'remote'"),
    ]


def test_types_and_functions_it_does_not_have_are_refused_by_name(offline: Engine) -> None:
    with pytest.raises(RuntimeError, match=r"no type cloudflare:index/zone:Zone, only .*DnsRecord.*official plugin"):
        offline.check("cloudflare:index/zone:Zone", {})
    with pytest.raises(RuntimeError, match=r"no function cloudflare:index/getZone:getZone"):
        offline.invoke("cloudflare:index/getZone:getZone", {})


def test_a_default_that_is_spelled_out_is_no_change(offline: Engine) -> None:
    local = {"accountId": "acc", "name": "tumulte"}
    for same in ({**local, "configSrc": "local"}, {**local, "tunnelSecret": None}):
        answer = offline.diff(Tunnel.pulumi_type, local, same)
        assert (answer.changes, list(answer.diffs), dict(answer.detailedDiff)) == (Diff.DIFF_NONE, [], {})


@pytest.mark.parametrize(
    ("kind", "old", "changed", "replaces"),
    [
        (Tunnel, TUNNEL, {"name": "other"}, []),
        (Tunnel, TUNNEL, {"accountId": "other"}, ["accountId"]),
        (Tunnel, TUNNEL, {"configSrc": "local"}, ["configSrc"]),
        (TunnelConfig, config_of("t"), {"tunnelId": "u"}, ["tunnelId"]),
        (TunnelConfig, config_of("t"), {"tunnelId": UNKNOWN}, ["tunnelId"]),
        (DnsRecord, RECORD, {"ttl": 60}, []),
        (DnsRecord, RECORD, {"content": UNKNOWN}, []),
        (DnsRecord, RECORD, {"zoneId": "other"}, ["zoneId"]),
        (DnsRecord, RECORD, {"type": "A"}, ["type"]),
        (AccessApplication, APPLICATION, {"domain": "other.example.org"}, []),
        (AccessApplication, APPLICATION, {"accountId": "other"}, ["accountId"]),
        (AccessPolicy, POLICY, {"decision": "deny"}, []),
        (AccessPolicy, POLICY, {"accountId": "other"}, ["accountId"]),
        (AccessServiceToken, SERVICE_TOKEN, {"name": "other"}, []),
        (AccessServiceToken, SERVICE_TOKEN, {"accountId": "other"}, ["accountId"]),
    ],
)
def test_a_change_is_an_update_or_a_replacement(
    offline: Engine, kind: type[ResourceType], old: Properties, changed: Properties, replaces: list[str]
) -> None:
    answer = offline.diff(kind.pulumi_type, old, old | changed)
    change = provider_pb2.PropertyDiff.UPDATE_REPLACE if replaces else provider_pb2.PropertyDiff.UPDATE
    assert answer.changes == Diff.DIFF_SOME
    assert {path: found.kind for path, found in answer.detailedDiff.items()} == dict.fromkeys(changed, change)
    assert (list(answer.diffs), list(answer.replaces)) == (list(changed), replaces)
    assert not answer.deleteBeforeReplace


def test_a_preview_knows_the_inputs_and_says_that_the_rest_is_unknown(offline: Engine) -> None:
    identity, outputs = offline.create(Tunnel.pulumi_type, {"accountId": "acc", "name": "tumulte"}, preview=True)
    assert identity == ""
    assert (outputs["name"], outputs["configSrc"], outputs["status"]) == ("tumulte", "local", UNKNOWN)
    olds = {**RECORD, "createdOn": "then"}
    news = offline.update(DnsRecord.pulumi_type, "1", olds, {**RECORD, "ttl": 60}, preview=True)
    assert (news["ttl"], news["createdOn"]) == (60, "then")
    offline.configure(apiToken=TOKEN)
    assert offline.invoke(TOKEN_FUNCTION, {"accountId": "acc", "tunnelId": UNKNOWN})["token"] == UNKNOWN


def test_doing_something_without_a_token_or_a_network_ends_in_one_clear_sentence(offline: Engine) -> None:
    with pytest.raises(RuntimeError, match=r"creating .*no API token.*cloudflare:apiToken.*CLOUDFLARE_API_TOKEN"):
        offline.create(Tunnel.pulumi_type, TUNNEL)
    offline.configure(apiToken=TOKEN)
    with pytest.raises(RuntimeError, match=r"http://127.0.0.1:1/client/v4 cannot be reached .*tunnel off") as raised:
        offline.create(Tunnel.pulumi_type, TUNNEL)
    assert TOKEN not in str(raised.value)
    assert "\n" not in str(raised.value)
