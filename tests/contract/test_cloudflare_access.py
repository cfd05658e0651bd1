"""Access in the Cloudflare stand-in: applications, policies, service tokens, and what is edited by hand."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest

from tests.cloudflare_access import ONE_TIME_PIN, Refused
from tests.cloudflare_api import TOKEN, Cloudflare, running_cloudflare
from tests.contract.cloudflare import APPLICATION, POLICY, SERVICE_TOKEN, Diff, Engine, in_process
from toolchain.standins.cloudflare import api
from toolchain.standins.cloudflare.access import AccessApplication, AccessPolicy, AccessServiceToken
from toolchain.standins.cloudflare.provider import PROVIDERS_FUNCTION
from toolchain.standins.values import UNKNOWN, Properties, is_secret

HURRY = Refused(429, 971, "Please wait and consider throttling your request speed", retry_after="1")


@pytest.fixture
def cloudflare() -> Iterator[Cloudflare]:
    with running_cloudflare() as fake:
        yield fake


@pytest.fixture
def engine(cloudflare: Cloudflare) -> Engine:
    return in_process(apiToken=TOKEN, baseUrl=cloudflare.url)


@pytest.fixture
def policy(engine: Engine) -> str:
    identity, _ = engine.create(AccessPolicy.pulumi_type, POLICY)
    return identity


def application(policy: str) -> Properties:
    return {**APPLICATION, "policies": [{"id": policy, "precedence": 1}]}


def drift(engine: Engine, kind: Any, identity: str, outputs: Properties, inputs: Properties) -> list[str]:
    """Return what an `up` after a refresh would change."""
    _, _, real = engine.read(kind.pulumi_type, identity, outputs, inputs)
    return list(engine.diff(kind.pulumi_type, real, inputs).diffs)


def test_an_application_lives_create_noop_change_delete(engine: Engine, cloudflare: Cloudflare, policy: str) -> None:
    inputs = application(policy)
    identity, outputs = engine.create(AccessApplication.pulumi_type, inputs)
    assert outputs["aud"] == cloudflare.access.apps[identity]["aud"]
    assert outputs["selfHostedDomains"] == ["monitoring.example.org"]
    assert outputs["policies"] == inputs["policies"]
    assert drift(engine, AccessApplication, identity, outputs, inputs) == []
    news = {**inputs, "sessionDuration": "8h"}
    changed = engine.update(AccessApplication.pulumi_type, identity, outputs, news)
    assert (changed["sessionDuration"], changed["aud"]) == ("8h", outputs["aud"])
    del news["policies"]
    engine.update(AccessApplication.pulumi_type, identity, outputs, news)
    assert cloudflare.access.apps[identity]["policies"] == []
    engine.delete(AccessApplication.pulumi_type, identity, outputs)
    assert engine.read(AccessApplication.pulumi_type, identity, outputs, news) == ("", {}, {})


def test_the_order_of_what_is_a_set_says_nothing(engine: Engine, policy: str) -> None:
    one, other = application(policy), {**application(policy), "allowedIdps": ["a", "b"]}
    assert engine.diff(AccessApplication.pulumi_type, one, other).changes == Diff.DIFF_NONE
    turned = {**POLICY, "includes": list(reversed(POLICY["includes"]))}
    assert engine.diff(AccessPolicy.pulumi_type, POLICY, turned).changes == Diff.DIFF_NONE
    more = {**POLICY, "includes": [*turned["includes"], {"everyone": {}}]}
    assert list(engine.diff(AccessPolicy.pulumi_type, POLICY, more).diffs) == ["includes"]


@pytest.mark.parametrize(
    ("edit", "seen"),
    [
        ({"include": [{"everyone": {}}]}, ["includes"]),
        ({"exclude": [{"email": {"email": "ops@example.org"}}]}, ["excludes"]),
        ({"require": [{"geo": {"country_code": "FR"}}]}, ["requires"]),
        ({"decision": "bypass"}, ["decision"]),
        ({"session_duration": "720h"}, ["sessionDuration"]),
        ({"approval_required": True}, ["approvalRequired"]),
        ({"approval_required": False, "app_count": 7, "updated_at": "later"}, []),
    ],
)
def test_a_policy_that_was_edited_by_hand_is_drift(
    engine: Engine, cloudflare: Cloudflare, policy: str, edit: Properties, seen: list[str]
) -> None:
    cloudflare.access.policies[policy].update(edit)
    assert drift(engine, AccessPolicy, policy, {**POLICY}, POLICY) == seen


@pytest.mark.parametrize(
    ("edit", "seen"),
    [
        ({"allowed_idps": []}, ["allowedIdps"]),
        ({"domain": "other.example.org"}, ["domain"]),
        ({"options_preflight_bypass": True}, ["optionsPreflightBypass"]),
        ({"service_auth_401_redirect": True}, ["serviceAuth401Redirect"]),
        ({"cors_headers": {"allow_all_origins": True}}, ["corsHeaders"]),
        # What the official plugin takes as it is, where the program says nothing of it.
        ({"app_launcher_visible": False, "http_only_cookie_attribute": False, "self_hosted_domains": []}, []),
        ({"policies": []}, ["policies"]),
    ],
)
def test_an_application_that_was_edited_by_hand_is_drift(
    engine: Engine, cloudflare: Cloudflare, policy: str, edit: Properties, seen: list[str]
) -> None:
    inputs = application(policy)
    identity, outputs = engine.create(AccessApplication.pulumi_type, inputs)
    cloudflare.access.apps[identity].update(edit)
    assert drift(engine, AccessApplication, identity, outputs, inputs) == seen


def test_a_service_token_s_secret_is_told_once_and_kept(engine: Engine, cloudflare: Cloudflare) -> None:
    identity, outputs = engine.create(AccessServiceToken.pulumi_type, SERVICE_TOKEN)
    secret = cloudflare.access.secrets[identity]
    assert is_secret(outputs["clientSecret"])
    assert outputs["clientSecret"]["value"] == secret
    assert (outputs["duration"], outputs["clientSecretVersion"]) == ("8760h", 1)
    _, real, _ = engine.read(AccessServiceToken.pulumi_type, identity, outputs, SERVICE_TOKEN)
    assert real == outputs
    assert drift(engine, AccessServiceToken, identity, outputs, SERVICE_TOKEN) == []
    news = {**SERVICE_TOKEN, "name": "other"}
    changed = engine.update(AccessServiceToken.pulumi_type, identity, outputs, news)
    assert (changed["name"], changed["clientSecret"]["value"]) == ("other", secret)


def test_identity_providers_are_found_on_every_page(engine: Engine, cloudflare: Cloudflare) -> None:
    others = [{"id": str(number), "type": "saml", "name": "x"} for number in range(120)]
    cloudflare.access.identity_providers = [*others, ONE_TIME_PIN]
    found = engine.invoke(PROVIDERS_FUNCTION, {"accountId": "acc"})["results"]
    assert len(found) == 121
    assert found[-1] == {"id": ONE_TIME_PIN["id"], "name": "", "type": "onetimepin"}
    assert engine.invoke(PROVIDERS_FUNCTION, {"accountId": UNKNOWN})["results"] == UNKNOWN
    with pytest.raises(RuntimeError, match="by accountId, and by nothing else"):
        engine.invoke(PROVIDERS_FUNCTION, {"accountId": "acc", "scimEnabled": "true"})


def test_access_that_is_not_there_yet_is_told_in_cloudflares_words(engine: Engine, cloudflare: Cloudflare) -> None:
    cloudflare.access.enabled = False
    with pytest.raises(RuntimeError, match=r"Access is not enabled\..*\(code 9999\)"):
        engine.create(AccessPolicy.pulumi_type, POLICY)


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
