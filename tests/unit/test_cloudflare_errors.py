"""Errors of Cloudflare, as a person reads them after `./dockyard up`."""

import json
from http import HTTPStatus

import pytest

from machine.progress import Progress
from ops.cloudflare_errors import explain_error
from ops.events import EventFollower

ACCOUNT, ZONE = "023e105f4ecef8ad9ca31a8372d0c353", "0da42c8d2132a9ddaf714f9e7c920711"
TUNNELS = f"/accounts/{ACCOUNT}/cfd_tunnel"
RECORDS = f"/zones/{ZONE}/dns_records"
APPS = f"/accounts/{ACCOUNT}/access/apps"
TOKENS = f"/accounts/{ACCOUNT}/access/service_tokens"

BAD_TOKEN = "Cloudflare does not accept the API token; create an API token, not an API key: pulumi config set"
TAKEN = f"this name already has a DNS record in the zone {ZONE} (tunnel.zone_id); delete that record, or choose another"
MUST_NOT = (
    f"the API token is wrong or lacks a permission in the account {ACCOUNT} (tunnel.account_id); it needs the"
    " permission “Account · Cloudflare Tunnel · Edit”"
)
NO_ZONE = f"Cloudflare does not know the zone {ZONE} (tunnel.zone_id); copy the id from the overview page"
SAME_NAME = "Cloudflare already has a tunnel of this name; delete it (Zero Trust → Networks → Tunnels), choose another"
CONNECTED = "a connector is still connected to the tunnel; wait a minute"
NO_ACCESS = f"Access is not enabled in the account {ACCOUNT} (tunnel.account_id); open one.dash.cloudflare.com"


def official(path, status, *errors, method="POST"):
    """What terraform-provider-cloudflare v5 says by cloudflare-go, as Pulumi passes it on."""
    told = [{"code": code, "message": message} for code, message in errors]
    answer = json.dumps({"success": False, "errors": told, "messages": [], "result": None}, separators=(",", ":"))
    return (
        f'1 error occurred:\n\t* failed to make http request: {method} "https://api.cloudflare.com/client/v4{path}":'
        f" {status} {HTTPStatus(status).phrase} {answer}\n\n"
    )


def standin(path, status, *errors, method="POST"):
    told = ", ".join(f"{message} (code {code})" for code, message in errors)
    return f"creating urn:pulumi:x::y::z: Cloudflare refused {method} {path} with {status}: {told}"


@pytest.mark.parametrize("plugin", [official, standin])
@pytest.mark.parametrize(
    ("path", "status", "code", "message", "sentence"),
    [
        (TUNNELS, 401, 1000, "Invalid API Token", BAD_TOKEN),
        (TUNNELS, 400, 6003, "Invalid request headers", BAD_TOKEN),
        (TUNNELS, 400, 9106, "Missing X-Auth-Key, X-Auth-Email or Authorization headers", BAD_TOKEN),
        (TUNNELS, 403, 10000, "Authentication error", MUST_NOT),
        (RECORDS, 403, 9109, "Invalid access token", "it needs the permission “Zone · DNS · Edit”"),
        (APPS, 403, 10000, "Authentication error", "“Account · Access: Apps and Policies · Edit”"),
        (TOKENS, 403, 10000, "Authentication error", "“Account · Access: Service Tokens · Edit”"),
        (RECORDS, 400, 7003, f"Could not route to /client/v4{RECORDS}, perhaps …", NO_ZONE),
        (TUNNELS, 404, 7003, "Could not route", f"Cloudflare does not know the account {ACCOUNT}"),
        (RECORDS, 400, 1001, "Invalid zone identifier", "Cloudflare does not know the zone"),
        (RECORDS, 400, 81053, "An A, AAAA, or CNAME record with that host already exists.", TAKEN),
        (RECORDS, 400, 81054, "A CNAME record with that host already exists.", TAKEN),
        (RECORDS, 400, 81057, "The record already exists.", TAKEN),
        (RECORDS, 400, 81058, "An identical record already exists.", TAKEN),
        (TUNNELS, 409, 1013, "You already have a tunnel with this name. Delete the existing tunnel", SAME_NAME),
        (f"{TUNNELS}/f70ff985", 400, 1022, "You cannot delete this tunnel because it has active …", CONNECTED),
        (f"{TUNNELS}/f70ff985", 404, 1003, "Tunnel not found", "deleted at Cloudflare meanwhile"),
        (APPS, 403, 9999, "access.api.error.not_enabled: Access is not enabled. Visit the Access dashboard", NO_ACCESS),
        (APPS, 409, 11010, "access.api.error.application_already_exists", "delete that application"),
        (TUNNELS, 429, 971, "Please wait and consider throttling", "requests in five minutes; wait five minutes"),
        (TUNNELS, 502, 502, "bad gateway", "check www.cloudflarestatus.com"),
    ],
)
def test_a_refusal_is_one_sentence_with_what_to_do(plugin, path, status, code, message, sentence):
    told = explain_error(plugin(path, status, (code, message)), "dns record t-dns")
    assert sentence in told
    assert told.startswith("dns record t-dns: ")
    assert told.endswith(f"(Cloudflare's code {code})")
    assert "\n" not in told
    assert "{" not in told


def test_two_codes_are_one_sentence_of_the_more_telling():
    text = official(RECORDS, 404, (7003, "Could not route to /x"), (7000, "No route for that URI"))
    assert explain_error(text, "").startswith(f"Cloudflare does not know the zone {ZONE}")
    assert explain_error(text, "").endswith("(Cloudflare's code 7000, 7003)")


@pytest.mark.parametrize(
    ("path", "code", "message"),
    [
        # A code means something else in another part of the API.
        (RECORDS, 1013, "something of DNS"),
        (f"{TUNNELS}/x/configurations", 1056, "Bad Configuration: no catch-all"),
    ],
)
def test_an_unknown_answer_is_shortened_to_cloudflares_message(path, code, message):
    text = official(path, 400, (code, message))
    assert explain_error(text, "rules") == f"rules: Cloudflare refused: {message} (code {code})"


def test_a_chain_of_errors_is_read_whole():
    text = (
        f'failed to make http request: GET "https://api.cloudflare.com/client/v4{TUNNELS}/x": 400 Bad Request'
        ' {"success":false,"errors":[{"code":6003,"message":"Invalid request headers","error_chain":[{"code":6111,'
        '"message":"Invalid format for Authorization header"}]}],"messages":[],"result":null}'
    )
    assert explain_error(text, "").startswith(BAD_TOKEN)


@pytest.mark.parametrize(
    "text",
    [
        f'failed to make http request: Post "https://api.cloudflare.com/client/v4{TUNNELS}": dial tcp: lookup'
        " api.cloudflare.com on 127.0.0.11:53: no such host",
        "creating urn:x: Cloudflare's API at https://api.cloudflare.com/client/v4 cannot be reached ([Errno -3])",
    ],
)
def test_an_api_that_cannot_be_reached_asks_to_check_the_network(text):
    assert explain_error(text, "").startswith("Cloudflare's API cannot be reached from this machine; check its network")


def test_a_missing_token_has_a_remedy():
    text = "creating urn:x: there is no API token for Cloudflare; set it with `pulumi config set`"
    assert explain_error(text, "") == (
        "there is no API token for Cloudflare; set one: pulumi config set --secret cloudflare:apiToken, see"
        " docs/tunnel.md"
    )


@pytest.mark.parametrize(
    "text",
    [
        "Unable to create container: Conflict",
        'Error pulling image: Get "https://registry-1.docker.io/v2/": dial tcp: i/o timeout',
        "update failed",
    ],
)
def test_an_error_of_another_provider_is_unchanged(text):
    assert explain_error(text, "container x") == text


def test_an_error_of_a_resource_and_of_the_program_is_reported_once(tmp_path):
    text = official(RECORDS, 400, (81053, "An A, AAAA, or CNAME record with that host already exists."))
    stack = "urn:pulumi:staging::dockyard::pulumi:pulumi:Stack::dockyard-staging"
    record = "urn:pulumi:staging::dockyard::dockyard:x:Y$cloudflare:index/dnsRecord:DnsRecord::t-dns-x.example.org"
    follower = EventFollower(tmp_path / "events", Progress(quiet=True))
    for urn, message in ((record, text), (stack, f"Traceback …\nException: {text}"), (stack, "update failed")):
        follower._handle({"diagnosticEvent": {"severity": "error", "message": message, "urn": urn}})
    [told] = follower.outcome.errors
    assert told.startswith("dns record t-dns-x.example.org: this name already has a DNS record")
